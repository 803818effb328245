package linearizability

// Replicas holds the promise that all members have the same state once they have applied the same entry: their state hashes are equal at
// every index, through crashes, replays and snapshots. It would miss a difference that the state hash does not cover.
type Replicas struct {
	seen map[uint64]stateAt
}

type stateAt struct{ member, hash uint64 }

// Observe notes a member's state hash once it has applied the entry at index, or installed a snapshot up to it.
func (r *Replicas) Observe(member, index, hash uint64) *Violation {
	if r.seen == nil {
		r.seen = make(map[uint64]stateAt)
	}
	first, known := r.seen[index]
	if !known {
		r.seen[index] = stateAt{member, hash}
		return nil
	}
	if first.hash != hash {
		return violation("equal replicas", nil, "after entry %d member %x has state %016x, member %x had %016x", index, member, hash, first.member, first.hash)
	}
	return nil
}
