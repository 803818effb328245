package e2e

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability/watches"
)

const promiseWatchers = 8 // of a client

// promiseClient watches: on one stream for a while, then on another, at any member, where it goes on with what it had.
type promiseClient struct {
	*promises
	name int
	// kept are long values that came, each once: there are few, and they come often.
	kept map[string][]byte
}

// promiseStream is one stream of a client.
type promiseStream struct {
	*promiseClient
	member  *livedMember
	run     uint64 // the member's, as of before the stream was opened
	stream  grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse]
	records [promiseWatchers]*watches.Record // of the watch with that id, less one; guarded by promises.mu
	slow    time.Duration                    // how long the client rests between two responses
	broken  chan struct{}                    // closed when the stream has ended
}

func (c *promiseClient) live() {
	var before [promiseWatchers]*watches.Record
	for !c.over() {
		if s := c.round(before); s != nil {
			before = s.records
		}
		for i, r := range before {
			if r != nil && len(r.Told) > 0 && r.Told[len(r.Told)-1].Response.Canceled {
				before[i] = nil
			}
		}
		if !c.ending.Load() {
			time.Sleep(rand.N(300 * time.Millisecond))
		}
	}
}

func (c *promiseClient) over() bool {
	select {
	case <-c.end:
		return true
	default:
		return false
	}
}

// round is the life of one stream; nil if none could be opened.
func (c *promiseClient) round(before [promiseWatchers]*watches.Record) *promiseStream {
	s := &promiseStream{promiseClient: c, member: c.members[rand.IntN(len(c.members))], broken: make(chan struct{})}
	s.run = s.member.runs.Load()
	if rand.IntN(4) == 0 {
		s.slow = rand.N(30 * time.Millisecond)
	}
	conn, err := grpc.NewClient(s.member.client, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		c.t.Error(err)
		return nil
	}
	defer conn.Close()
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if s.stream, err = pb.NewWatchClient(conn).Watch(ctx, grpc.MaxCallRecvMsgSize(256<<20)); err != nil {
		return nil // the member is down
	}
	wait.Go(s.receive)
	for i, r := range before {
		s.watch(i, r)
	}
	s.act()
	cancel()
	<-s.broken
	return s
}

// watch asks for a watch: one that goes on from where another was, or any.
func (s *promiseStream) watch(i int, before *watches.Record) {
	request := s.anyWatch()
	if before != nil {
		request = proto.Clone(before.Request).(*pb.WatchCreateRequest)
		request.StartRevision = before.Next()
	}
	request.WatchId = int64(i + 1)
	s.mu.Lock()
	r := &watches.Record{Client: s.name, Member: uint64(s.memberNumber()), Incarnation: s.run, Request: request, Resumes: before,
		Live: true, Call: s.stamp()}
	s.records[i] = r
	s.promises.records = append(s.promises.records, r)
	if before != nil {
		s.seen["watches that go on"]++
	}
	s.mu.Unlock()
	s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: request}})
}

func (s *promiseStream) memberNumber() int {
	for i, m := range s.members {
		if m == s.member {
			return i + 1
		}
	}
	panic("a member of no cluster")
}

// anyWatch draws a range, a revision and options.
func (s *promiseStream) anyWatch() *pb.WatchCreateRequest {
	some := func() bool { return rand.IntN(2) == 0 }
	r := &pb.WatchCreateRequest{Key: []byte{byte('a' + rand.IntN(4))}, PrevKv: some(), Fragment: some(), ProgressNotify: some()}
	r.RangeEnd = []byte([]string{"", "f", "\x00"}[rand.IntN(3)])
	switch head := s.writer.head.Load(); rand.IntN(3) {
	case 0:
		r.StartRevision = max(1, head-rand.Int64N(400))
	case 1:
		r.StartRevision = head + rand.Int64N(20)
	}
	if rand.IntN(4) == 0 {
		r.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_FilterType(rand.IntN(2))}
	}
	return r
}

// send leaves it to receive to notice that the stream has ended.
func (s *promiseStream) send(r *pb.WatchRequest) { _ = s.stream.Send(r) }

// act asks for progress and cancels some watches until the stream is to end, or breaks. In the end it only waits.
func (s *promiseStream) act() {
	rest := 20 * time.Millisecond
	if s.restless {
		rest = time.Millisecond
	}
	for until := time.Now().Add(200*time.Millisecond + rand.N(600*time.Millisecond)); time.Now().Before(until) && !s.ending.Load(); {
		select {
		case <-s.broken:
			return
		case <-s.end:
			return
		case <-time.After(rest):
		}
		switch n := rand.IntN(200); {
		case n < 10 && !s.restless, n == 0:
			s.cancel(rand.IntN(promiseWatchers))
		case n < 40, s.restless:
			s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
		}
	}
	if !s.ending.Load() {
		return
	}
	s.standing.Add(1)
	defer s.standing.Add(-1)
	select {
	case <-s.broken:
	case <-s.end:
	}
}

func (s *promiseStream) cancel(i int) {
	s.mu.Lock()
	r := s.records[i]
	asked := r.CancelCall > 0
	if !asked {
		r.CancelCall, r.Live = s.stamp(), false
	}
	s.mu.Unlock()
	if !asked {
		s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: int64(i + 1)}}})
	}
}

// receive notes what comes until the stream ends.
func (s *promiseStream) receive() {
	defer close(s.broken)
	first := true
	for {
		m, err := s.stream.Recv()
		stamp := s.stamp()
		if err != nil {
			break
		}
		for _, e := range m.Events {
			e.Kv.Value = s.keep(e.Kv.Value)
			if e.PrevKv != nil {
				e.PrevKv.Value = s.keep(e.PrevKv.Value)
			}
		}
		s.mu.Lock()
		if first && s.member.runs.Load() != s.run {
			s.unsureOfRun(stamp)
		}
		first = false
		s.count(m)
		for i, r := range s.records {
			if r != nil && s.about(m, i, r) {
				r.Told = append(r.Told, watches.Told{Stamp: stamp, Response: m})
			}
		}
		s.mu.Unlock()
		if !s.ending.Load() {
			time.Sleep(s.slow)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r != nil && !s.over() {
			r.Live = false
		}
	}
}

// unsureOfRun makes the stream's run one of its own: nobody knows whether it is the one before or after a restart.
func (s *promiseStream) unsureOfRun(stamp uint64) {
	s.run = 1<<32 + stamp
	for _, r := range s.records {
		if r != nil {
			r.Incarnation = s.run
		}
	}
}

// about says whether a response is about the watch i.
func (s *promiseStream) about(m *pb.WatchResponse, i int, r *watches.Record) bool {
	canceled := len(r.Told) > 0 && r.Told[len(r.Told)-1].Response.Canceled
	switch {
	case m.WatchId == -1:
		return len(r.Told) > 0 && !canceled
	case m.WatchId != int64(i+1):
		return false
	}
	// etcd may say twice that a watch is canceled, if a compaction overtakes it at the moment when it is asked to.
	return !(stockEtcd && canceled && m.Canceled && r.CancelCall > 0)
}

// keep returns a long value as the client has it already.
func (c *promiseClient) keep(value []byte) []byte {
	if len(value) < 1<<10 {
		return value
	}
	if kept := c.kept[string(value)]; kept != nil {
		return kept
	}
	c.kept[string(value)] = value
	return value
}
