// Package leases holds the promises of leases: none ends before its time, and none lives on long after it.
package leases

import (
	"fmt"
	"math"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/detcd/detcd/linearizability"
)

// Forever is the time of what does not happen in a run.
const Forever = math.MaxInt64

// Act is one request of a lease's holder, in true time (nanoseconds).
type Act struct {
	// Asked is when the client sent it.
	Asked int64
	// Until is when it was answered. Where the outcome is unknown it is the last moment at which the request can still take effect:
	// as long as a member may send it on, or a message may be under way; Forever if nobody can say.
	Until int64
	// Outcome: Answered with success; Refused where the answer was that there is no such lease. Requests that certainly did not reach a
	// member are left out.
	Outcome linearizability.Outcome
	// Index and Position are a revocation's place in the log, from its answer; 0 if none came.
	Index    uint64
	Position uint32
}

// Record is a lease, as the client that holds it saw it. Requests that other clients made about the lease must be in some record with its ID, too.
type Record struct {
	Client int
	ID     int64 // 0 if the client does not know it: it was to be chosen for it, and no answer came
	TTL    int64 // seconds: as granted or, if no answer came, as asked
	Grant  Act
	// Index and Position are the grant's place in the log, from its answer; 0 if none came.
	Index    uint64
	Position uint32
	Renewals []Answer
	Looks    []Answer // TimeToLive
	Revokes  []Act
}

// Answer is a renewal or a look at a lease, and the answer. Outcome is Refused for a renewal with TTL 0 and a look with TTL -1: there
// is no such lease.
type Answer struct {
	Act
	TTL       int64 // seconds, as granted: a renewal's TTL, a look's grantedTTL
	Remaining int64 // seconds; a look's TTL
}

// Bounds are what the promises about leases depend on. Times are nanoseconds; those that members measure are by their clocks.
type Bounds struct {
	// Drift is how much a member's clock may gain or lose, in microseconds a second.
	Drift int64
	// Tenures are the times in which there was a leader that could commit, in order, without overlap: one leader of one term in each.
	Tenures []Tenure
	// Checkpoint is the interval in which a leader notes what is left of a lease.
	Checkpoint int64
	// Promotion is the most that a new leader adds to what is left of a lease: its longest election timeout.
	Promotion int64
	// Slack is the longest true time, within a tenure, from when the leader owes the log an entry (a lease's end, a checkpoint) until some member has
	// applied it. A tick goes by, then a commit, and a leader proposes only so many at a time.
	Slack int64
	// Now is the end of the run.
	Now int64
}

// Tenure is a time [From, To) in which somebody leads, or holds.
type Tenure struct{ From, To int64 }

// Check holds leases to their promises: no lease ends early, no answer says otherwise, and every lease ends. When a lease ends, all its
// keys go with it, in the same revision.
func Check(t *linearizability.Truth, records []*Record, b Bounds) *linearizability.Violation {
	l := &ledger{truth: t, bounds: b, of: make(map[int64][]*Record)}
	if v := l.read(); v != nil {
		return v
	}
	for _, r := range records {
		l.of[r.ID] = append(l.of[r.ID], r)
	}
	for _, r := range records {
		if v := l.renewalsHold(r); v != nil {
			return v
		}
		if v := l.looksAreTrue(r); v != nil {
			return v
		}
	}
	for _, one := range l.lives {
		if v := l.notEarly(one); v != nil {
			return v
		}
		if v := l.inTime(one); v != nil {
			return v
		}
	}
	return nil
}

// life is one life of a lease in the log: an id that was given can be given again when it is over.
type life struct {
	id, ttl        int64
	granted, ended int // places in the log
}

// ledger is what the log says of leases, beside what clients saw of them.
type ledger struct {
	truth  *linearizability.Truth
	lives  []life              // in the order of their grants
	of     map[int64][]*Record // by id
	bounds Bounds
}

// read finds the lives in the log. It wants the keys of a lease to be gone once it has ended.
func (l *ledger) read() *linearizability.Violation {
	leaseOf, held := make(map[string]int64), make(map[int64]int) // of the keys that are there; how many keys each lease holds
	for place, a := range l.truth.Log() {
		for _, e := range l.truth.ChangesOf(place) {
			key := string(e.GetKv().GetKey())
			if was, there := leaseOf[key]; there {
				held[was]--
				delete(leaseOf, key)
			}
			if e.GetType() == mvccpb.Event_PUT {
				leaseOf[key] = e.GetKv().GetLease()
				held[e.GetKv().GetLease()]++
			}
		}
		grant, revoke := a.Request.GetLeaseGrant(), a.Request.GetLeaseRevoke()
		switch {
		case l.truth.Answer(place) == nil:
		case grant != nil:
			l.lives = append(l.lives, life{id: grant.GetID(), ttl: grant.GetTTL(), granted: place, ended: linearizability.Nowhere})
		case revoke != nil:
			l.end(place, revoke.GetID())
			if n := held[revoke.GetID()]; n > 0 {
				return linearizability.Broken("a lease takes its keys with it", nil, "lease %x ended in %s, but still holds %d keys",
					revoke.GetID(), l.truth.At(place), n)
			}
		}
	}
	return nil
}

func (l *ledger) end(place int, id int64) {
	for i := len(l.lives) - 1; i >= 0; i-- {
		if l.lives[i].id == id {
			l.lives[i].ended = place
			return
		}
	}
}

// endOf is when a life was first seen to be over.
func (l *ledger) endOf(one life) int64 {
	if one.ended == linearizability.Nowhere {
		return Forever
	}
	return l.truth.When(one.ended).Time
}

// revoked says whether a client may have ended this life of a lease, which ended at a time.
func (l *ledger) revoked(one life, by int64) bool {
	for _, r := range l.of[one.id] {
		for _, a := range r.Revokes {
			another := a.Index > 0 && one.ended != linearizability.Nowhere && !l.isAt(one.ended, a.Index, a.Position)
			if a.Outcome != linearizability.Refused && !another && a.Asked <= by && by <= a.Until {
				return true
			}
		}
	}
	return false
}

// isAt says whether a place in the log is the one that an answer named.
func (l *ledger) isAt(place int, index uint64, position uint32) bool {
	at := &l.truth.Log()[place]
	return at.Index == index && at.Position == position
}

// ttlMost bounds TTLs in seconds, some years, so that no sum overflows.
const ttlMost = 100_000_000

// AtLeast is the least true time in which any member's clock shows that a number of seconds has passed.
func (b *Bounds) AtLeast(seconds int64) int64 {
	return min(seconds, ttlMost) * (1_000_000 - b.Drift) * 1000
}

// atMost is the longest true time in which a member's clock shows d nanoseconds.
func (b *Bounds) atMost(d int64) int64 {
	slow := 1_000_000 - b.Drift
	return d/slow*1_000_000 + (d%slow*1_000_000+slow-1)/slow
}

func (l *ledger) tell(one life) string {
	return fmt.Sprintf("lease %x of %d s, granted in %s, ended in %s", one.id, one.ttl, l.truth.At(one.granted), l.truth.At(one.ended))
}
