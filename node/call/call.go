// Package call is what each call of the API means: how a request is validated, whether it goes through the log, reads a linearizable
// view, asks the leader or is answered at once, and what is made of the outcome. It is written once; the gRPC door and the simulator's clients both go
// through it, and differ only in how they wait.
//
// Concurrency: everything here is a pure function of its arguments; any goroutine may call it.
package call

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/lessor"
	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// Limits are the bounds on a request that a member is configured with.
type Limits struct {
	MaxTxnOps       int   // operations in one transaction (etcd's --max-txn-ops)
	MaxRequestBytes int   // encoded size of one request (etcd's --max-request-bytes)
	QuotaBytes      int64 // reported size limit of the stored data (etcd's --quota-backend-bytes)
	MinLeaseTTL     int64 // seconds; a lease that is to be shorter gets this (see MinLeaseTTL)
}

// DefaultLimits are etcd's.
func DefaultLimits() Limits {
	return Limits{MaxTxnOps: 128, MaxRequestBytes: 1536 << 10, QuotaBytes: 2 << 30, MinLeaseTTL: 2}
}

// Way is how a call is carried out.
type Way uint8

const (
	// Locally: from the newest view this member has, which may be old.
	Locally Way = iota
	// Linearized: from a view that holds all that was acknowledged before the call.
	Linearized
	// Proposed: through the log.
	Proposed
	// Renewed: by the leader, which gives the lease its full TTL again.
	Renewed
	// Timed: from the leader, which knows how much is left of the lease.
	Timed
)

// Step is what a call needs before it can be answered.
type Step struct {
	Way     Way
	Request *pb.InternalRaftRequest // with Proposed
	Lease   int64                   // with Renewed and Timed
	// View, with Timed, asks for a linearized view, too, of after the leader's answer.
	View bool
	// Ends, with Linearized, asks for when leases end, too, as far as the member knows.
	Ends bool
}

// Outcome is what came of the step.
type Outcome struct {
	// View is pinned while Finish runs (with Locally and Linearized, and with Timed where it was asked for).
	View    *statemachine.View
	Applied node.Applied // with Proposed
	// Revision, with Renewed and Timed, is that of the newest view before the leader was asked: what the answer's header says, so that it is
	// not ahead of what the lease was seen alive at.
	Revision int64
	TTL      int64         // with Renewed: seconds, 0 if there is no such lease
	Lease    node.LeaseTTL // with Timed
	Ends     []lessor.End  // with Linearized where it was asked for: Member.LeaseEnds, as of after the view
	Status   node.Status
	Limits   Limits
}

// Unary is one call of the API.
type Unary[Req, Resp any] struct {
	// Begin validates the request. Its errors are the API's (rpctypes), and certain: nothing has happened.
	Begin func(l Limits, r Req) (Step, error)
	// Finish makes the answer, with its header. It may take as long as the answer is large.
	Finish func(r Req, o Outcome) (Resp, error)
}

// Member is what a call needs of the member that it is made of. *node.Member is one, within its turns.
type Member interface {
	Propose(*pb.InternalRaftRequest, func(node.Applied, error))
	Linearize(func(*statemachine.View, error))
	AcquireView() *statemachine.View
	Renew(id int64, done func(ttl int64, err error))
	TimeToLive(id int64, done func(t node.LeaseTTL, err error))
	LeaseEnds() []lessor.End
	Watch() *watch.Hub
	Status() node.Status
}

var _ Member = (*node.Member)(nil)

// Do makes a call; done is called within one of the member's turns (in this very one if the call is refused at once).
func Do[Req, Resp any](m Member, u Unary[Req, Resp], l Limits, r Req, done func(Resp, Outcome, error)) {
	var none Resp
	step, err := u.Begin(l, r)
	if err != nil {
		done(none, Outcome{}, err)
		return
	}
	read := func(v *statemachine.View, err error) {
		o := Outcome{View: v, Status: m.Status(), Limits: l}
		if err != nil {
			done(none, o, err)
			return
		}
		defer v.Release()
		if step.Ends {
			o.Ends = m.LeaseEnds()
		}
		resp, err := u.Finish(r, o)
		done(resp, o, err)
	}
	switch step.Way {
	case Locally:
		read(m.AcquireView(), nil)
	case Linearized:
		m.Linearize(read)
	case Proposed:
		proposeWithin(m, l, step.Request, func(a node.Applied, err error) {
			o := Outcome{Applied: a, Status: m.Status(), Limits: l}
			if err != nil {
				done(none, o, err)
				return
			}
			resp, err := u.Finish(r, o)
			done(resp, o, err)
		})
	case Renewed, Timed:
		ask(m, u, l, step, r, done)
	}
}

// ask makes a call that the leader answers.
func ask[Req, Resp any](m Member, u Unary[Req, Resp], l Limits, step Step, r Req, done func(Resp, Outcome, error)) {
	o := Outcome{Limits: l, Revision: headRevision(m)}
	finish := func(err error) {
		o.Status = m.Status()
		var resp Resp
		if err == nil {
			resp, err = u.Finish(r, o)
		}
		done(resp, o, err)
	}
	if step.Way == Renewed {
		m.Renew(step.Lease, func(ttl int64, err error) {
			o.TTL = ttl
			finish(err)
		})
		return
	}
	m.TimeToLive(step.Lease, func(t node.LeaseTTL, err error) {
		o.Lease = t
		if err != nil || !step.View {
			finish(err)
			return
		}
		m.Linearize(func(v *statemachine.View, err error) {
			if err != nil {
				finish(err)
				return
			}
			defer v.Release()
			o.View = v
			finish(nil)
		})
	})
}

func headRevision(m Member) int64 {
	v := m.AcquireView()
	defer v.Release()
	return v.Revision()
}

// header is an answer's header; revision is that of the state it speaks of.
func header(s node.Status, revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: s.ClusterID, MemberId: uint64(s.ID), RaftTerm: s.Term, Revision: revision}
}

// complete fills in the header of an applied request's answer, of which the state machine knows the revision only.
func complete(h *pb.ResponseHeader, s node.Status) {
	h.ClusterId, h.MemberId, h.RaftTerm = s.ClusterID, uint64(s.ID), s.Term
}
