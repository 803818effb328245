package driver

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestDriver_AnswersEveryCallOnce(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	const callers, each = 50, 40
	var mu sync.Mutex
	var indices []uint64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				a, err := d.Propose(t.Context(), &pb.InternalRaftRequest{})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				indices = append(indices, a.Index)
				mu.Unlock()
				v, err := linearize(d, t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				v.Release()
				d.View().Release()
			}
		})
	}
	wg.Wait()
	slices.Sort(indices)
	for i, index := range indices {
		if index != uint64(i+1) {
			t.Fatalf("answer %d has index %d: one was lost or given twice", i+1, index)
		}
	}
	if len(indices) != callers*each {
		t.Fatalf("%d answers, want %d", len(indices), callers*each)
	}
	do(t, d, func() {
		if f.lent() {
			t.Error("a view is still pinned")
		}
	})
}

// What waits for one turn is handled in that turn, in order, and the turn ends once.
func TestDriver_OneTurnForAllThatWaits(t *testing.T) {
	f := newFake(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	f.onReceive = func(payload []byte) {
		if string(payload) == "first" {
			close(entered)
			<-leave
		}
	}
	d := f.start(Options{})
	go d.Receive(2, []byte("first"))
	<-entered
	for _, p := range []string{"a", "b", "c"} {
		d.Receive(3, []byte(p))
	}
	before := f.ends // the member is in our hands: its turn waits for leave
	close(leave)
	do(t, d, func() {
		if !slices.Equal(f.received, []string{"first", "a", "b", "c"}) {
			t.Errorf("received %q", f.received)
		}
		if turns := f.ends - before; turns > 2 {
			t.Errorf("%d turns were ended, want one for the first message and at most one for those that waited", turns)
		}
	})
}

func TestDriver_LaneKeepsTheOrder(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	var worked atomic.Int64
	var done []int
	all := make(chan struct{})
	do(t, d, func() {
		for i := range 100 {
			f.lane.Run(func() {
				if n := worked.Add(1); n != int64(i+1) {
					t.Errorf("piece %d was worked on as number %d", i+1, n)
				}
			}, func() {
				if n := worked.Load(); n <= int64(i) {
					t.Errorf("piece %d was called done, %d pieces are", i+1, n)
				}
				if done = append(done, i); len(done) == 100 {
					close(all)
				}
			})
		}
		if len(done) != 0 {
			t.Error("done was called inside of the call to Run")
		}
	})
	<-all
	if !slices.IsSorted(done) {
		t.Errorf("done was called in the order %v", done)
	}
}

func TestDriver_ReceiveWaitsForRoom(t *testing.T) {
	f := newFake(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	f.onReceive = func(payload []byte) {
		if string(payload) == "first" {
			close(entered)
			<-leave
		}
	}
	d := f.start(Options{InboxBytes: 10, InboxMessages: 3})
	go d.Receive(2, []byte("first"))
	<-entered
	d.Receive(2, []byte("larger than the inbox")) // alone it fits
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range 10 {
			d.Receive(2, []byte("1234"))
		}
	}()
	d.inbox.mu.Lock()
	for d.inbox.waiting == 0 {
		d.inbox.mu.Unlock()
		runtime.Gosched()
		d.inbox.mu.Lock()
	}
	if d.inbox.messages != 1 {
		t.Errorf("%d messages wait in an inbox that one overfills", d.inbox.messages)
	}
	d.inbox.mu.Unlock()
	close(leave)
	<-sent
	do(t, d, func() {
		if len(f.received) != 12 {
			t.Errorf("%d messages were received, want 12", len(f.received))
		}
	})
}
