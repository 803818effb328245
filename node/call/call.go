// Package call is what each call of the API means, and the gate that all of them pass (Gate): how a request is validated, whether it goes through the
// log, reads a linearizable view, asks the leader or is answered at once, and what is made of the outcome. It is written once. The doors and the simulator's
// clients both go through it, and differ only in how they wait (Pending).
//
// Concurrency: a Gate and the kinds of calls may be used by any goroutine. A call that is under way belongs to one caller at a time; those that begin in a turn of
// the member belong to its turns.
package call

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/lessor"
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

// Step is which way a call goes.
type Step struct {
	Way     Way
	Request *pb.InternalRaftRequest // with Proposed
	Lease   int64                   // with Renewed and Timed
	// View, with Timed, asks for a linearized view, too, of after the leader's answer.
	View bool
	// Ends, with Linearized, asks for when leases end, too, as far as the member knows.
	Ends bool
}

// Outcome is what came of the way.
type Outcome struct {
	// View is pinned while Finish runs (with Locally and Linearized, and with Timed where it was asked for).
	View    *statemachine.View
	Applied node.Applied // with Proposed
	// Revision, with Renewed and Timed, is that of the newest view before the leader was asked: what the answer's header says, so that it is
	// not ahead of what the lease was seen alive at.
	Revision int64
	Lease    node.LeaseTTL // with Timed; with Renewed only its Granted, 0 if there is no such lease
	Ends     []lessor.End  // with Linearized where it was asked for: Replica.LeaseEnds, as of after the view
	Status   node.Status   // the answering member's, as of the answer; zero where the gate has refused the call
	Limits   Limits
}

// Unary is one call of the API: a request, and an answer.
type Unary[Req, Resp any] struct {
	// Method is its full name in gRPC.
	Method string
	// VotersOnly says that a learner refuses the call even where it could answer it from what it knows itself.
	VotersOnly bool
	// Begin validates the request. Its errors are the API's (rpctypes), and certain: nothing has happened.
	Begin func(l Limits, r Req) (Step, error)
	// Finish makes the answer, with its header. It may take as long as the answer is large.
	Finish func(r Req, o Outcome) (Resp, error)
}

func headRevision(at Local) int64 {
	v := at.AcquireView()
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
