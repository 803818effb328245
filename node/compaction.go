package node

import (
	"slices"
	"time"
)

const (
	// compactStepBudget is how many versions a turn's part of a compaction may look at.
	compactStepBudget = 2000
	// compactPause is how long other work comes first between two steps of a compaction.
	compactPause = time.Millisecond
	// removalTicks is how many ticks a physical compaction waits, where views in use hold on to what it would remove. Those of a snapshot that
	// is written or sent may do so for minutes.
	removalTicks = 10
)

// compactions is the physical part of compactions: what they made unreachable is removed in steps, beside other work.
type compactions struct {
	resting bool // a step was made a moment ago
	waiting []removalWait
}

// removalWait is a client that wants to hear of a compaction when what it made unreachable is gone.
type removalWait struct {
	revision int64
	answer   func()
	ticks    int // since nothing more can be removed
}

// compactSome goes on with the removal. Where more is left, a turn of its own follows soon. What it has removed changes the sizes, so that
// a view that knows them is published in the same turn.
func (m *Member) compactSome() {
	c := &m.compactions
	if c.resting {
		return
	}
	if m.machine.CompactStep(compactStepBudget) {
		c.resting = true
		m.ports.Clock.After(compactPause, func() { c.resting = false })
	}
	if m.machine.Unpublished() {
		m.unpublished = true
		m.publish()
	}
	m.answerRemoved(func(w *removalWait) bool { return m.machine.CompactedTo() >= w.revision })
}

// awaitRemoval answers when what a compaction to revision made unreachable is removed. It is called when that is applied and published.
func (m *Member) awaitRemoval(revision int64, answer func()) {
	if m.failed != nil || m.writer.closing || m.machine.CompactedTo() >= revision {
		answer()
		return
	}
	m.compactions.waiting = append(m.compactions.waiting, removalWait{revision: revision, answer: answer})
}

// tickCompactions gives up waiting for views in use.
func (m *Member) tickCompactions() {
	c := &m.compactions
	if c.resting {
		return
	}
	for i := range c.waiting {
		c.waiting[i].ticks++
	}
	m.answerRemoved(func(w *removalWait) bool { return w.ticks > removalTicks })
}

// stopCompactions answers all that wait: their compactions are in the log, and the rest is nobody's concern any more.
func (m *Member) stopCompactions() { m.answerRemoved(func(*removalWait) bool { return true }) }

// answerRemoved answers those for whom due holds.
func (m *Member) answerRemoved(due func(*removalWait) bool) {
	c := &m.compactions
	if len(c.waiting) == 0 {
		return
	}
	for i := range c.waiting {
		if w := &c.waiting[i]; due(w) {
			m.later(w.answer)
		}
	}
	c.waiting = slices.DeleteFunc(c.waiting, func(w removalWait) bool { return due(&w) })
}

// Sizes are the bytes that the published view says are stored, and those that are, counted anew. It walks the whole state: it is for the
// simulator. Call it after a turn.
func (m *Member) Sizes() (published, stored int64) {
	published, _ = m.served.Load().view.Sizes()
	return published, m.machine.Recount()
}

// CompactedTo is the revision below which nothing is stored any more; -1 before the first compaction. Call it within a turn, or after one.
func (m *Member) CompactedTo() int64 { return m.machine.CompactedTo() }
