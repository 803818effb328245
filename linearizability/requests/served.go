package requests

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/linearizability"
)

// Nobody is the client of operations that WithServed adds.
const Nobody = -1

// WithServed returns a history with the writes of the log that no client made: members end leases, and carry out lock and election calls. They
// stand behind the clients' operations, one operation each. A search that sees keys come and go needs to know of them. Nobody got an answer,
// so their outcome is unknown, but they have their places in the log, and the time in which they happened: after all that stands before
// them had been called, and by the time that the first member had applied them.
//
// A write that may be one of a client's, which does not know what became of it, is not added, unless it ends a lease.
//
// The result is for CheckPorcupine only. CheckWitness would take the log's word for what it is to judge. Settle may come before it or after.
// The group of an operation that is added is that of its keys, as for any operation; a lock's keys must be in the group of the transactions that are
// fenced with them.
func WithServed(t *linearizability.Truth, h linearizability.History) linearizability.History {
	s := serving{claimed: make(map[place]int), lost: make(map[string]bool)}
	for i := range h {
		switch o := &h[i]; {
		case !writes(o.Request):
		case o.Outcome == linearizability.Unknown:
			s.lost[nameOf(wrapped(o.Request))] = true
		case o.Index > 0:
			s.claimed[place{o.Index, o.Position}] = i
		}
	}
	all := append(linearizability.History(nil), h...)
	called := uint64(0)
	for at, a := range t.Log() {
		if i, ours := s.claimed[place{a.Index, a.Position}]; ours {
			called = max(called, h[i].Call)
		} else if t.Answer(at) != nil && s.ofMember(a.Request) {
			applied := t.When(at).Stamp
			all = append(all, linearizability.Operation{Client: Nobody, Call: min(called, applied), Return: applied,
				Request: requestIn(a.Request), Index: a.Index, Position: a.Position})
		}
	}
	return all
}

// serving is what clients know of their writes.
type serving struct {
	claimed map[place]int   // the operation that was answered as being there
	lost    map[string]bool // by nameOf: those of unknown outcome
}

// ofMember says whether a request that no client claims is one that a member made.
func (s *serving) ofMember(r *pb.InternalRaftRequest) bool {
	switch {
	case requestIn(r) == nil, r.GetLeaseGrant() != nil:
		return false
	case r.GetLeaseRevoke() != nil:
		return true
	}
	return !s.lost[nameOf(r)]
}
