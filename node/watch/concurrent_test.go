package watch_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// threaded is a member whose turns run on one goroutine while streams run on others.
type threaded struct {
	hub  watch.Hub
	view atomic.Pointer[statemachine.View]

	mu      sync.Mutex
	waiting []func()
}

func (m *threaded) AcquireView() *statemachine.View {
	for {
		if v := m.view.Load(); v.Acquire() {
			return v
		}
	}
}

func (m *threaded) later(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting = append(m.waiting, f)
}

func (m *threaded) Attach(i *watch.Interest, from int64) {
	m.later(func() { m.hub.Attach(i, from) })
}

func (m *threaded) Detach(i *watch.Interest) { m.later(func() { m.hub.Detach(i) }) }

func (m *threaded) turn(machine *statemachine.Machine) {
	m.view.Store(machine.Publish())
	m.mu.Lock()
	waiting := m.waiting
	m.waiting = nil
	m.mu.Unlock()
	m.hub.Publish(m.view.Load(), false)
	for _, f := range waiting {
		f()
	}
}

// TestStream_OnGoroutinesOfTheirOwn lets streams read while the member goes on, and create and cancel watches meanwhile. Run it with
// -race.
func TestStream_OnGoroutinesOfTheirOwn(t *testing.T) {
	const streams, revisions = 4, 2000
	var m threaded
	machine := statemachine.New()
	m.turn(machine)
	var readers sync.WaitGroup
	for n := range streams {
		readers.Add(1)
		go func() {
			defer readers.Done()
			if err := readAll(&m, n, revisions); err != nil {
				t.Errorf("stream %d: %v", n, err)
			}
		}()
	}
	stopped := make(chan struct{})
	go func() { readers.Wait(); close(stopped) }()
	for rev := int64(2); ; {
		select {
		case <-stopped:
			m.turn(machine)
			if got := m.hub.Stats(); got.Interests != 0 {
				t.Errorf("in the end: %+v", got)
			}
			if others, _ := machine.PinnedViews(); others != 0 {
				t.Errorf("%d views are still in use", others)
			}
			return
		default:
		}
		for range 3 {
			if rev > revisions {
				break
			}
			key := fmt.Appendf(nil, "key%d", rev%streams)
			applyTo(t, machine, &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: key}})
			rev++
		}
		m.turn(machine)
	}
}

// readAll watches one key of its own and everything, until both have been told the last revision, and creates and cancels others.
func readAll(m *threaded, n int, last int64) error {
	wake := make(chan struct{}, 1)
	s := watch.NewStream(m, watch.Options{ChunkBytes: 500, Wake: func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}})
	defer s.Close()
	create := func(id int64, key, end string, start int64) {
		s.Handle(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
			WatchId: id, Key: []byte(key), RangeEnd: []byte(end), StartRevision: start}}})
	}
	create(1, fmt.Sprint("key", n), "", 1)
	create(2, "", "\x00", 1)
	told := map[int64]int64{1: 1, 2: 1}
	for rounds := int64(0); ; rounds++ {
		out, more := s.Step()
		for _, r := range out {
			for _, e := range r.Message(&pb.ResponseHeader{}).Events {
				if r.WatchID > 2 {
					continue
				}
				before, now := told[r.WatchID], e.Kv.ModRevision
				missed := now != before+1
				if r.WatchID == 1 { // every fourth revision is of this key
					missed = now <= before || now > before+4
				}
				if missed {
					return fmt.Errorf("watch %d was told revision %d, then %d", r.WatchID, before, now)
				}
				told[r.WatchID] = now
			}
			if r.WatchID == -1 && (told[2] < r.Revision || told[1]+4 <= r.Revision) {
				return fmt.Errorf("progress %d after %v", r.Revision, told)
			}
		}
		if told[2] == last && told[1]+4 > last {
			return nil
		}
		if rounds%5 == 0 {
			s.Handle(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
			create(10+rounds, fmt.Sprint("key", rounds%7), "", 0)
			s.Handle(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: 10 + rounds - 15}}})
			continue
		}
		if !more {
			<-wake
		}
	}
}
