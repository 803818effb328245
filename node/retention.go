package node

import (
	"fmt"
	"math"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/detcd/detcd/node/port"
)

// What the log on the disk keeps beyond what a restart needs, for followers that lag: as much as the state takes in a snapshot, since up
// to there it is cheaper to send than the state; and whatever is wanted by someone who is being brought level just now.

const (
	// retainEntriesTimes is how many times the usual bytes the entries may take that Config.CatchUpEntries asks to keep.
	retainEntriesTimes = 4
	// retainPinnedTimes is how many times the usual bytes are kept for those who are being brought level. It is far more than is ever written
	// while a state is transferred, unless nothing can bring the follower level; and the room on the disk bounds it too.
	retainPinnedTimes = 64
	// AwaitedTicks is for how many ticks a follower is waited for that does not come on.
	AwaitedTicks = chunkGiveUpTicks
)

// retainBytes is what the log keeps for followers in any case.
func (m *Member) retainBytes() int64 { return max(m.config.RetainBytes, m.snapshots.lastBytes) }

// releaseLog lets go of the oldest part of the log that nobody should need. It looks once a tick, and when a snapshot is new.
func (m *Member) releaseLog() {
	log := m.writer.log
	m.noteReleased()
	m.tendFollowers()
	keep := m.keepAfter()
	spans := log.Spans()
	n := 0
	for n+1 < len(spans) && spans[n+1].Before <= keep {
		n++
	}
	if n == 0 || m.snapshots.releasing {
		return
	}
	m.entries.forget(spans[n].Before)
	m.snapshots.releasing = true
	m.onLog("remove old segments of the log", func() error { return log.Release(keep) }, func() { m.snapshots.releasing = false })
}

// keepAfter returns the index after which all entries are kept.
func (m *Member) keepAfter() uint64 {
	usual := m.retainBytes()
	keep := m.beginsBefore(usual)
	if wanted := m.entries.last() - min(m.entries.last(), m.config.CatchUpEntries); wanted < keep {
		keep = max(wanted, m.beginsBefore(retainEntriesTimes*usual))
	}
	if wanted := m.awaited(); wanted < keep {
		keep = max(wanted, m.beginsBefore(retainPinnedTimes*usual))
	}
	return min(keep, m.snapshots.lastIndex)
}

// beginsBefore returns the index after which the log's full segments hold that many bytes, or a little more; 0 if all hold less.
func (m *Member) beginsBefore(bytes int64) uint64 {
	spans := m.writer.log.Spans()
	for n := len(spans) - 1; n >= 0; n-- {
		if bytes <= 0 {
			return spans[n].Before
		}
		if n > 0 {
			bytes -= spans[n-1].Bytes
		}
	}
	return 0
}

// awaited returns the index after which the log is wanted by followers that are being brought level, with a snapshot or from the log: where
// it grows faster than they come on, they would else be too far behind again in the end, and so for ever.
func (m *Member) awaited() uint64 {
	least := uint64(math.MaxUint64)
	for _, index := range m.awaitedSnapshots() {
		least = min(least, index)
	}
	for _, f := range m.followers {
		// One that does not come on is not waited for.
		if m.now().Sub(f.since) < AwaitedTicks*m.config.TickInterval {
			least = min(least, f.match)
		}
	}
	return least
}

// follower is how far a follower's log is known to be this leader's, and since when it is no further. What is on its way to it does not
// count: that may get lost.
type follower struct {
	id    port.MemberID
	match uint64
	since port.Instant
}

// tendFollowers notes how the followers come on. One that is level counts as coming on.
func (m *Member) tendFollowers() {
	if m.role != Leader {
		m.followers = nil
		return
	}
	var followers []follower
	m.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if port.MemberID(id) == m.config.ID || pr.State == tracker.StateSnapshot {
			return
		}
		f := follower{id: port.MemberID(id), match: pr.Match, since: m.now()}
		for _, old := range m.followers {
			if old.id == f.id && old.match == f.match && f.match < m.entries.last() {
				f.since = old.since
			}
		}
		followers = append(followers, f)
	})
	m.followers = followers
}

// noteReleased learns which segments the log has given up of itself, for want of room.
func (m *Member) noteReleased() { m.entries.forget(m.writer.log.Spans()[0].Before) }

// makeRoom has the log give up what only followers may want, where the disk is short of room for a snapshot and the segments to come.
func (m *Member) makeRoom() {
	log := m.writer.log
	bytes := m.snapshots.lastBytes + m.snapshots.lastBytes/4 + 2*m.config.SegmentBytes
	m.onLog("make room for a snapshot", func() error { return log.MakeRoom(bytes) }, m.noteReleased)
}

// onLog has the log's lane do something, and then calls done in a turn. An error ends the member.
func (m *Member) onLog(what string, work func() error, done func()) {
	var err error
	m.ports.WALLane.Run(func() { err = work() }, func() {
		if m.failed != nil {
			return
		}
		if err != nil {
			m.fail(fmt.Errorf("%s: %w", what, err))
			return
		}
		done()
	})
}
