package node

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/snapshot"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/statemachine"
)

// snapshots are this member's own, on its disk: they let the log be shortened and a restart be quick.
type snapshots struct {
	// bytesSince and entriesSince are what was applied since the last snapshot began. What a start applies again is counted too: a member that
	// ends before a snapshot is due, time and again, takes one all the same, and its log does not grow without end.
	bytesSince   int64
	entriesSince uint64
	lastBytes    int64
	lastIndex    uint64
	busy         bool
	releasing    bool // segments of the log are being removed
	// offered is the view that raft was last told could be sent as a snapshot.
	offered *statemachine.View
}

// loadSnapshot makes the snapshot at mark the state.
func (m *Member) loadSnapshot(mark wal.SnapshotMark) error {
	machine, size, err := readSnapshot(m.ports.SnapshotDisk, mark, nil)
	if err != nil {
		return err
	}
	m.confState = &raftpb.ConfState{}
	if err := proto.Unmarshal(mark.ConfState, m.confState); err != nil {
		return fmt.Errorf("%w: the configuration in the log's snapshot mark %d can't be read: %w", wal.ErrCorrupt, mark.Index, err)
	}
	m.setMachine(machine)
	m.snapshots.lastBytes, m.snapshots.lastIndex = size, mark.Index
	return nil
}

// readSnapshot reads a snapshot file back into a state machine, which shares memory with beside as far as the two hold the same. It blocks.
func readSnapshot(d port.Disk, mark wal.SnapshotMark, beside *statemachine.View) (*statemachine.Machine, int64, error) {
	r, err := snapshot.Open(d, mark.Index, mark.Term)
	if errors.Is(err, port.ErrNotExist) {
		err = &wal.CorruptError{File: snapshot.Name(mark.Index, mark.Term), Reason: "this snapshot is missing, though the log goes on from it"}
	}
	if err != nil {
		return nil, 0, err
	}
	machine, err := statemachine.RestoreBeside(r, beside)
	if err != nil {
		r.Close()
		return nil, 0, err
	}
	if err := r.Close(); err != nil {
		return nil, 0, err
	}
	if index, term := machine.Applied(); index != mark.Index || term != mark.Term {
		return nil, 0, fmt.Errorf("%w: the snapshot of entry %d (term %d) holds the state at entry %d (term %d)", wal.ErrCorrupt, mark.Index, mark.Term, index, term)
	}
	return machine, r.Size(), nil
}

// sweepSnapshots removes what the log does not point at: older snapshots, and ones that were not finished.
func (m *Member) sweepSnapshots(keep *wal.SnapshotMark) error {
	if keep == nil {
		return snapshot.RemoveOthers(m.ports.SnapshotDisk)
	}
	return snapshot.RemoveOthers(m.ports.SnapshotDisk, snapshot.Info{Index: keep.Index, Term: keep.Term})
}

// tendSnapshots takes a snapshot when the log has grown enough, and does a little of the compaction that is due.
func (m *Member) tendSnapshots() {
	s := &m.snapshots
	if s.offered != nil {
		s.offered.Release()
		s.offered = nil
	}
	m.compactSome()
	m.startPostponed()
	due := s.bytesSince >= max(m.snapshotBytes(), s.lastBytes) ||
		m.config.SnapshotEntries > 0 && s.entriesSince >= m.config.SnapshotEntries
	if !due || s.busy || m.stopping || m.transfers.incoming != nil || m.transfers.postponed != nil {
		return
	}
	m.takeSnapshot()
}

// snapshotBytes is what the log has to grow by for a snapshot. On a disk that has no room for segments of the usual size, a snapshot comes sooner,
// so that the log stays within a few of the smaller ones.
func (m *Member) snapshotBytes() int64 {
	if segment := m.writer.log.SegmentBytes(); segment < m.config.SegmentBytes {
		return min(m.config.SnapshotBytes, 2*segment)
	}
	return m.config.SnapshotBytes
}

// takeSnapshot streams the published state to the disk, in the background.
func (m *Member) takeSnapshot() {
	s := &m.snapshots
	view := m.AcquireView()
	index, term := view.Applied()
	if index <= s.lastIndex || term == 0 {
		view.Release()
		return
	}
	s.busy, s.bytesSince, s.entriesSince = true, 0, 0
	m.makeRoom()
	mark := wal.SnapshotMark{Index: index, Term: term, ConfState: view.ConfState()}
	reader := view.Snapshot() // pins the view itself
	view.Release()
	id, disk := m.identity(), m.ports.SnapshotDisk
	var size int64
	var err error
	m.ports.SnapshotLane.Run(func() {
		size, err = snapshot.Write(disk, id, mark, reader)
	}, func() {
		_ = reader.Close() // never fails
		if m.failed != nil {
			return
		}
		if err != nil {
			m.fail(fmt.Errorf("write a snapshot: %w", err))
			return
		}
		m.log(port.Info, "saved snapshot", "snapshot-index", index, "bytes", size)
		m.markSnapshot(mark, size)
	})
}

// markSnapshot has the log point at a snapshot that is durable, and then lets go of what it replaces.
func (m *Member) markSnapshot(mark wal.SnapshotMark, size int64) {
	s := &m.snapshots
	if mark.Index <= s.lastIndex {
		// A snapshot from another member overtook this one.
		s.busy = false
		return
	}
	m.writer.queue = append(m.writer.queue, appendRequest{
		batch: wal.Batch{Snapshot: &mark, HardState: m.writer.hardState},
		done: func() {
			if mark.Index > s.lastIndex {
				s.lastIndex, s.lastBytes = mark.Index, size
			}
			m.releaseLog()
			m.makeRoom()
			m.removeOlder(mark)
		},
	})
}

// removeOlder removes the snapshots that the one at mark makes superfluous.
func (m *Member) removeOlder(mark wal.SnapshotMark) {
	disk := m.ports.SnapshotDisk
	var errSweep error
	m.ports.SnapshotLane.Run(func() { errSweep = snapshot.RemoveOlder(disk, mark.Index) }, func() {
		m.snapshots.busy = false
		if errSweep != nil {
			m.fail(fmt.Errorf("remove old snapshots: %w", errSweep))
		}
	})
}

// offerSnapshot tells raft which snapshot a follower could be sent: the present state. The view is kept for the rest of the turn, in
// which raft's message to that follower comes.
func (m *Member) offerSnapshot() (*raftpb.Snapshot, error) {
	s := &m.snapshots
	m.publish()
	view := m.AcquireView()
	index, term := view.Applied()
	if index == 0 {
		view.Release()
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	if s.offered != nil {
		s.offered.Release()
	}
	s.offered = view
	cs := &raftpb.ConfState{}
	if err := proto.Unmarshal(view.ConfState(), cs); err != nil {
		panic(fmt.Sprintf("node: own configuration can't be read: %v", err))
	}
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(index), Term: new(term), ConfState: cs}}, nil
}
