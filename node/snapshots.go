package node

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/snapshot"
	"github.com/detcd/detcd/node/wal"
)

// snapshots are this member's own, on its disk: they let the log be shortened and a restart be quick.
type snapshots struct {
	*core
	idle
	views     *views
	writer    *writer
	retention *retention
	// receiving says whether another member's snapshot is on its way here: then none is taken.
	receiving func() bool
	// bytesSince and entriesSince are what was applied since the last snapshot began. What a start applies again is counted too: a member that
	// ends before a snapshot is due, time and again, takes one all the same, and its log does not grow without end.
	bytesSince   int64
	entriesSince uint64
	// busy: one is being written, or older ones are being removed.
	busy bool
}

// load makes the snapshot at mark the state.
func (s *snapshots) load(mark wal.SnapshotMark) error {
	machine, size, err := snapshot.Load(s.ports.SnapshotDisk, mark, nil, s.config.KnownFormat)
	if err != nil {
		return err
	}
	s.confState = &raftpb.ConfState{}
	if err := proto.Unmarshal(mark.ConfState, s.confState); err != nil {
		return fmt.Errorf("%w: the configuration in the log's snapshot mark %d can't be read: %w", wal.ErrCorrupt, mark.Index, err)
	}
	s.views.setMachine(machine)
	s.writer.marked = savedSnapshot{mark.Index, size}
	return nil
}

// sweep removes what the log does not point at: older snapshots, and ones that were not finished.
func (s *snapshots) sweep(keep *wal.SnapshotMark) error {
	if keep == nil {
		return snapshot.RemoveOthers(s.ports.SnapshotDisk)
	}
	return snapshot.RemoveOthers(s.ports.SnapshotDisk, snapshot.Info{Index: keep.Index, Term: keep.Term})
}

// saving says whether a snapshot is being written, or what it replaces removed.
func (s *snapshots) saving() bool { return s.busy }

// noteApplied counts an applied entry.
func (s *snapshots) noteApplied(bytes int64) {
	s.entriesSince++
	s.bytesSince += bytes
}

// applied takes a snapshot when the log has grown enough.
func (s *snapshots) applied(uint64) {
	due := s.bytesSince >= max(s.dueBytes(), s.writer.marked.bytes) ||
		s.config.SnapshotEntries > 0 && s.entriesSince >= s.config.SnapshotEntries
	if due && !s.busy && !s.stopping && !s.receiving() {
		s.take()
	}
}

// dueBytes is what the log has to grow by for a snapshot. On a disk that has no room for segments of the usual size, a snapshot comes sooner,
// so that the log stays within a few of the smaller ones.
func (s *snapshots) dueBytes() int64 {
	if segment := s.writer.log.SegmentBytes(); segment < s.config.SegmentBytes {
		return min(s.config.SnapshotBytes, 2*segment)
	}
	return s.config.SnapshotBytes
}

// take streams the published state to the disk, in the background.
func (s *snapshots) take() {
	view := s.views.AcquireView()
	index, term := view.Applied()
	if index <= s.writer.marked.index || term == 0 {
		view.Release()
		return
	}
	s.busy, s.bytesSince, s.entriesSince = true, 0, 0
	s.retention.makeRoom()
	mark := wal.SnapshotMark{Index: index, Term: term, ConfState: view.ConfState()}
	reader := view.Snapshot() // pins the view itself
	view.Release()
	id, disk := s.config.identity(), s.ports.SnapshotDisk
	var size int64
	var err error
	s.ports.SnapshotLane.Run(func() {
		size, err = snapshot.Write(disk, id, mark, reader)
	}, func() {
		_ = reader.Close() // never fails
		if s.failed != nil {
			return
		}
		if err != nil {
			s.fail(fmt.Errorf("write a snapshot: %w", err))
			return
		}
		s.log(port.Info, "saved snapshot", "snapshot-index", index, "bytes", size)
		s.mark(mark, size)
	})
}

// mark has the log point at a snapshot that is durable, and then lets go of what it replaces.
func (s *snapshots) mark(mark wal.SnapshotMark, size int64) {
	if mark.Index <= s.writer.marked.index {
		// A snapshot from another member overtook this one.
		s.busy = false
		return
	}
	s.writer.mark(mark, size, func() {
		s.retention.release()
		s.retention.makeRoom()
		s.removeOlder(mark)
	})
}

// replaced takes notice of another member's snapshot, to which the log points now.
func (s *snapshots) replaced(mark wal.SnapshotMark) {
	s.bytesSince, s.entriesSince, s.busy = 0, 0, true
	s.retention.release()
	s.removeOlder(mark)
}

// removeOlder removes the snapshots that the one at mark makes superfluous.
func (s *snapshots) removeOlder(mark wal.SnapshotMark) {
	disk := s.ports.SnapshotDisk
	var errSweep error
	s.ports.SnapshotLane.Run(func() { errSweep = snapshot.RemoveOlder(disk, mark.Index) }, func() {
		s.busy = false
		if errSweep != nil {
			s.fail(fmt.Errorf("remove old snapshots: %w", errSweep))
		}
	})
}
