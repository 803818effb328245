package linearizability

import (
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// account wants somebody to have asked for everything in the log. What no operation says is its own must be a request of unknown outcome,
// each taken once, and not before what had been answered when it was called.
func (w *witness) account() *Violation {
	free := make(map[string][]int) // places in the log that nobody claims, by request
	var names []string             // of free, in order of their first place
	given := givenIDs(w.history)
	for at, a := range w.log {
		if _, ours := w.claimed[place{a.Index, a.Position}]; ours || !ofClients(a.Request) || w.served(a.Request) {
			continue
		}
		name := given.nameInLog(a.Request)
		if free[name] == nil {
			names = append(names, name)
		}
		free[name] = append(free[name], at)
	}
	if len(names) == 0 {
		return nil
	}
	lost, floors := make(map[string][]int), w.floors()
	for i := range w.history {
		if o := &w.history[i]; o.Outcome == Unknown && writes(o.Request) {
			name := nameOf(wrapped(o.Request))
			lost[name] = append(lost[name], i)
		}
	}
	for _, name := range names {
		if at := w.unaccounted(free[name], lost[name], floors); at >= 0 {
			a := &w.log[at]
			return violation("nothing happens unasked, or twice", lost[name], "nobody can have asked for what is at %d.%d in the log: %s",
				a.Index, a.Position, text(a.Request))
		}
	}
	return nil
}

// unaccounted pairs places in the log with equal requests of unknown outcome and returns the first place that is left over, or -1. A request
// can stand only behind its floor, so a place is left over just when fewer requests have floors before it than there are places up to it.
func (w *witness) unaccounted(free, lost []int, floors map[int]uint64) int {
	byFloor := slices.Clone(lost)
	slices.SortStableFunc(byFloor, func(a, b int) int { return cmp.Compare(floors[a], floors[b]) })
	ready := 0
	for taken, at := range free {
		here := Operation{Request: requestIn(w.log[at].Request), Index: w.log[at].Index, Position: w.log[at].Position}
		for ready < len(byFloor) && floors[byFloor[ready]] < rankOf(&here) {
			ready++
		}
		if ready <= taken {
			return at
		}
	}
	return -1
}

// floors gives for each operation of unknown outcome the last place that had been answered when it was called.
func (w *witness) floors() map[int]uint64 {
	var lost, placed []int
	for i := range w.history {
		switch o := &w.history[i]; {
		case o.Outcome == Unknown:
			lost = append(lost, i)
		case o.Index > 0:
			placed = append(placed, i)
		}
	}
	slices.SortStableFunc(lost, func(a, b int) int { return cmp.Compare(w.history[a].Call, w.history[b].Call) })
	slices.SortStableFunc(placed, func(a, b int) int { return cmp.Compare(w.history[a].Return, w.history[b].Return) })
	floors := make(map[int]uint64, len(lost))
	floor := uint64(0)
	for _, i := range lost {
		for len(placed) > 0 && w.history[placed[0]].Return < w.history[i].Call {
			floor = max(floor, rankOf(&w.history[placed[0]]))
			placed = placed[1:]
		}
		floors[i] = floor
	}
	return floors
}

// requestIn is the client's request inside one of the log's; nil if it is none that a client makes.
func requestIn(r *pb.InternalRaftRequest) proto.Message {
	switch {
	case r.GetPut() != nil:
		return r.GetPut()
	case r.GetDeleteRange() != nil:
		return r.GetDeleteRange()
	case r.GetTxn() != nil:
		return r.GetTxn()
	case r.GetCompaction() != nil:
		return r.GetCompaction()
	case r.GetLeaseGrant() != nil:
		return r.GetLeaseGrant()
	case r.GetLeaseRevoke() != nil:
		return r.GetLeaseRevoke()
	}
	return nil
}

// ofClients says whether only a client can have made a request. Leases are revoked by members too, when they expire.
func ofClients(r *pb.InternalRaftRequest) bool {
	return requestIn(r) != nil && r.GetLeaseRevoke() == nil
}

// leaseIDs are those that clients chose for their leases.
type leaseIDs map[int64]bool

func givenIDs(h History) leaseIDs {
	given := make(leaseIDs)
	for i := range h {
		if r, ok := h[i].Request.(*pb.LeaseGrantRequest); ok && r.GetID() != 0 {
			given[r.GetID()] = true
		}
	}
	return given
}

// nameInLog is the nameOf of what a client may have asked for to get this into the log: a lease may have been given its id by a member.
func (given leaseIDs) nameInLog(r *pb.InternalRaftRequest) string {
	if g := r.GetLeaseGrant(); g != nil && !given[g.GetID()] {
		r = &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{}}
	}
	return nameOf(r)
}

// nameOf is a text that equal requests share, and no others. Leases are equal if their ids are, as members grant longer ones than they
// were asked for.
func nameOf(r *pb.InternalRaftRequest) string {
	r = proto.Clone(r).(*pb.InternalRaftRequest)
	r.Header, r.ID = nil, 0
	if g := r.GetLeaseGrant(); g != nil {
		g.TTL = 0
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		panic("linearizability: a request can't be encoded: " + err.Error())
	}
	return string(b)
}
