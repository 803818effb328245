package node

import (
	"errors"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
)

// ErrRemoved is what a member fails with when the cluster has removed it. Its id is never used again: it can come back as a new member only.
var ErrRemoved = errors.New("node: this member has been removed from the cluster")

// removed ends a member soon after it has learnt that it was removed. Not at once: as leader it still tells the others that its removal is
// committed, and it answers whoever asked for that.
type removed struct {
	*core
	idle
	views  *views
	writer *writer
	ticks  int // until the member ends; 0: it was not removed
}

func (r *removed) applied(uint64) {
	if r.ticks > 0 || r.failed != nil || !r.views.served.Load().view.Removed(uint64(r.config.ID)) {
		return
	}
	r.ticks = r.config.ElectionTicks
	r.log(port.Warn, "this member has been removed from the cluster; it will stop")
	// That it was committed is made durable: nobody talks to this member any more, so that it would not learn of it again.
	r.writer.queue = append(r.writer.queue, appendRequest{batch: wal.Batch{HardState: r.writer.hardState}, done: func() {}})
	r.wanted = true
}

func (r *removed) tick(port.Instant) {
	if r.ticks == 0 || r.stopping {
		return
	}
	if r.ticks--; r.ticks == 0 {
		r.halt(ErrRemoved)
	}
}
