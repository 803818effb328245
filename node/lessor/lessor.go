// Package lessor keeps the deadlines of leases on the leader, by the leader's clock. It is told of grants, renewals and checkpoints. It says which
// leases have passed their deadline, and which should have their remaining time written into the log. It proposes nothing and knows nothing of
// terms. A member that leads no more throws its lessor away, and loads a new one when it leads again.
//
// Two heaps say when to look at a lease next: one for its end, one for its checkpoint. A renewal does not touch them. If a lease comes up before
// its time, because it was renewed, it is put back to where it belongs by then. So a renewal costs O(1), and nothing is ever scanned.
//
// Concurrency: none inside; it is called within the member's turns.
package lessor

import (
	"container/heap"
	"time"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
)

// Options are a lessor's times.
type Options struct {
	// CheckpointInterval is how long a lease goes without a renewal before its remaining time is to be written into the log.
	CheckpointInterval time.Duration
	// Retry is the time after which an ended lease is reported again, if it is still there.
	Retry time.Duration
}

// Lessor knows when each lease ends.
type Lessor struct {
	options     Options
	leases      map[int64]*lease // looked up, never ranged over
	ends        queue
	checkpoints queue
	clearings   uint64 // begun so far
}

type lease struct {
	id  int64
	ttl int64 // seconds
	// deadline is when the lease ends unless it is renewed.
	deadline port.Instant
	// checkpointAt is when what remains is to be written down.
	checkpointAt port.Instant
	// noted is the least remaining TTL, in seconds, that the log has or may come to have of this lease; 0: none.
	noted int64
	// clearing names the checkpoint that is on its way to give the lease its full TTL back. Until it is applied, no other checkpoint of the lease may
	// follow it. 0: there is none.
	clearing uint64
	// ending: it was reported as ended.
	ending bool

	ends, checkpoint slot
}

// New returns a lessor without leases.
func New(o Options) *Lessor {
	l := &Lessor{options: o, leases: make(map[int64]*lease)}
	l.ends.slot = func(e *lease) *slot { return &e.ends }
	l.checkpoints.slot = func(e *lease) *slot { return &e.checkpoint }
	return l
}

// Load adds all leases of the state at once: each has what is left of its TTL as far as the log knows, and extend more, which makes up for
// the time without a leader, when nobody could renew. n is about how many there are. It costs O(n).
func (l *Lessor) Load(now port.Instant, extend time.Duration, n int, leases func(func(statemachine.Lease) bool)) {
	l.leases = make(map[int64]*lease, n)
	l.ends.list, l.checkpoints.list = make([]*lease, 0, n), make([]*lease, 0, n)
	var slab []lease // one allocation for many
	leases(func(s statemachine.Lease) bool {
		if len(slab) == 0 {
			slab = make([]lease, min(max(n-len(l.leases), 1), slabLeases))
		}
		e := &slab[0]
		slab = slab[1:]
		e.id, e.ttl, e.noted = s.ID, s.TTL, s.Remaining
		left := s.TTL
		if s.Remaining > 0 {
			left = s.Remaining
		}
		e.deadline = after(now, left).Add(extend)
		l.leases[e.id] = e
		l.ends.append(e, e.deadline)
		if at, ok := l.nextCheckpoint(e, now); ok {
			l.checkpoints.append(e, at)
		}
		return true
	})
	heap.Init(&l.ends)
	heap.Init(&l.checkpoints)
}

// slabLeases is how many leases share one allocation at most. Its memory is free again when the last of them is gone.
const slabLeases = 64

// Add adds a lease that was granted now, of a TTL in seconds.
func (l *Lessor) Add(now port.Instant, id, ttl int64) {
	l.Drop(id)
	e := &lease{id: id, ttl: ttl, deadline: after(now, ttl)}
	l.leases[id] = e
	l.ends.put(e, e.deadline)
	l.scheduleCheckpoint(e, now)
}

// Drop forgets a lease.
func (l *Lessor) Drop(id int64) {
	e := l.leases[id]
	if e == nil {
		return
	}
	delete(l.leases, id)
	l.ends.remove(e)
	l.checkpoints.remove(e)
}

// Len returns how many leases there are.
func (l *Lessor) Len() int { return len(l.leases) }

// End is when a lease ends, unless it is renewed.
type End struct {
	ID int64
	At port.Instant
}

// Ends lists when each lease ends, in any order. It costs O(n).
func (l *Lessor) Ends() []End {
	all := make([]End, len(l.ends.list))
	for i, e := range l.ends.list {
		all[i] = End{e.id, e.deadline}
	}
	return all
}

// Renewal is what came of an attempt to renew a lease.
type Renewal uint8

const (
	// Unknown: there is no such lease, or it is ending.
	Unknown Renewal = iota
	// Renewed: it has its full TTL from now on.
	Renewed
	// Clear: the log may hold a checkpoint of it, so that a later leader would end it early. A checkpoint of 0 has to be applied first;
	// then it can be renewed. See Clearing and Cleared.
	Clear
)

// Renew gives a lease its full TTL again, of which it returns the seconds, if that may be acknowledged at once.
func (l *Lessor) Renew(now port.Instant, id int64) (ttl int64, r Renewal) {
	e := l.leases[id]
	switch {
	case e == nil || e.ending:
		return 0, Unknown
	case e.noted > 0:
		return 0, Clear
	}
	e.deadline = after(now, e.ttl)
	// The heap may look at a lease too early, but never too late. A lease that was extended beyond its TTL ends earlier after a renewal.
	if e.deadline < e.ends.at {
		l.ends.put(e, e.deadline)
	}
	l.scheduleCheckpoint(e, now)
	return e.ttl, Renewed
}

// Clearing says that a checkpoint of 0 of this lease is about to be proposed, and returns a name for it; 0 if one is on its way already.
func (l *Lessor) Clearing(id int64) (token uint64) {
	e := l.leases[id]
	if e == nil || e.clearing != 0 {
		return 0
	}
	l.clearings++
	e.clearing = l.clearings
	l.checkpoints.remove(e)
	return e.clearing
}

// Cleared says what came of that checkpoint. If it was applied, the log gives the lease its full TTL. If nobody saw it applied, the log may not.
func (l *Lessor) Cleared(now port.Instant, id int64, token uint64, applied bool) {
	e := l.leases[id]
	if e == nil || e.clearing != token {
		return
	}
	e.clearing = 0
	if applied {
		e.noted = 0
	}
	l.scheduleCheckpoint(e, now)
}

// Time returns a lease's TTL and how much of that is left, in whole seconds, never less than 0.
func (l *Lessor) Time(now port.Instant, id int64) (granted, remaining int64, found bool) {
	e := l.leases[id]
	if e == nil {
		return 0, 0, false
	}
	return e.ttl, max(0, int64(e.deadline.Sub(now)/time.Second)), true
}

// maxLooks bounds how many leases a call looks at. So a turn stays short when very many come up together, most of which were renewed.
const maxLooks = 20_000

// Expired returns up to limit leases whose deadline has passed, in the order of their deadlines. Each of them counts as ending from then on. It is
// returned again after Options.Retry, unless it was dropped. A lease for which busy says true is passed over, and looked at again after
// Options.Retry.
func (l *Lessor) Expired(now port.Instant, limit int, busy func(id int64) bool) (ids []int64) {
	for looks := 0; looks < maxLooks && len(ids) < limit && len(l.ends.list) > 0; looks++ {
		e := l.ends.list[0]
		if e.ends.at > now {
			break
		}
		if !e.ending && e.ends.at != e.deadline { // renewed
			l.ends.put(e, e.deadline)
			continue
		}
		if !e.ending {
			e.ending = true
			l.checkpoints.remove(e)
		}
		l.ends.put(e, now.Add(l.options.Retry))
		if !busy(e.id) {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// Checkpoint is a lease's remaining TTL, to be written into the log.
type Checkpoint struct {
	ID        int64
	Remaining int64 // seconds, rounded up
}

// Checkpoints returns up to limit checkpoints that are due, the longest due first. The caller proposes them. If one is lost, the next one makes up
// for it.
func (l *Lessor) Checkpoints(now port.Instant, limit int) (due []Checkpoint) {
	for looks := 0; looks < maxLooks && len(due) < limit && len(l.checkpoints.list) > 0; looks++ {
		e := l.checkpoints.list[0]
		if e.checkpoint.at > now {
			break
		}
		if e.checkpoint.at != e.checkpointAt { // renewed
			l.checkpoints.put(e, e.checkpointAt)
			continue
		}
		l.checkpoints.remove(e)
		l.scheduleCheckpoint(e, now)
		remaining := int64((e.deadline.Sub(now) + time.Second - 1) / time.Second) // rounded up: never early
		known := e.ttl
		if e.noted > 0 {
			known = e.noted
		}
		// No more than a later leader would give the lease anyway. An extension is not to last.
		if remaining > 0 && remaining < known {
			e.noted = remaining
			due = append(due, Checkpoint{ID: e.id, Remaining: remaining})
		}
	}
	return due
}

// nextCheckpoint says when a lease's next checkpoint is due, if there is to be one: a lease that has less time left than that is not worth an entry of
// the log.
func (l *Lessor) nextCheckpoint(e *lease, now port.Instant) (port.Instant, bool) {
	if e.clearing != 0 || e.ending || e.deadline.Sub(now) <= l.options.CheckpointInterval {
		return 0, false
	}
	e.checkpointAt = now.Add(l.options.CheckpointInterval)
	return e.checkpointAt, true
}

func (l *Lessor) scheduleCheckpoint(e *lease, now port.Instant) {
	at, ok := l.nextCheckpoint(e, now)
	switch {
	case !ok:
		l.checkpoints.remove(e)
	case !e.checkpoint.in():
		l.checkpoints.put(e, at)
	}
}

// after is the instant ttl seconds from now, or the end of time if that instant can't be counted.
func after(now port.Instant, ttl int64) port.Instant {
	if ttl > int64(endOfTime-now)/int64(time.Second) {
		return endOfTime
	}
	return now.Add(time.Duration(ttl) * time.Second)
}

// endOfTime is so early that something can be added to it without an overflow.
const endOfTime = port.Instant(1<<63 - 1 - int64(time.Hour))
