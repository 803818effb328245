// Package replicas holds what members promise of the log and of their states, while a run goes on: all have the same, and nothing that was
// committed is lost.
package replicas

import (
	"github.com/detcd/detcd/linearizability"
)

// Equality holds the promise that all members have the same state once they have applied the same entry: their state hashes are equal at
// every index, through crashes, replays and snapshots. It would miss a difference that the state hash does not cover.
type Equality struct {
	seen map[uint64]stateAt
}

type stateAt struct{ member, hash uint64 }

// Observe notes a member's state hash once it has applied the entry at index, or installed a snapshot up to it.
func (r *Equality) Observe(member, index, hash uint64) *linearizability.Violation {
	if r.seen == nil {
		r.seen = make(map[uint64]stateAt)
	}
	first, known := r.seen[index]
	if !known {
		r.seen[index] = stateAt{member, hash}
		return nil
	}
	if first.hash != hash {
		return linearizability.Broken("equal replicas", nil, "after entry %d member %x has state %016x, member %x had %016x", index, member, hash, first.member, first.hash)
	}
	return nil
}
