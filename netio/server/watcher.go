package server

import (
	"sync/atomic"

	"github.com/detcd/detcd/netio/driver"
	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/port"
)

// watcher listens to what the member tells of itself: for the log, for metrics, and for its failure.
type watcher struct {
	node.Ignore
	driver *driver.Driver
	log    port.Logger
	self   port.MemberID
	leader port.MemberID // as of the last turn
	// changes counts the leaders seen.
	changes atomic.Uint64
	failed  atomic.Bool
	// applying measures how long applying takes. Only the goroutine that takes the turns uses it.
	applying *applying
	// snapshots is told of each snapshot that was sent.
	snapshots snapshotSends
}

var _ node.Observer = (*watcher)(nil)

// Committed implements node.Observer.
func (w *watcher) Committed(node.LogEntry) { w.applying.begin() }

// Applied implements node.Observer.
func (w *watcher) Applied(node.StateMark) { w.applying.end() }

// RoleChanged implements node.Observer.
func (w *watcher) RoleChanged(s node.Standing) {
	if s.Leader == w.leader {
		return
	}
	if s.Leader != 0 {
		w.changes.Add(1)
	}
	w.log.Log(port.Info, "leader changed", "local-member-id", id(w.self), "term", s.Term, "old-leader", id(w.leader), "leader", id(s.Leader))
	w.leader = s.Leader
}

// SnapshotSent implements node.Observer.
func (w *watcher) SnapshotSent(follower port.MemberID, there bool) {
	w.snapshots.observe(follower, there)
}

// Failed implements node.Observer.
func (w *watcher) Failed(err error) {
	w.failed.Store(true)
	w.driver.Fail(err)
}
