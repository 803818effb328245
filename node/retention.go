package node

import (
	"math"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/transfer"
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
	AwaitedTicks = transfer.GiveUpTicks
)

// retention is how much of the log stays.
type retention struct {
	*core
	idle
	entries *entries
	writer  *writer
	// awaited returns the indexes of the snapshots after which followers will want the log.
	awaited   func() []uint64
	followers []follower // as of the last look at the log; none unless this member leads
	releasing bool       // segments of the log are being removed
}

func (r *retention) tick(port.Instant) { r.release() }

// retainBytes is what the log keeps for followers in any case.
func (r *retention) retainBytes() int64 { return max(r.config.RetainBytes, r.writer.marked.bytes) }

// release lets go of the oldest part of the log that nobody should need. It looks once a tick, and when a snapshot is new.
func (r *retention) release() {
	log := r.writer.log
	r.noteReleased()
	r.tendFollowers()
	keep := r.keepAfter()
	spans := log.Spans()
	n := 0
	for n+1 < len(spans) && spans[n+1].Before <= keep {
		n++
	}
	if n == 0 || r.releasing {
		return
	}
	r.entries.forget(spans[n].Before)
	r.releasing = true
	r.writer.onLog("remove old segments of the log", func() error { return log.Release(keep) }, func() { r.releasing = false })
}

// keepAfter returns the index after which all entries are kept.
func (r *retention) keepAfter() uint64 {
	usual := r.retainBytes()
	keep := r.beginsBefore(usual)
	if wanted := r.entries.last() - min(r.entries.last(), r.config.CatchUpEntries); wanted < keep {
		keep = max(wanted, r.beginsBefore(retainEntriesTimes*usual))
	}
	if wanted := r.wantedAfter(); wanted < keep {
		keep = max(wanted, r.beginsBefore(retainPinnedTimes*usual))
	}
	return min(keep, r.writer.marked.index)
}

// beginsBefore returns the index after which the log's full segments hold that many bytes, or a little more; 0 if all hold less.
func (r *retention) beginsBefore(bytes int64) uint64 {
	spans := r.writer.log.Spans()
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

// wantedAfter returns the index after which the log is wanted by followers that are being brought level, with a snapshot or from the log: where
// it grows faster than they come on, they would else be too far behind again in the end, and so for ever.
func (r *retention) wantedAfter() uint64 {
	least := uint64(math.MaxUint64)
	for _, index := range r.awaited() {
		least = min(least, index)
	}
	for _, f := range r.followers {
		// One that does not come on is not waited for.
		if r.now().Sub(f.since) < AwaitedTicks*r.config.TickInterval {
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
func (r *retention) tendFollowers() {
	if r.role != Leader {
		r.followers = nil
		return
	}
	var followers []follower
	r.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if port.MemberID(id) == r.config.ID || pr.State == tracker.StateSnapshot {
			return
		}
		f := follower{id: port.MemberID(id), match: pr.Match, since: r.now()}
		for _, old := range r.followers {
			if old.id == f.id && old.match == f.match && f.match < r.entries.last() {
				f.since = old.since
			}
		}
		followers = append(followers, f)
	})
	r.followers = followers
}

// noteReleased learns which segments the log has given up of itself, for want of room.
func (r *retention) noteReleased() { r.entries.forget(r.writer.log.Spans()[0].Before) }

// makeRoom has the log give up what only followers may want, where the disk is short of room for a snapshot and the segments to come.
func (r *retention) makeRoom() {
	log := r.writer.log
	bytes := r.writer.marked.bytes + r.writer.marked.bytes/4 + 2*r.config.SegmentBytes
	r.writer.onLog("make room for a snapshot", func() error { return log.MakeRoom(bytes) }, r.noteReleased)
}
