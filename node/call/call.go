// Package call is what each call of the API means: how a request is validated, whether it goes through the log, reads a linearizable
// view or is answered at once, and what is made of the outcome. It is written once; the gRPC door and the simulator's clients both go
// through it, and differ only in how they wait.
//
// Concurrency: everything here is a pure function of its arguments; any goroutine may call it.
package call

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/statemachine"
)

// Limits are the bounds on a request that a member is configured with.
type Limits struct {
	MaxTxnOps       int   // operations in one transaction (etcd's --max-txn-ops)
	MaxRequestBytes int   // encoded size of one request (etcd's --max-request-bytes)
	QuotaBytes      int64 // reported size limit of the stored data (etcd's --quota-backend-bytes)
}

// DefaultLimits are etcd's.
func DefaultLimits() Limits {
	return Limits{MaxTxnOps: 128, MaxRequestBytes: 1536 << 10, QuotaBytes: 2 << 30}
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
)

// Step is what a call needs before it can be answered.
type Step struct {
	Way     Way
	Request *pb.InternalRaftRequest // with Proposed
}

// Outcome is what came of the step.
type Outcome struct {
	// View is pinned while Finish runs (with Locally and Linearized).
	View    *statemachine.View
	Applied node.Applied // with Proposed
	Status  node.Status
	Limits  Limits
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
		resp, err := u.Finish(r, o)
		done(resp, o, err)
	}
	switch step.Way {
	case Locally:
		read(m.AcquireView(), nil)
	case Linearized:
		m.Linearize(read)
	case Proposed:
		m.Propose(step.Request, func(a node.Applied, err error) {
			o := Outcome{Applied: a, Status: m.Status(), Limits: l}
			if err != nil {
				done(none, o, err)
				return
			}
			resp, err := u.Finish(r, o)
			done(resp, o, err)
		})
	}
}

// header is an answer's header; revision is that of the state it speaks of.
func header(s node.Status, revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: s.ClusterID, MemberId: uint64(s.ID), RaftTerm: s.Term, Revision: revision}
}

// complete fills in the header of an applied request's answer, of which the state machine knows the revision only.
func complete(h *pb.ResponseHeader, s node.Status) {
	h.ClusterId, h.MemberId, h.RaftTerm = s.ClusterID, uint64(s.ID), s.Term
}
