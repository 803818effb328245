package node

import (
	"errors"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
)

// ErrRemoved is what a member fails with when the cluster has removed it. Its id is never used again: it can come back as a new member only.
var ErrRemoved = errors.New("node: this member has been removed from the cluster")

// noteRemoved has the member end soon after it has learnt that it was removed. Not at once: as leader it still tells the others that its
// removal is committed, and it answers whoever asked for that.
func (m *Member) noteRemoved() {
	if m.removedTicks > 0 || m.failed != nil || !m.served.Load().view.Removed(uint64(m.config.ID)) {
		return
	}
	m.removedTicks = m.config.ElectionTicks
	m.log(port.Warn, "this member has been removed from the cluster; it will stop")
	// That it was committed is made durable: nobody talks to this member any more, so that it would not learn of it again.
	m.writer.queue = append(m.writer.queue, appendRequest{batch: wal.Batch{HardState: m.writer.hardState}, done: func() {}})
}

// tickRemoved ends a removed member when its time has come.
func (m *Member) tickRemoved() {
	if m.removedTicks == 0 || m.stopping {
		return
	}
	if m.removedTicks--; m.removedTicks == 0 {
		m.end(ErrRemoved)
	}
}
