package services

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/netio/door/wire"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/node/watch"
)

const (
	defaultProgressInterval = 10 * time.Minute
	progressIntervalMin     = 100 * time.Millisecond
	// requestsMax is how many requests of a watch stream wait while its sender is busy; beyond that the client's own sending waits.
	requestsMax = 16
)

// serveWatch serves the watchers of one stream. One goroutine receives requests; this one does all else. A client that reads slowly holds up this goroutine alone, and
// no view is pinned while it sends.
func serveWatch(srv *Server, _ call.Caller, stream grpc.ServerStream) error {
	s := &watching{
		server: srv, stream: stream,
		wake: make(chan struct{}, 1), requests: make(chan *pb.WatchRequest, requestsMax), failed: make(chan error, 1),
	}
	limits := &srv.gate.Limits
	s.watch = watch.NewStream(srv.backend, watch.Options{
		FragmentBytes: limits.MaxRequestBytes + requestOverhead, Room: s.encoder.Room, Wake: s.awake,
	})
	srv.traffic.watchStreams.Add(1)
	defer func() {
		s.watch.Close()
		srv.traffic.watchStreams.Add(-1)
		s.account(0, 0, 0)
	}()
	go s.receive()
	err := s.run()
	if status.Code(err) == codes.Canceled {
		return rpctypes.ErrGRPCWatchCanceled
	}
	return err
}

// watching is one stream of watchers.
type watching struct {
	server *Server
	stream grpc.ServerStream
	wake   chan struct{} // capacity 1: watch has something to do
	// requests come from the receiver. failed says why the receiver ended, unless the client just has no more requests.
	requests chan *pb.WatchRequest
	failed   chan error // capacity 1
	asked    progressRequests

	// The rest belongs to run's goroutine.
	watch *watch.Stream
	// As counted in the metrics: watchers, those of them that catch up, and events that have yet to be sent.
	watchers, behind, pending int
	encoder                   wire.WatchEncoder
}

// always is a channel that is ready at any time.
var always = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// awake is called in the member's turns.
func (s *watching) awake() { signal(s.wake) }

// run serves the stream until it ends.
func (s *watching) run() error {
	ctx := s.stream.Context()
	progress := time.NewTimer(s.server.progressInterval())
	defer progress.Stop()
	for {
		more, err := s.step()
		if err != nil {
			return err
		}
		var ready <-chan struct{}
		if more {
			ready = always
		}
		select {
		case <-ready:
		case <-s.wake:
		case r := <-s.requests:
			s.watch.Handle(r)
		case <-progress.C:
			s.watch.NotifyProgress()
			progress.Reset(s.server.progressInterval())
		case err := <-s.failed:
			return err
		case <-ctx.Done():
			return ended(ctx)
		}
	}
}

// step sends what one step of the watchers brings.
func (s *watching) step() (more bool, err error) {
	out, more := s.watch.Step()
	events, sent := 0, 0
	for i := range out {
		events += out[i].EventCount
	}
	s.account(s.watch.Watchers(), s.watch.Behind(), events)
	if len(out) == 0 {
		return more, nil
	}
	h := s.server.head()
	for i := range out {
		if err := s.stream.SendMsg(s.encoder.Encode(h, &out[i], len(out)-1-i)); err != nil {
			return false, err
		}
		sent += out[i].EventCount
		if i%accountEvery == accountEvery-1 || i == len(out)-1 {
			s.server.traffic.events.Add(uint64(sent))
			events -= sent
			sent = 0
			s.account(s.watchers, s.behind, events)
		}
	}
	// While nothing happens, what was sent is not kept.
	s.encoder.Forget()
	clear(out)
	return more, nil
}

// accountEvery is how many responses are sent between two looks at the metrics, which all streams share.
const accountEvery = 16

// account brings the metrics up to date.
func (s *watching) account(watchers, behind, pending int) {
	t := &s.server.traffic
	change := func(total *atomic.Int64, old *int, now int) {
		if now != *old {
			total.Add(int64(now - *old))
			*old = now
		}
	}
	change(&t.watchers, &s.watchers, watchers)
	change(&t.slowWatchers, &s.behind, behind)
	change(&t.pendingEvents, &s.pending, pending)
}

// receive hands the client's requests over. A client that sends no more of them still hears of its watchers.
func (s *watching) receive() {
	ctx := s.stream.Context()
	for {
		r := new(pb.WatchRequest)
		if err := s.stream.RecvMsg(r); err != nil {
			if !errors.Is(err, io.EOF) {
				s.failed <- err
			}
			return
		}
		if r.GetProgressRequest() != nil {
			s.asked.add(s)
		} else if !s.hand(ctx, r) {
			return
		}
	}
}

// hand reports false when the stream has ended.
func (s *watching) hand(ctx context.Context, r *pb.WatchRequest) bool {
	select {
	case s.requests <- r:
		return true
	case <-ctx.Done():
		return false
	}
}

// progressRequests are the requests for progress of one stream that wait for a linearized read: so the answer's revision is at least that of every write that any
// member acknowledged before the request. Requests that come together have one answer. Requests for watchers do not wait.
type progressRequests struct {
	mu               sync.Mutex
	waiting, running bool
}

// add takes one in. It does not block.
func (p *progressRequests) add(s *watching) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = true
	if !p.running {
		p.running = true
		go p.run(s)
	}
}

// take takes all that wait; without any the run is over.
func (p *progressRequests) take() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = p.waiting
	p.waiting = false
	return p.running
}

func (p *progressRequests) run(s *watching) {
	ctx := s.stream.Context()
	ask := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
	for p.take() {
		s.server.linearizeBriefly(ctx)
		if !s.hand(ctx, ask) {
			return
		}
	}
}

// head is the header of answers, but for the revision.
func (srv *Server) head() wire.Header {
	s := srv.backend.Status()
	return wire.Header{Cluster: s.ClusterID, Member: uint64(s.ID), Term: s.Term}
}

// linearizeBriefly waits until this member's view holds everything that was acknowledged so far. It waits only if there is a leader, and no longer than an election
// timeout. After that, what this member has is as good an answer as there is: etcd answers its watchers without a leader, too.
func (srv *Server) linearizeBriefly(ctx context.Context) {
	if srv.backend.Status().Leader == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, srv.config.ElectionTimeout)
	defer cancel()
	if got := srv.backend.Wait(ctx, call.Need{Kind: call.Read}); got.Err == nil {
		got.View.Release()
	}
}

// progressInterval is the time to a stream's next notifications. It is up to a tenth longer than configured: streams that began together are to be told at
// different times.
func (srv *Server) progressInterval() time.Duration {
	i := max(srv.config.WatchProgressInterval, progressIntervalMin)
	return i + rand.N(i/10)
}
