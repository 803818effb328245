package sim

import (
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/statemachine"
)

// serveWithin is how long after the last fault every member must serve. agreeWithin is how long after the last request all members must have the
// same state. Both leave time for several elections, time-outs and snapshots.
const (
	serveWithin = 60 * time.Second
	agreeWithin = 30 * time.Second
)

// recovers holds the cluster to its promise of liveness: a write and a linearizable read through every member, and then, with
// nobody asking any more, the same state on all.
func (r *Run) recovers(when string) {
	if r.failure != nil {
		return
	}
	r.quiet = false
	present := r.present()
	left := len(present)
	for _, s := range present {
		r.audit(s, func() { left-- })
	}
	if !r.advance(r.world.Now()+serveWithin, func() bool { return left == 0 }) {
		r.fail(&Failure{Promise: "liveness", Story: fmt.Sprintf("%s: not every member serves within %v", when, serveWithin)})
		return
	}
	r.quiet = true
	if !r.advance(r.world.Now()+agreeWithin, r.agreed) {
		r.fail(&Failure{Promise: "liveness", Story: fmt.Sprintf("%s: the members do not come to the same state within %v: %s",
			when, agreeWithin, r.positions())})
		return
	}
	r.compare(when)
}

// audit has a client of its own write and read through one member until both work.
func (r *Run) audit(s *seat, served func()) {
	c := r.addClient()
	c.at = s
	key := []byte("a/audit")
	var step func(ok bool)
	wrote := false
	step = func(ok bool) {
		switch {
		case ok && wrote:
			served()
			return
		case ok:
			wrote = true
		}
		r.world.After(c.chance.Duration(0, 300*time.Millisecond), clientKind, func() {
			if wrote {
				c.send(&pb.RangeRequest{Key: key}, "a")
				return
			}
			c.audits++
			c.send(&pb.PutRequest{Key: key, Value: fmt.Appendf(nil, "audit %d.%d", c.id, c.audits)}, "a")
		})
	}
	c.done = step
	step(false)
}

// agreed says whether nothing is under way and all members have applied the same entries.
func (r *Run) agreed() bool {
	if !r.raised() {
		return false
	}
	var first uint64
	for i, s := range r.present() {
		if s.now == nil {
			return false
		}
		st := s.now.member.Status()
		if i == 0 {
			first = st.Applied
		}
		if st.Applied != first || st.Committed != first || st.PendingProposals+st.PendingReads > 0 {
			return false
		}
	}
	for _, c := range r.clients {
		if c.op >= 0 {
			return false
		}
	}
	for _, w := range r.watchers {
		if w.stream == nil || !w.stream.settled() {
			return false
		}
	}
	for _, o := range r.onlookers {
		if !o.settled() {
			return false
		}
	}
	return true
}

func (r *Run) positions() (text string) {
	for _, s := range r.seats {
		if s.now == nil {
			text += s.name + " is down; "
			continue
		}
		st := s.now.member.Status()
		text += fmt.Sprintf("%s has applied %d of %d, %d proposals and %d reads wait; ", s.name, st.Applied, st.Committed,
			st.PendingProposals, st.PendingReads)
	}
	for _, c := range r.clients {
		if c.op >= 0 {
			text += fmt.Sprintf("op %d of client %d is under way; ", c.op, c.id)
		}
	}
	for _, w := range r.watchers {
		switch {
		case w.stream == nil:
			text += fmt.Sprintf("watcher %d has no stream; ", w.id)
		case !w.stream.settled():
			text += fmt.Sprintf("watcher %d waits for %d watches to be created, %d messages are on their way; ", w.id, len(w.stream.pending), w.stream.inFlight)
		}
	}
	for _, o := range r.onlookers {
		if !o.settled() {
			text += fmt.Sprintf("onlooker %d waits; ", o.id)
		}
	}
	return text
}

// compare holds all members' states against each other, and each one's running hash against one made from scratch.
func (r *Run) compare(when string) {
	var first *statemachine.View
	present := r.present()
	for _, s := range present {
		st := s.now.member.Status()
		r.failFor(r.checks.durability.Recovered(uint64(s.peer.ID), st.Committed))
		// A snapshot for its own disk and one to each other member may be under way; nobody else holds a view now.
		if most := len(r.seats); st.PinnedViews > most {
			r.fail(&Failure{Promise: "views are released", Story: fmt.Sprintf("%s: %s holds %d views, the oldest of entry %d; at most %d are in use",
				when, s.name, st.PinnedViews, st.OldestView, most)})
			return
		}
		v := s.now.member.AcquireView()
		defer v.Release()
		if v.StateHash() != v.ScanStateHash() {
			r.fail(&Failure{Promise: "replica equality", Story: fmt.Sprintf("%s: the running hash of %s is not that of its state", when, s.name)})
			return
		}
		if first == nil {
			first = v
			continue
		}
		if v.StateHash() != first.StateHash() || v.Revision() != first.Revision() {
			r.fail(&Failure{Promise: "replica equality", Story: fmt.Sprintf("%s: %s has revision %d and hash %x, %s has %d and %x", when,
				present[0].name, first.Revision(), first.StateHash(), s.name, v.Revision(), v.StateHash())})
			return
		}
		if a, b := first.ScanHistoryHash(), v.ScanHistoryHash(); a != b {
			r.fail(&Failure{Promise: "replica equality", Story: fmt.Sprintf("%s: the history of %s has hash %x, that of %s %x", when,
				present[0].name, a, s.name, b)})
			return
		}
		a, _, errA := first.HashKV(0)
		b, _, errB := v.HashKV(0)
		if a != b || errA != nil || errB != nil {
			r.fail(&Failure{Promise: "replica equality", Story: fmt.Sprintf("%s: HashKV of %s is %x (%v), of %s %x (%v)", when,
				present[0].name, a, errA, s.name, b, errB)})
			return
		}
	}
}
