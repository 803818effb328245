package node

import (
	"sync/atomic"

	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// views is what a member shows of its state: the published view, which any goroutine may read, and the hub of those who watch it change.
type views struct {
	*core
	hub watch.Hub
	// served is what any goroutine may read: the newest view, and whether it may be served as linearizable at once.
	served atomic.Pointer[served]
	// unpublished: the machine was changed since the view was made.
	unpublished bool
	// replaced: a received snapshot took the machine's place since the view was made.
	replaced bool
}

type served struct {
	view  *statemachine.View
	local bool
}

// setMachine makes a state this member's.
func (s *views) setMachine(machine *statemachine.Machine) {
	s.machine = machine
	machine.BeforeCompaction(s.lookAhead)
}

// publish makes a view of all that was applied what readers get from now on.
func (s *views) publish() {
	old, local := s.served.Load(), s.answersAlone()
	if old != nil && !s.unpublished && old.local == local {
		return
	}
	next := &served{local: local}
	if old != nil && !s.unpublished {
		next.view = old.view
		s.served.Store(next)
		return
	}
	next.view = s.machine.Publish()
	s.unpublished = false
	s.served.Store(next)
	s.hub.Publish(next.view, old == nil || s.replaced)
	s.replaced = false
}

// answersAlone says whether the published view is linearizable by itself: this member is the only voter and leads, and an entry of its
// term is applied, so whatever was acknowledged before is applied too. A second voter can take part only after this member has applied
// the change that lets it in, and from then on this is false.
func (s *views) answersAlone() bool {
	if s.role != Leader || s.failed != nil || s.stopping || !s.soleVoter() {
		return false
	}
	return s.appliedOwnTerm()
}

// lookAhead has the hub look at what this turn has applied so far, before a compaction hides it. The compaction may be in the same batch, or
// one of many that a follower catches up with. Watches that nothing of it concerns would else end with the others: nobody could tell them
// apart later.
func (s *views) lookAhead() {
	if s.served.Load() != nil && !s.replaced {
		s.hub.Look(s.machine.Changes, s.machine.Revision())
	}
}

// Watch returns the hub that knows who waits for which events. It belongs to the member's turns.
func (s *views) Watch() *watch.Hub { return &s.hub }

// TryLinearize does what Linearize does if this member can tell at once: a sole voter that leads, and has applied an entry of its term, has
// applied whatever was acknowledged. The view is pinned; the caller releases it. Any goroutine may call it.
func (s *views) TryLinearize() (*statemachine.View, bool) {
	for {
		now := s.served.Load()
		if !now.local && !canaryStaleReads {
			return nil, false
		}
		if now.view.Acquire() {
			return now.view, true
		}
	}
}

// AcquireView returns a pinned view of the newest state that this member knows of, which may be old. The caller releases it. Any
// goroutine may call it.
func (s *views) AcquireView() *statemachine.View {
	for {
		if v := s.served.Load().view; v.Acquire() {
			return v
		}
	}
}

// Sizes are the bytes that the published view says are stored, and those that are, counted anew. It walks the whole state: it is for the
// simulator. Call it after a turn.
func (s *views) Sizes() (published, stored int64) {
	published, _ = s.served.Load().view.Sizes()
	return published, s.machine.Recount()
}

// CompactedTo is the revision below which nothing is stored any more; -1 before the first compaction. Call it within a turn, or after one.
func (s *views) CompactedTo() int64 { return s.machine.CompactedTo() }
