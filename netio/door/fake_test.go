package door

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/node/lessor"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// single is a member whose log is memory: it applies what is proposed at once.
type single struct {
	mu       sync.Mutex
	machine  *statemachine.Machine
	index    uint64
	sequence uint64
	status   node.Status
	// stuck, unless nil, is what Wait waits for.
	stuck chan struct{}
	// onLinearize, unless nil, is called by Wait before a linearized read.
	onLinearize func()
	// renew, unless nil, is what renewing does in a turn.
	renew func(id int64, done func(int64, error))
	hub   watch.Hub
	ends  []lessor.End
	// stopped has every call that waits for the member answered with ErrStopped.
	stopped bool
	// later is called before the turn ends.
	later []func()
}

var _ Backend = (*single)(nil)

func newSingle() *single {
	s := &single{machine: statemachine.New(), status: node.Status{ID: 1, ClusterID: 7, Term: 2, Leader: 1, Role: node.Leader}}
	s.index++
	s.machine.ApplyMember(s.index, 2, statemachine.MemberChange{Kind: statemachine.AddVoter,
		Member: statemachine.Member{ID: 1, Name: "one", PeerURLs: []string{"http://127.0.0.1:2380"}, ClientURLs: []string{"http://127.0.0.1:2379"}}})
	s.apply(&pb.InternalRaftRequest{ClusterVersionSet: &membershippb.ClusterVersionSetRequest{Ver: "3.7.0"}})
	return s
}

// turn runs fn, and what follows from it, while nobody else uses the member.
func (s *single) turn(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
	for len(s.later) > 0 {
		later := s.later
		s.later = nil
		for _, f := range later {
			f()
		}
	}
}

func (s *single) apply(r *pb.InternalRaftRequest) (result statemachine.Result) {
	s.turn(func() { result = s.applyInTurn(r) })
	return result
}

func (s *single) applyInTurn(r *pb.InternalRaftRequest) statemachine.Result {
	s.index++
	s.sequence++
	if g := r.LeaseGrant; g != nil && g.ID == 0 {
		g.ID = int64(1000 + s.sequence)
	}
	results, _ := s.machine.ApplyBatch(s.index, 2, &statemachine.Batch{Proposer: 1, Incarnation: 1, Sequence: s.sequence, Requests: []*pb.InternalRaftRequest{r}}, true)
	s.hub.Publish(s.machine.Publish(), false)
	s.status.Applied, s.status.Committed = s.index, s.index
	return results[0]
}

func (s *single) wait(ctx context.Context) error {
	if s.stopped {
		return node.ErrStopped
	}
	if s.stuck == nil {
		return nil
	}
	select {
	case <-s.stuck:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Wait implements Backend: whatever is needed is there at once, in a turn.
func (s *single) Wait(ctx context.Context, need call.Need) (got call.Result) {
	if err := s.wait(ctx); err != nil {
		return call.Result{Err: err}
	}
	if need.Kind == call.Read && s.onLinearize != nil {
		s.onLinearize()
	}
	switch need.Kind { // without a turn where that is not needed, for the benchmarks
	case call.Read:
		return call.Result{View: s.AcquireView()}
	case call.Apply:
		result := s.apply(need.Request)
		return call.Result{Applied: node.Applied{Response: result.Response, Index: s.index, Term: 2}, Err: result.Err}
	}
	s.turn(func() { call.NewQuestion(func(r call.Result) { got = r }).Ask(turns{s}, need) })
	return got
}

// AcquireView implements Backend.
func (s *single) AcquireView() *statemachine.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.machine.Published()
	v.Acquire()
	return v
}

// Status implements Backend.
func (s *single) Status() node.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Turn implements Backend.
func (s *single) Turn(fn func(call.Member)) bool {
	if s.stopped {
		return false
	}
	s.turn(func() { fn(turns{s}) })
	return true
}

// Begin implements Backend.
func (s *single) Begin(ctx context.Context, begin func(call.Member, func()) func()) error {
	if s.stopped {
		return node.ErrStopped
	}
	done := make(chan struct{})
	var cancel func()
	s.turn(func() { cancel = begin(turns{s}, func() { close(done) }) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.turn(cancel)
		return ctx.Err()
	}
}

// Attach implements watch.Port.
func (s *single) Attach(i *watch.Interest, from int64) { s.turn(func() { s.hub.Attach(i, from) }) }

// Detach implements watch.Port.
func (s *single) Detach(i *watch.Interest) { s.turn(func() { s.hub.Detach(i) }) }

// turns is a single within one of its turns.
type turns struct{ *single }

var _ call.Member = turns{}

func (t turns) Propose(r *pb.InternalRaftRequest, done func(node.Applied, error)) {
	result := t.applyInTurn(r)
	a := node.Applied{Response: result.Response, Index: t.index, Term: 2}
	t.later = append(t.later, func() { done(a, result.Err) })
}

func (t turns) Linearize(done func(*statemachine.View, error)) {
	v := t.AcquireView()
	t.later = append(t.later, func() { done(v, nil) })
}

func (t turns) Renew(id int64, done func(int64, error)) {
	if t.renew != nil {
		t.renew(id, done)
		return
	}
	l, _ := t.machine.Published().Lease(id)
	t.later = append(t.later, func() { done(l.TTL, nil) })
}

func (t turns) TimeToLive(id int64, done func(node.LeaseTTL, error)) {
	l, found := t.machine.Published().Lease(id)
	t.later = append(t.later, func() { done(node.LeaseTTL{Granted: l.TTL, Remaining: l.TTL, Found: found}, nil) })
}

func (t turns) LeaseEnds() []lessor.End { return t.ends }

func (t turns) Watch() *watch.Hub { return &t.hub }

func (t turns) Status() node.Status { return t.status }

func (t turns) AcquireView() *statemachine.View {
	v := t.machine.Published()
	v.Acquire()
	return v
}

func (s *single) put(key, value string) int64 {
	return s.apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}).Response.(*pb.PutResponse).Header.Revision
}

// lead makes id the leader; 0: there is none.
func (s *single) lead(id port.MemberID) { s.turn(func() { s.status.Leader = id }) }

// opened is a door of b that listens on the loopback interface until the test ends.
func opened(t testing.TB, b Backend, change func(*Config)) (address string) {
	t.Helper()
	d, address := openedDoor(t, b, change)
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return address
}

// openedDoor is one that the test closes.
func openedDoor(t testing.TB, b Backend, change func(*Config)) (*Door, string) {
	t.Helper()
	c := Config{Limits: call.DefaultLimits(), MaxConcurrentStreams: 1<<32 - 1, KeepAliveMinTime: 5 * time.Second, Gateway: true}
	if change != nil {
		change(&c)
	}
	d, err := New(c, b)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.Serve(l, nil, true, All)
	d.Ready()
	return d, l.Addr().String()
}

// dialled is etcd's own client, until the test ends.
func dialled(t testing.TB, address string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
