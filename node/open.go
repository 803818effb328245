package node

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/statemachine"
)

// Open brings a member to life from what its disks hold, or, if they hold nothing, as a founding member of a new cluster. It reads the
// disks and blocks meanwhile. It returns an error, with both disks as they were, when they hold something that can't be right (see
// wal.ErrCorrupt), when something is missing (see ErrLogMissing), or when they belong to another member. The driver ends a turn after it.
func Open(config Config, ports Ports) (*Member, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	if ports.Observer == nil {
		ports.Observer = Ignore{}
	}
	if ports.HistoryLane == nil {
		ports.HistoryLane = ports.SnapshotLane
	}
	m := newMember(config, ports)
	found, err := readLog(config, ports)
	if err != nil {
		return nil, err
	}
	recovered := found.Recovered()
	if err := m.recover(recovered); err != nil {
		return nil, errors.Join(err, found.Close())
	}
	// All fits. Only now anything on the disks is changed.
	if err := m.beginLog(found, recovered); err != nil {
		return nil, err
	}
	m.publish()
	m.versions.tell()
	m.versions.note(recovered.Entries)
	m.setPeers()
	if m.proposals.seenBeyond() {
		m.later(func() { m.proposals.endAsOldCopy("its snapshot has requests of this member") })
	}
	m.ports.Clock.After(config.TickInterval, m.tick)
	return m, nil
}

// beginLog makes the log that was read the one to write to, and removes what it does not need.
func (m *Member) beginLog(found *wal.Found, r *wal.Recovered) error {
	log, err := found.Begin()
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	m.writer.log, m.writer.hardState, m.writer.durable, m.writer.unsettled = log, r.HardState, r.HardState, true
	if err := m.writer.openReach(log); err != nil {
		return errors.Join(err, log.Close())
	}
	if err := m.snapshots.sweep(r.Snapshot); err != nil {
		return errors.Join(fmt.Errorf("remove old snapshots: %w", err), m.writer.reach.file.Close(), log.Close())
	}
	return nil
}

// recover rebuilds the state from a snapshot and hands the log after it to raft.
func (m *Member) recover(r *wal.Recovered) error {
	m.incarnation = r.Incarnation
	m.setMachine(statemachine.New())
	m.confState = &raftpb.ConfState{}
	m.entries.hardState, m.entries.past, m.entries.snapshot = r.HardState, m.catchUps.past, m.offers.offer
	if r.Snapshot != nil {
		if err := m.snapshots.load(*r.Snapshot); err != nil {
			return fmt.Errorf("load the snapshot: %w", m.readableSnapshot(err))
		}
		m.entries.reset(r.Snapshot.Index, r.Snapshot.Term)
		m.entries.reachBack(r.History)
	}
	if err := errors.Join(checkRecovered(r, m.machine), m.checkReadable(r.Entries)); err != nil {
		return err
	}
	m.entries.append(r.Entries)
	m.entries.confState = m.confState
	applied, _ := m.machine.Applied()
	// A commit index may be written late, but what a snapshot holds was committed.
	if hs := m.entries.hardState; hs != nil && hs.GetCommit() < applied {
		m.entries.hardState = &raftpb.HardState{Term: new(hs.GetTerm()), Vote: new(hs.GetVote()), Commit: new(applied)}
	}
	m.writer.lastIndex, m.writer.lastTerm = m.entries.last(), m.entries.base.term
	m.writer.note(r.Entries)
	if err := m.startRaft(m.entries); err != nil {
		return err
	}
	if r.Empty {
		if err := m.bootstrap(); err != nil {
			return err
		}
	}
	m.term = m.raft.BasicStatus().GetTerm()
	return nil
}

// checkRecovered refuses a log that does not fit the snapshot or itself: raft would panic on it.
func checkRecovered(r *wal.Recovered, machine *statemachine.Machine) error {
	applied, _ := machine.Applied()
	if len(r.Entries) > 0 && r.Entries[0].GetIndex() != applied+1 {
		return fmt.Errorf("%w: the log goes on with entry %d after a snapshot of entry %d", wal.ErrCorrupt, r.Entries[0].GetIndex(), applied)
	}
	if last := applied + uint64(len(r.Entries)); r.HardState.GetCommit() > last {
		return fmt.Errorf("%w: the log ends with entry %d, but %d was committed", wal.ErrCorrupt, last, r.HardState.GetCommit())
	}
	return nil
}

// bootstrap makes the configuration changes that found a static cluster the first entries of the log, alike on every member. Who is not alone
// asks the others first.
func (m *Member) bootstrap() error {
	if len(m.config.Bootstrap) == 0 {
		return errors.New("node: the disk is empty and no members to start a cluster with are given")
	}
	if len(m.config.Bootstrap) > 1 {
		m.newborn = newNewborn(&m.core, &m.writer, m.comeAlive)
		return nil
	}
	if err := m.raft.Bootstrap(bootstrapPeers(m.config.Bootstrap)); err != nil {
		return fmt.Errorf("bootstrap raft: %w", err)
	}
	return nil
}

// comeAlive ends the time as a newborn: the log has begun.
func (m *Member) comeAlive(hs *raftpb.HardState) {
	m.newborn = nil
	m.entries.hardState = hs
	if err := m.startRaft(m.entries); err != nil {
		m.fail(err)
		return
	}
	m.term = hs.GetTerm()
	m.wanted = true
}
