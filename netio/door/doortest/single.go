// Package doortest has a member for tests of the doors, and what such tests have in common.
package doortest

import (
	"context"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/node/lessor"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// Single is a member whose log is memory: it applies what is proposed at once.
type Single struct {
	// Machine, Hub and the rest of the state belong to turns: see InTurn.
	Machine *statemachine.Machine
	Hub     watch.Hub
	// LeasesEnd is what the member says of the ends of leases.
	LeasesEnd []lessor.End
	// OnRenew, unless nil, is what renewing does in a turn.
	OnRenew func(id int64, done func(int64, error))
	// Later is called before the turn ends.
	Later []func()
	// State is what the member says of itself. Once others use the member, change it in turns.
	State node.Status

	// What follows is set before others use the member.

	// Stuck, unless nil, is what Wait waits for.
	Stuck chan struct{}
	// OnLinearize, unless nil, is called by Wait before a linearized read.
	OnLinearize func()
	// Stopped has every call that waits for the member answered with node.ErrStopped.
	Stopped bool

	mu       sync.Mutex
	index    uint64
	sequence uint64
}

var (
	_ call.Local = (*Single)(nil)
	_ watch.Port = (*Single)(nil)
)

// NewSingle returns a member that leads alone.
func NewSingle() *Single {
	s := &Single{Machine: statemachine.New(), State: node.Status{ID: 1, ClusterID: 7, Standing: node.Standing{Term: 2, Leader: 1, Role: node.Leader}}}
	s.index++
	s.Machine.Apply(s.index, 1, &statemachine.Envelope{Change: &statemachine.MemberChange{Kind: statemachine.AddVoter,
		Member: statemachine.MemberInfo{ID: 1, Name: "one", PeerURLs: []string{"http://127.0.0.1:2380"}, ClientURLs: []string{"http://127.0.0.1:2379"}}}}, true)
	s.Apply(&pb.InternalRaftRequest{ClusterVersionSet: &membershippb.ClusterVersionSetRequest{Ver: "3.7.0"}})
	return s
}

// InTurn runs fn, and what follows from it, while nobody else uses the member.
func (s *Single) InTurn(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
	for len(s.Later) > 0 {
		later := s.Later
		s.Later = nil
		for _, f := range later {
			f()
		}
	}
}

// Apply applies a request in a turn of its own.
func (s *Single) Apply(r *pb.InternalRaftRequest) (result statemachine.Result) {
	s.InTurn(func() { result = s.ApplyInTurn(r) })
	return result
}

// ApplyInTurn is Apply within a turn.
func (s *Single) ApplyInTurn(r *pb.InternalRaftRequest) statemachine.Result {
	s.index++
	s.sequence++
	if g := r.LeaseGrant; g != nil && g.ID == 0 {
		g.ID = int64(1000 + s.sequence)
	}
	results, _ := s.Machine.Apply(s.index, 2, &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: s.sequence}, Requests: []*pb.InternalRaftRequest{r}}, true)
	s.Hub.Publish(s.Machine.Publish(), false)
	s.State.Applied, s.State.Committed = s.index, s.index
	return results[0]
}

func (s *Single) wait(ctx context.Context) error {
	if s.Stopped {
		return node.ErrStopped
	}
	if s.Stuck == nil {
		return nil
	}
	select {
	case <-s.Stuck:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Wait is the driver's: whatever is needed is there at once, in a turn.
func (s *Single) Wait(ctx context.Context, need call.Need) (got call.Result) {
	if err := s.wait(ctx); err != nil {
		return call.Result{Err: err}
	}
	if need.Kind == call.Read && s.OnLinearize != nil {
		s.OnLinearize()
	}
	switch need.Kind { // without a turn where that is not needed, for the benchmarks
	case call.Read:
		return call.Result{View: s.AcquireView()}
	case call.Apply:
		result := s.Apply(need.Request)
		return call.Result{Applied: node.Applied{Response: result.Response, Index: s.index, Term: 2}, Err: result.Err}
	}
	s.InTurn(func() { call.NewQuestion(func(r call.Result) { got = r }).Ask(turns{s}, need) })
	return got
}

// AcquireView implements call.Local.
func (s *Single) AcquireView() *statemachine.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.Machine.Published()
	v.Acquire()
	return v
}

// Status implements call.Local.
func (s *Single) Status() node.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.State
}

// Turn is the driver's.
func (s *Single) Turn(fn func(call.Replica)) bool {
	if s.Stopped {
		return false
	}
	s.InTurn(func() { fn(turns{s}) })
	return true
}

// Begin is the driver's.
func (s *Single) Begin(ctx context.Context, begin func(call.Replica, func()) func()) error {
	if s.Stopped {
		return node.ErrStopped
	}
	done := make(chan struct{})
	var cancel func()
	s.InTurn(func() { cancel = begin(turns{s}, func() { close(done) }) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.InTurn(cancel)
		return ctx.Err()
	}
}

// Attach implements watch.Port.
func (s *Single) Attach(i *watch.Interest, from int64) { s.InTurn(func() { s.Hub.Attach(i, from) }) }

// Detach implements watch.Port.
func (s *Single) Detach(i *watch.Interest) { s.InTurn(func() { s.Hub.Detach(i) }) }

// turns is a single within one of its turns.
type turns struct{ *Single }

var _ call.Replica = turns{}

func (t turns) Propose(r *pb.InternalRaftRequest, done func(node.Applied, error)) {
	result := t.ApplyInTurn(r)
	a := node.Applied{Response: result.Response, Index: t.index, Term: 2}
	t.Later = append(t.Later, func() { done(a, result.Err) })
}

func (t turns) Linearize(done func(*statemachine.View, error)) {
	v := t.AcquireView()
	t.Later = append(t.Later, func() { done(v, nil) })
}

func (t turns) Renew(id int64, done func(int64, error)) {
	if t.OnRenew != nil {
		t.OnRenew(id, done)
		return
	}
	l, _ := t.Machine.Published().Lease(id)
	t.Later = append(t.Later, func() { done(l.TTL, nil) })
}

func (t turns) TimeToLive(id int64, done func(node.LeaseTTL, error)) {
	l, found := t.Machine.Published().Lease(id)
	t.Later = append(t.Later, func() { done(node.LeaseTTL{Granted: l.TTL, Remaining: l.TTL, Found: found}, nil) })
}

func (t turns) LeaseEnds() []lessor.End { return t.LeasesEnd }

func (t turns) Watch() *watch.Hub { return &t.Hub }

func (t turns) Status() node.Status { return t.State }

func (t turns) AcquireView() *statemachine.View {
	v := t.Machine.Published()
	v.Acquire()
	return v
}

// Put puts a key, and returns the revision.
func (s *Single) Put(key, value string) int64 {
	return s.Apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}).Response.(*pb.PutResponse).Header.Revision
}

// Lead makes id the leader; 0: there is none.
func (s *Single) Lead(id port.MemberID) { s.InTurn(func() { s.State.Leader = id }) }

// Grant grants a lease.
func (s *Single) Grant(id int64) int64 {
	s.Apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: id, TTL: 60}})
	return id
}

// Keys is the number of keys.
func (s *Single) Keys() int {
	v := s.AcquireView()
	defer v.Release()
	return v.Keys()
}
