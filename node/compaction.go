package node

import (
	"slices"
	"time"

	"github.com/detcd/detcd/node/port"
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
	*core
	idle
	views   *views
	resting bool // a step was made a moment ago
	waiting []removalWait
	ended   bool
}

// removalWait is a client that wants to hear of a compaction when what it made unreachable is gone.
type removalWait struct {
	revision int64
	answer   func()
	ticks    int // since nothing more can be removed
}

// applied goes on with the removal. Where more is left, a turn of its own follows soon. What it has removed changes the sizes, so that
// a view that knows them is published in the same turn.
func (c *compactions) applied(uint64) {
	if c.resting {
		return
	}
	if c.machine.CompactStep(compactStepBudget) {
		c.resting = true
		c.ports.Clock.After(compactPause, func() { c.resting = false })
	}
	if c.machine.Unpublished() {
		c.views.unpublished = true
		c.views.publish()
	}
	c.answerRemoved(func(w *removalWait) bool { return c.machine.CompactedTo() >= w.revision })
}

// await answers when what a compaction to revision made unreachable is removed. It is called when that is applied and published.
func (c *compactions) await(revision int64, answer func()) {
	if c.ended || c.machine.CompactedTo() >= revision {
		answer()
		return
	}
	c.waiting = append(c.waiting, removalWait{revision: revision, answer: answer})
}

// tick gives up waiting for views in use.
func (c *compactions) tick(port.Instant) {
	if c.resting {
		return
	}
	for i := range c.waiting {
		c.waiting[i].ticks++
	}
	c.answerRemoved(func(w *removalWait) bool { return w.ticks > removalTicks })
}

// end answers all that wait: their compactions are in the log, and the rest is nobody's concern any more.
func (c *compactions) end() {
	c.ended = true
	c.answerRemoved(func(*removalWait) bool { return true })
}

// answerRemoved answers those for whom due holds.
func (c *compactions) answerRemoved(due func(*removalWait) bool) {
	if len(c.waiting) == 0 {
		return
	}
	for i := range c.waiting {
		if w := &c.waiting[i]; due(w) {
			c.later(w.answer)
		}
	}
	c.waiting = slices.DeleteFunc(c.waiting, func(w removalWait) bool { return due(&w) })
}
