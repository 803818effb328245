package node

import (
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
)

// relays are the batches, of any member, that this member as leader of its term has put into its log and not applied yet. A batch that is
// forwarded again meanwhile is not appended again. (Should one be, it is not applied again.)
type relays struct {
	*core
	// leases holds, for each batch, the leases that it ends.
	leases map[statemachine.Origin][]int64 // looked up, never ranged over
	// ending counts, for each lease, the requests in these batches that end it.
	ending map[int64]int // looked up, never ranged over
}

func newRelays(c *core) relays {
	return relays{core: c, leases: make(map[statemachine.Origin][]int64), ending: make(map[int64]int)}
}

// begin forgets what this member did as leader of another term.
func (r *relays) begin() {
	clear(r.leases)
	clear(r.ending)
}

// forwarded takes another member's batch.
func (r *relays) forwarded(from port.MemberID, encoded []byte) {
	if !r.leads() || r.stopping {
		return // the follower sends it again, to whoever leads then
	}
	e, err := statemachine.Decode(encoded, r.config.KnownFormat)
	if err != nil || e.Proposer != uint64(from) {
		r.log(port.Warn, "dropped a forwarded request that can't be read", "from", from, "error", err)
		return
	}
	r.add(e, encoded)
}

// add appends an encoded batch to the log of this leader, unless it is there already. It reports whether it is there.
func (r *relays) add(e *statemachine.Envelope, encoded []byte) bool {
	if _, ok := r.leases[e.Origin]; ok {
		return true
	}
	if err := r.raft.Propose(encoded); err != nil {
		// Dropped: raft is handing leadership over, or the log has too much that is not committed. It is sent again later.
		if !errors.Is(err, raft.ErrProposalDropped) {
			r.log(port.Warn, "raft refused a proposal", "error", err)
		}
		return false
	}
	ends := endsLeases(e.Requests)
	for _, id := range ends {
		r.ending[id]++
	}
	r.leases[e.Origin] = ends
	return true
}

// applied notes that a batch is applied.
func (r *relays) applied(e *statemachine.Envelope) {
	for _, id := range r.leases[e.Origin] {
		if r.ending[id]--; r.ending[id] == 0 {
			delete(r.ending, id)
		}
	}
	delete(r.leases, e.Origin)
}

// ends says whether a request that ends a lease is in this leader's log and not applied yet.
func (r *relays) ends(lease int64) bool { return r.ending[lease] > 0 }

// endsLeases lists the leases that a batch ends, unless it is refused.
func endsLeases(requests []*pb.InternalRaftRequest) (ids []int64) {
	for _, r := range requests {
		if r.GetLeaseRevoke() != nil {
			ids = append(ids, r.GetLeaseRevoke().GetID())
		}
	}
	return ids
}
