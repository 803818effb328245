// Package locks holds the promises of locks and elections, which are one thing: whoever has the oldest key under a name holds it.
package locks

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/linearizability/leases"
)

// Record is one call of Lock, and what its client made of the answer.
type Record struct {
	Client int
	Name   []byte
	// Lease is the client's. Where the service was to make one, its ID is 0 until the answer, its Grant was asked for with the call, and its TTL is
	// the service's.
	Lease *leases.Record

	Call, Return uint64 // stamps
	Outcome      linearizability.Outcome
	Key          []byte // answered
	Revision     int64  // the key's create revision, as the client learned it to fence its writes with; 0: it did not

	From  int64 // true time of the answer
	Until int64 // true time at which the client gave the lock up, before it asked to unlock; leases.Forever: it did not
}

// Check holds locks to their promises: one holder at a time, fencing, and nothing in a lock's queue that nobody asked for. All calls must be in
// the records, answered or not. No other keys may lie under a lock's name. Clients do nothing with a lock's keys but compare them in
// transactions.
func Check(t *linearizability.Truth, locks []*Record, b leases.Bounds) *linearizability.Violation {
	of := make(map[string][]*Record)
	var names []string // in order of their first call
	for _, l := range locks {
		if of[string(l.Name)] == nil {
			names = append(names, string(l.Name))
		}
		of[string(l.Name)] = append(of[string(l.Name)], l)
	}
	fences := fencesIn(t)
	for _, name := range names {
		q := queueOf(t, []byte(name))
		for _, promise := range []func() *linearizability.Violation{
			func() *linearizability.Violation { return lockedInTurn(t, q, of[name]) },
			func() *linearizability.Violation { return lockedOnce(of[name], b) },
			func() *linearizability.Violation { return lockAsked(t, q, locks) },
			func() *linearizability.Violation { return fenced(t, fences, name) },
		} {
			if v := promise(); v != nil {
				return v
			}
		}
	}
	return nil
}

// lockedOnce holds the promise of mutual exclusion: no two clients hold a lock at a time, if each takes itself for the holder only for as long as held
// says.
func lockedOnce(locks []*Record, b leases.Bounds) *linearizability.Violation {
	held := make([]leases.Tenure, len(locks))
	for i, one := range locks {
		held[i] = one.held(b)
		for j, other := range locks[:i] {
			from, to := max(held[i].From, held[j].From), min(held[i].To, held[j].To)
			if from < to && !bytes.Equal(one.Key, other.Key) {
				return linearizability.Broken("one holder of a lock", nil, "between %d ns and %d ns there are two:\n  %s\n  %s", from, to, other, one)
			}
		}
	}
	return nil
}

// held is the time in which a client may take itself for the holder. It begins with the answer. It ends when the client gives the lock up, asks to revoke
// the lease, hears that the lease is gone, or when the lease may have run out. The lease's time is counted from when the client asked for
// the last renewal that was acknowledged in time.
func (l *Record) held(b leases.Bounds) leases.Tenure {
	if l.Outcome != linearizability.Answered || l.Lease == nil {
		return leases.Tenure{}
	}
	acks := []leases.Act{l.Lease.Grant}
	for _, a := range l.Lease.Renewals {
		if a.Outcome == linearizability.Answered {
			acks = append(acks, a.Act)
		}
	}
	slices.SortStableFunc(acks, func(x, y leases.Act) int { return cmp.Compare(x.Until, y.Until) })
	lives := int64(0)
	for i, a := range acks {
		if i == 0 || a.Until < lives {
			lives = max(lives, a.Asked+b.AtLeast(l.Lease.TTL))
		}
	}
	to := min(l.Until, lives)
	for _, a := range l.Lease.Revokes {
		to = min(to, a.Asked)
	}
	for _, a := range l.Lease.Renewals {
		if a.Outcome == linearizability.Refused {
			to = min(to, a.Until)
		}
	}
	return leases.Tenure{From: l.From, To: to}
}

// lockedInTurn holds the promise that a lock is granted to whoever is the oldest in its queue at some time between call and answer, and
// that the revision it fences with is its own.
func lockedInTurn(t *linearizability.Truth, q *queue, locks []*Record) *linearizability.Violation {
	for _, l := range locks {
		if l.Outcome == linearizability.Answered && !q.reigned(l.Key, l.Revision, t.Known(l.Call), t.Known(l.Return)) {
			return linearizability.Broken("a lock is granted in turn", nil, "its key was not the oldest at any time between call and answer:\n  %s", l)
		}
	}
	return nil
}

// lockAsked wants a call behind every key in a lock's queue.
func lockAsked(t *linearizability.Truth, q *queue, locks []*Record) *linearizability.Violation {
	for _, one := range q.tenancies {
		place := one.from - 1
		if !slices.ContainsFunc(locks, func(l *Record) bool { return l.Call < t.When(place).Stamp && l.queues(one) }) {
			return linearizability.Broken("a lock is granted in turn", nil, "nobody can have asked for %q in %s", one.key, t.At(place))
		}
	}
	return nil
}

// queues says whether a call may have made a key.
func (l *Record) queues(one tenancy) bool {
	key, mine := bytes.CutPrefix(one.key, append(bytes.Clone(l.Name), '/'))
	if l.Lease == nil || l.Lease.ID == 0 {
		return mine // nobody knows which lease the service made
	}
	return mine && one.lease == l.Lease.ID && string(key) == strconv.FormatInt(l.Lease.ID, 16)
}

// fenced holds the promise of fencing: once a transaction of one holder has gone through that compares its key's create revision, no such transaction of
// an earlier holder goes through.
func fenced(t *linearizability.Truth, fences []fence, name string) *linearizability.Violation {
	var last *fence
	for i := range fences {
		f := &fences[i]
		if !under(f.key, []byte(name)) {
			continue
		}
		if last != nil && f.created < last.created {
			return linearizability.Broken("fencing", nil, "the holder of revision %d (%q) writes in %s, after that of %d (%q) in %s",
				f.created, f.key, t.At(f.place), last.created, last.key, t.At(last.place))
		}
		last = f
	}
	return nil
}

func (l *Record) String() string {
	return fmt.Sprintf("client %d, lock %q, key %q of revision %d, asked for at %d, answered at %d (%d ns), given up at %d ns",
		l.Client, l.Name, l.Key, l.Revision, l.Call, l.Return, l.From, l.Until)
}
