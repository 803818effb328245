package linearizability

import (
	"fmt"
	"math"

	"github.com/detcd/detcd/linearizability/model"
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
	Outcome Outcome
	// Index and Position are a revocation's place in the log, from its answer; 0 if none came.
	Index    uint64
	Position uint32
}

// LeaseRecord is a lease, as the client that holds it saw it. All requests about the lease must be in some record with its ID, whoever
// made them.
type LeaseRecord struct {
	Client int
	ID     int64 // 0 if the client does not know it: it was to be chosen for it, and no answer came
	TTL    int64 // seconds: as granted or, if no answer came, as asked
	Grant  Act
	// Index and Position are the grant's place in the log, from its answer; 0 if none came.
	Index    uint64
	Position uint32
	Renewals []LeaseAnswer
	Looks    []LeaseAnswer // TimeToLive
	Revokes  []Act
}

// LeaseAnswer is a renewal or a look at a lease, and the answer. Outcome is Refused for a renewal with TTL 0 and a look with TTL -1: there
// is no such lease.
type LeaseAnswer struct {
	Act
	TTL       int64 // seconds, as granted: a renewal's TTL, a look's grantedTTL
	Remaining int64 // seconds; a look's TTL
}

// LeaseBounds are what the promises about leases depend on. Times are nanoseconds; those that members measure are by their clocks.
type LeaseBounds struct {
	// Drift is how much a member's clock may gain or lose, in microseconds a second.
	Drift int64
	// Tenures are the times in which there was a leader that could commit, in order, without overlap: one leader of one term in each.
	Tenures []Tenure
	// Checkpoint is the interval in which a leader notes what is left of a lease.
	Checkpoint int64
	// Promotion is the most that a new leader adds to what is left of a lease: its longest election timeout.
	Promotion int64
	// Slack is the longest true time, within a tenure, from when the leader owes the log an entry (a lease's end, a checkpoint) until
	// some member has applied it: a tick, a limit on how many at a time, and a commit.
	Slack int64
	// Now is the end of the run.
	Now int64
}

// Tenure is a time [From, To) in which somebody leads, or holds.
type Tenure struct{ From, To int64 }

// CheckLeases holds leases to their promises: see checkNotEarly, checkRenewed, checkLooks and checkInTime. And when a lease ends, all its keys go with it, in the
// same revision.
func CheckLeases(t *Truth, leases []*LeaseRecord, b LeaseBounds) *Violation {
	if t.err != nil {
		return t.err
	}
	of := make(map[int64][]*LeaseRecord)
	for _, r := range leases {
		of[r.ID] = append(of[r.ID], r)
	}
	for _, r := range leases {
		if v := checkRenewed(t, r, of[r.ID], b); v != nil {
			return v
		}
		if v := checkLooks(t, r, of[r.ID], b); v != nil {
			return v
		}
	}
	for _, l := range t.leases {
		if v := checkNotEarly(t, l, of[l.id], b); v != nil {
			return v
		}
		if v := checkInTime(t, l, of[l.id], b); v != nil {
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

func (t *Truth) endLease(place int, id int64, after *model.State) {
	if n := after.Attached(id); n > 0 && t.err == nil {
		t.err = violation("a lease takes its keys with it", nil, "lease %x ended in %s, but still holds %d keys", id, t.at(place), n)
	}
	for i := len(t.leases) - 1; i >= 0; i-- {
		if t.leases[i].id == id {
			t.leases[i].ended = place
			return
		}
	}
}

// endOf is when a life was first seen to be over.
func (t *Truth) endOf(l life) int64 {
	if l.ended == never {
		return Forever
	}
	return t.when[l.ended].Time
}

// revoked says whether a client may have ended this life of a lease, which ended at a time.
func (t *Truth) revoked(l life, records []*LeaseRecord, by int64) bool {
	for _, r := range records {
		for _, a := range r.Revokes {
			another := a.Index > 0 && l.ended != never && (a.Index != t.log[l.ended].Index || a.Position != t.log[l.ended].Position)
			if a.Outcome != Refused && !another && a.Asked <= by && by <= a.Until {
				return true
			}
		}
	}
	return false
}

// ttlMost bounds TTLs in seconds, some years, so that no sum overflows.
const ttlMost = 100_000_000

// atLeast is the least true time in which any member's clock shows that a number of seconds has passed.
func (b *LeaseBounds) atLeast(seconds int64) int64 {
	return min(seconds, ttlMost) * (1_000_000 - b.Drift) * 1000
}

// atMost is the longest true time in which a member's clock shows d nanoseconds.
func (b *LeaseBounds) atMost(d int64) int64 {
	slow := 1_000_000 - b.Drift
	return d/slow*1_000_000 + (d%slow*1_000_000+slow-1)/slow
}

func (t *Truth) tell(l life) string {
	return fmt.Sprintf("lease %x of %d s, granted in %s, ended in %s", l.id, l.ttl, t.at(l.granted), t.at(l.ended))
}
