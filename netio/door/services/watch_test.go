package services

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/netio/door/doortest"
	"github.com/detcd/detcd/node/watch"
)

// watcher is a bare watch stream.
type watcher struct {
	pb.Watch_WatchClient
	t *testing.T
}

func watched(t *testing.T, ctx context.Context, address string) watcher {
	t.Helper()
	s, err := pb.NewWatchClient(doortest.Dial(t, address).ActiveConnection()).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return watcher{s, t}
}

func (w watcher) create(r *pb.WatchCreateRequest) {
	w.t.Helper()
	if err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}}); err != nil {
		w.t.Fatal(err)
	}
	if r := w.next(); !r.Created || len(r.Events) != 0 {
		w.t.Fatalf("the first answer is %v", r)
	}
}

func (w watcher) askProgress() {
	w.t.Helper()
	if err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w watcher) next() *pb.WatchResponse {
	w.t.Helper()
	r, err := w.Recv()
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestWatch_WithEtcdsClient(t *testing.T) {
	b := doortest.NewSingle()
	c := doortest.Dial(t, opened(t, b, nil))
	ctx := doortest.Bounded(t)
	b.Put("k/1", "old")
	past := c.Watch(ctx, "k/", clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithPrevKV())
	created := c.Watch(ctx, "k/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if r := <-created; !r.Created || r.Header.Revision != 2 || r.Header.ClusterId != 7 || r.Header.MemberId != 1 || r.Header.RaftTerm != 2 {
		t.Fatalf("created: %+v", r)
	}
	rev := b.Put("k/1", "new")
	if r := <-created; len(r.Events) != 1 || r.Events[0].Kv.ModRevision != rev || r.Header.Revision != rev || r.Events[0].PrevKv != nil {
		t.Errorf("from now on: %+v", r)
	}
	var events []*clientv3.Event
	for len(events) < 2 {
		events = append(events, (<-past).Events...)
	}
	if string(events[0].Kv.Value) != "old" || string(events[1].PrevKv.Value) != "old" || string(events[1].Kv.Value) != "new" {
		t.Errorf("from the past on: %v", events)
	}
	if err := c.RequestProgress(ctx); err != nil {
		t.Fatal(err)
	}
	if r := <-past; !r.IsProgressNotify() || r.Header.Revision != rev {
		t.Errorf("progress: %+v", r)
	}
}

// A client that sends no more requests, as the gateway's, still hears of its watchers.
func TestWatch_GoesOnWhenTheClientHasNoMoreRequests(t *testing.T) {
	b := doortest.NewSingle()
	w := watched(t, doortest.Bounded(t), opened(t, b, nil))
	w.create(&pb.WatchCreateRequest{Key: []byte("k")})
	if err := w.CloseSend(); err != nil {
		t.Fatal(err)
	}
	b.Put("k", "v")
	if r := w.next(); len(r.Events) != 1 {
		t.Errorf("%v", r)
	}
}

// Whoever does not read holds up nobody, and pins nothing that compaction could free.
func TestWatch_SlowClientsHoldUpThemselvesOnly(t *testing.T) {
	b := doortest.NewSingle()
	address := opened(t, b, nil)
	slow, quick := watched(t, doortest.Bounded(t), address), watched(t, doortest.Bounded(t), address)
	for _, w := range []watcher{slow, quick} {
		w.create(&pb.WatchCreateRequest{Key: []byte("k")})
	}
	const puts = 200
	value := strings.Repeat("v", 100<<10) // more than all buffers between
	for i := range puts {
		b.Put("k", fmt.Sprint(i)+value)
		for {
			if r := quick.next(); len(r.Events) > 0 {
				break
			}
		}
	}
	pinned := -1
	b.InTurn(func() { pinned, _ = b.Machine.PinnedViews() })
	if pinned != 0 {
		t.Errorf("%d views are pinned by a client that does not read", pinned)
	}
	seen := 0
	for seen < puts {
		r := slow.next()
		for _, e := range r.Events {
			if want := fmt.Sprint(seen); !strings.HasPrefix(string(e.Kv.Value), want+"v") {
				t.Fatalf("event %d is of another put: %.10s", seen, e.Kv.Value)
			}
			seen++
		}
	}
}

// A write that was acknowledged somewhere before the request for progress is covered by the answer, even where this member has to hear of
// it first.
func TestWatch_ProgressIsLinearized(t *testing.T) {
	b := doortest.NewSingle()
	var rev atomic.Int64
	b.OnLinearize = func() { rev.Store(b.Put("k", "acknowledged by another member")) }
	w := watched(t, doortest.Bounded(t), opened(t, b, nil))
	w.create(&pb.WatchCreateRequest{Key: []byte("k")})
	w.askProgress()
	events := 0
	for {
		r := w.next()
		if events += len(r.Events); len(r.Events) > 0 {
			continue
		}
		if r.WatchId != watch.EveryWatch || r.Header.Revision < rev.Load() {
			t.Errorf("progress %v, but revision %d was acknowledged", r, rev.Load())
		}
		break
	}
	if events != 1 {
		t.Errorf("%d events before the progress that covers one", events)
	}
}

func TestWatch_ProgressWithoutALeader(t *testing.T) {
	for name, lose := range map[string]func(*doortest.Single){
		"none":      func(b *doortest.Single) { b.Lead(0) },
		"no answer": func(b *doortest.Single) { b.Stuck = make(chan struct{}) },
	} {
		t.Run(name, func(t *testing.T) {
			b := doortest.NewSingle()
			lose(b)
			w := watched(t, doortest.Bounded(t), opened(t, b, func(c *Config) { c.ElectionTimeout = 10 * time.Millisecond }))
			w.create(&pb.WatchCreateRequest{Key: []byte("k")})
			w.askProgress()
			if r := w.next(); r.WatchId != watch.EveryWatch || r.Header.Revision != 1 {
				t.Errorf("%v", r)
			}
		})
	}
}

func TestWatch_TellsProgressFromTimeToTime(t *testing.T) {
	b := doortest.NewSingle()
	w := watched(t, doortest.Bounded(t), opened(t, b, func(c *Config) { c.WatchProgressInterval = time.Millisecond }))
	w.create(&pb.WatchCreateRequest{Key: []byte("k"), ProgressNotify: true})
	rev := b.Put("other", "v")
	for range 2 {
		if r := w.next(); r.WatchId != 0 || len(r.Events) != 0 || r.Header.Revision != rev {
			t.Errorf("%v, want progress to revision %d", r, rev)
		}
	}
}

func TestWatch_EndsWithTheMember(t *testing.T) {
	d, address := openedServer(t, doortest.NewSingle(), nil)
	w := watched(t, doortest.Bounded(t), address)
	w.create(&pb.WatchCreateRequest{Key: []byte("k")})
	if err := closed(d, doortest.Bounded(t)); err != nil {
		t.Error(err)
	}
	if _, err := w.Recv(); status.Convert(err).Message() != rpctypes.ErrorDesc(rpctypes.ErrGRPCStopped) {
		t.Errorf("error %v, want %v", err, rpctypes.ErrGRPCStopped)
	}
	if n := d.traffic.watchers.Load() + d.traffic.watchStreams.Load() + d.traffic.pendingEvents.Load(); n != 0 {
		t.Errorf("%d watchers, streams and events are left over in the metrics", n)
	}
}

// A client that does not read does not hold up the end of the member.
func TestWatch_SlowClientsDoNotHoldUpTheEnd(t *testing.T) {
	b := doortest.NewSingle()
	d, address := openedServer(t, b, nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	slow := watched(t, ctx, address)
	slow.create(&pb.WatchCreateRequest{Key: []byte("k")})
	value := strings.Repeat("v", 1<<20)
	for range 4 {
		b.Put("k", value)
	}
	doortest.Until(t, doortest.Bounded(t), "something waits for the client", func() bool { return d.traffic.pendingEvents.Load() > 0 })
	// With all the time there is: only a door that waits for the client takes it.
	if err := closed(d, doortest.Bounded(t)); err != nil {
		t.Errorf("requests were cut off: %v", err)
	}
}

// Memory of events is used again only when it has been sent: what many watchers share, in whole and in part, arrives as it was, while other
// streams use memory from the same pool.
func TestWatch_MemoryOfEventsIsUsedAgainWhenSent(t *testing.T) {
	b := doortest.NewSingle()
	address := opened(t, b, nil)
	const puts = 400
	for i := range puts {
		b.Put("k", fmt.Sprintf("%d/", i)+strings.Repeat(string(rune('a'+i%26)), 10<<10))
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			w := watched(t, doortest.Bounded(t), address)
			next := map[int64]int{}
			for i, start := range []int64{2, 2, 2, 300} {
				r := &pb.WatchCreateRequest{Key: []byte("k"), WatchId: int64(i + 1), StartRevision: start}
				if err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}}); err != nil {
					t.Error(err)
					return
				}
				next[r.WatchId] = int(start - 2)
			}
			for left := 3*puts + puts - 298; left > 0; {
				r, err := w.Recv()
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range r.Events {
					i := next[r.WatchId]
					if want := fmt.Sprintf("%d/", i) + strings.Repeat(string(rune('a'+i%26)), 10<<10); string(e.Kv.Value) != want {
						t.Errorf("watcher %d was told %.20q, want %.20q", r.WatchId, e.Kv.Value, want)
						return
					}
					next[r.WatchId]++
					left--
				}
			}
		})
	}
	all.Wait()
}

// Several large revisions come in one response, which stays below what clients take; a watcher that asks for fragments gets parts of it.
func TestWatch_PacksLargeRevisions(t *testing.T) {
	b := doortest.NewSingle()
	address := opened(t, b, func(c *Config) { c.Limits.MaxRequestBytes = 1 << 20 })
	for range 10 {
		b.Put("k", strings.Repeat("v", 700<<10))
	}
	for _, fragment := range []bool{false, true} {
		w := watched(t, doortest.Bounded(t), address)
		w.create(&pb.WatchCreateRequest{Key: []byte("k"), StartRevision: 2, Fragment: fragment})
		responses := 0
		for events := 0; events < 10; responses++ {
			r := w.next()
			if n := proto.Size(r); n > watch.PackBytesDefault {
				t.Errorf("a response of %d bytes", n)
			}
			if r.Fragment && !fragment {
				t.Error("fragments though nobody asked for them")
			}
			events += len(r.Events)
		}
		if responses != 5 {
			t.Errorf("fragments %v: %d responses", fragment, responses)
		}
	}
}

func TestLeader_IsRequiredOfMembersWithout(t *testing.T) {
	b := doortest.NewSingle()
	address := opened(t, b, func(c *Config) { c.ElectionTimeout = 20 * time.Millisecond })
	ctx := clientv3.WithRequireLeader(doortest.Bounded(t))
	demanding, patient := watched(t, ctx, address), watched(t, doortest.Bounded(t), address)
	for _, w := range []watcher{demanding, patient} {
		w.create(&pb.WatchCreateRequest{Key: []byte("k")})
	}
	b.Lead(0)
	is := func(err error) bool {
		return status.Convert(err).Message() == rpctypes.ErrorDesc(rpctypes.ErrGRPCNoLeader)
	}
	if _, err := demanding.Recv(); !is(err) {
		t.Errorf("a running stream ended with %v", err)
	}
	if _, err := pb.NewKVClient(doortest.Dial(t, address).ActiveConnection()).Range(ctx, &pb.RangeRequest{Key: []byte("k")}); !is(err) {
		t.Errorf("a unary call: %v", err)
	}
	if _, err := watched(t, ctx, address).Recv(); !is(err) {
		t.Errorf("a new stream: %v", err)
	}
	b.Put("k", "v")
	if r := patient.next(); len(r.Events) != 1 {
		t.Errorf("a stream that does not require a leader: %v", r)
	}
	b.Lead(1)
	again := watched(t, ctx, address)
	again.create(&pb.WatchCreateRequest{Key: []byte("k")})
}
