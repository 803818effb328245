package call_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/node/lessor"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// fakeCluster is a log that members apply at a pace of their own: the order of things is a test's to decide.
type fakeCluster struct {
	t       testing.TB
	log     []*pb.InternalRaftRequest
	head    *statemachine.Machine // everything in the log
	members []*fakeMember
}

// newGate is a gate with etcd's limits, through which everybody may do everything.
func newGate() *call.Gate { return &call.Gate{Limits: call.DefaultLimits()} }

func newCluster(t testing.TB, members int) *fakeCluster {
	c := &fakeCluster{t: t, head: statemachine.New()}
	for i := range members {
		m := &fakeMember{cluster: c, id: port.MemberID(i + 1), machine: statemachine.New()}
		m.publish(true)
		c.members = append(c.members, m)
	}
	return c
}

func applyAt(machine *statemachine.Machine, index int, r *pb.InternalRaftRequest) statemachine.Result {
	b := &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: uint64(index)}, Requests: []*pb.InternalRaftRequest{r}}
	results, fresh := machine.Apply(uint64(index), 2, b, true)
	if !fresh {
		panic("a request of a new sequence was taken for an old one")
	}
	return results[0]
}

// append puts a request into the log; the answer is what it comes to.
func (c *fakeCluster) append(r *pb.InternalRaftRequest) statemachine.Result {
	c.log = append(c.log, r)
	return applyAt(c.head, len(c.log), r)
}

func (c *fakeCluster) grant(id, ttl int64) {
	c.t.Helper()
	if res := c.append(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: id, TTL: ttl}}); res.Err != nil {
		c.t.Fatal(res.Err)
	}
}

// expire ends a lease, as its leader does.
func (c *fakeCluster) expire(id int64) {
	c.append(&pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: id}})
}

func (c *fakeCluster) delete(key string) {
	c.append(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}})
}

// view is the whole log's.
func (c *fakeCluster) view() *statemachine.View { return c.head.Publish() }

// keys under a prefix, in the order of creation.
func (c *fakeCluster) keys(prefix string) (keys []string) {
	res, err := c.view().Range(&pb.RangeRequest{Key: []byte(prefix), RangeEnd: []byte(prefix + "\xff"), SortTarget: pb.RangeRequest_CREATE, SortOrder: pb.RangeRequest_ASCEND})
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range res.Len() {
		keys = append(keys, string(res.KeyValue(i).GetKey()))
	}
	return keys
}

// settle has everybody take turns until nobody has anything to do.
func (c *fakeCluster) settle() {
	for busy := true; busy; {
		busy = false
		for _, m := range c.members {
			busy = m.turn(len(c.log)) || busy
		}
	}
}

// fate is what becomes of a proposal.
type fate uint8

const (
	applied     fate = iota
	lost             // never reaches the log, and runs out of time
	answerLost       // is applied; the proposer gives up before it learns that
	late             // the proposer gives up; it reaches the log later, if it is let through
	stuck            // neither for now: freed by the test
	refused          // too many requests
	memberStops      // the member stops
)

// fakeMember carries out what a call asks, one turn after the other.
type fakeMember struct {
	cluster *fakeCluster
	id      port.MemberID
	machine *statemachine.Machine
	hub     watch.Hub
	ends    []lessor.End
	applied int
	learner bool
	// leaderless says that the member knows of no leader.
	leaderless bool

	// fate decides on each proposal, readFate on each read (lost, refused and memberStops only); nil: all is well.
	fate, readFate func(*pb.InternalRaftRequest) fate
	leases         int64 // the last id chosen

	proposals []proposal
	stuck     []proposal
	late      []*pb.InternalRaftRequest
	waiting   map[int]proposal // by place in the log
	reads     []read
	outcomes  []func()
}

type proposal struct {
	request *pb.InternalRaftRequest
	done    func(node.Applied, error)
}

type read struct {
	index int // -1: not asked yet
	done  func(*statemachine.View, error)
}

var _ call.Replica = (*fakeMember)(nil)

func (m *fakeMember) publish(restored bool) { m.hub.Publish(m.machine.Publish(), restored) }

// Propose implements call.Replica.
func (m *fakeMember) Propose(r *pb.InternalRaftRequest, done func(node.Applied, error)) {
	if g := r.GetLeaseGrant(); g != nil && g.ID == 0 {
		m.leases++
		g.ID = int64(m.id)<<32 + m.leases
	}
	m.proposals = append(m.proposals, proposal{r, done})
}

// Linearize implements call.Replica.
func (m *fakeMember) Linearize(done func(*statemachine.View, error)) {
	m.reads = append(m.reads, read{-1, done})
}

// AcquireView implements call.Replica.
func (m *fakeMember) AcquireView() *statemachine.View {
	v := m.machine.Published()
	v.Acquire()
	return v
}

// Watch implements call.Replica.
func (m *fakeMember) Watch() *watch.Hub { return &m.hub }

// Status implements call.Replica.
func (m *fakeMember) Status() node.Status {
	s := node.Status{ID: m.id, ClusterID: 7, Standing: node.Standing{Term: 2, Leader: 1}, Applied: uint64(m.applied), Learner: m.learner}
	if m.leaderless {
		s.Leader = 0
	}
	return s
}

// Renew implements call.Replica; nothing that is tested with this member calls it.
func (m *fakeMember) Renew(int64, func(int64, error)) { panic("not expected") }

// LeaseEnds implements call.Replica.
func (m *fakeMember) LeaseEnds() []lessor.End { return m.ends }

// TimeToLive implements call.Replica; nothing that is tested with this member calls it.
func (m *fakeMember) TimeToLive(int64, func(node.LeaseTTL, error)) { panic("not expected") }

func (m *fakeMember) later(f func()) { m.outcomes = append(m.outcomes, f) }

// turn carries out what was asked, applies the log up to a place, and answers. It reports whether anything happened.
func (m *fakeMember) turn(upTo int) bool {
	busy := len(m.proposals)+len(m.reads) > 0
	proposals := m.proposals
	m.proposals = nil
	for _, p := range proposals {
		m.submit(p)
	}
	for i := range m.reads {
		if r := &m.reads[i]; r.index < 0 {
			r.index = len(m.cluster.log)
			if m.readFate != nil {
				r.index = m.failRead(r, m.readFate(nil))
			}
		}
	}
	for m.applied < min(upTo, len(m.cluster.log)) {
		m.applied++
		busy = true
		res := applyAt(m.machine, m.applied, m.cluster.log[m.applied-1])
		if p, ok := m.waiting[m.applied]; ok {
			delete(m.waiting, m.applied)
			a := node.Applied{Response: res.Response, Index: uint64(m.applied), Term: 2}
			m.later(func() { p.done(a, res.Err) })
		}
	}
	m.publish(false)
	var keep []read
	for _, r := range m.reads {
		switch {
		case r.done == nil:
		case r.index >= 0 && r.index <= m.applied:
			v := m.AcquireView()
			m.later(func() { r.done(v, nil) })
		default:
			keep = append(keep, r)
		}
	}
	m.reads = keep
	for len(m.outcomes) > 0 {
		outcomes := m.outcomes
		m.outcomes = nil
		for _, f := range outcomes {
			f()
		}
	}
	return busy || len(m.proposals)+len(m.reads) > 0
}

// failRead answers a read that is not to succeed, and says what its place in the log is.
func (m *fakeMember) failRead(r *read, f fate) int {
	done := r.done
	switch f {
	case lost:
		m.later(func() { done(nil, rpctypes.ErrGRPCTimeoutDueToLeaderFail) })
	case refused:
		m.later(func() { done(nil, rpctypes.ErrGRPCRequestTooManyRequests) })
	case memberStops:
		m.later(func() { done(nil, node.ErrStopped) })
	default:
		return r.index
	}
	r.done = nil
	return 0
}

func (m *fakeMember) submit(p proposal) {
	f := applied
	if m.fate != nil {
		f = m.fate(p.request)
	}
	fail := func(err error) { m.later(func() { p.done(node.Applied{}, err) }) }
	switch f {
	case applied:
		m.cluster.append(p.request)
		if m.waiting == nil {
			m.waiting = make(map[int]proposal)
		}
		m.waiting[len(m.cluster.log)] = p
	case lost:
		fail(rpctypes.ErrGRPCTimeout)
	case answerLost:
		m.cluster.append(p.request)
		fail(rpctypes.ErrGRPCTimeoutDueToLeaderFail)
	case late:
		m.late = append(m.late, p.request)
		fail(rpctypes.ErrGRPCTimeout)
	case stuck:
		m.stuck = append(m.stuck, p)
	case refused:
		fail(rpctypes.ErrGRPCRequestTooManyRequests)
	case memberStops:
		fail(node.ErrStopped)
	}
}

// free ends the wait of stuck proposals: they have their fates now.
func (m *fakeMember) free() {
	m.proposals = append(m.stuck, m.proposals...)
	m.stuck = nil
}

// jump brings the member to the log's end as a snapshot from another member does: what lies between is not walked.
func (m *fakeMember) jump() {
	m.machine = statemachine.New()
	for i, r := range m.cluster.log {
		applyAt(m.machine, i+1, r)
	}
	for place, p := range m.waiting {
		if place <= len(m.cluster.log) {
			m.later(func() { p.done(node.Applied{}, rpctypes.ErrGRPCTimeout) })
		}
	}
	clear(m.waiting)
	m.applied = len(m.cluster.log)
	m.publish(true)
}
