package node

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/statemachine"
)

// Member is one member of the cluster. See the package comment for who may call it and when.
type Member struct {
	core
	views

	duties     duties
	heartbeats heartbeats
	offers     offers
	retention  retention
	removed    removed

	entries   *entries
	proposals *proposals
	relays    relays
	reads     reads
	asks      leaseAsks
	leases    leaseLeader
	writer    writer
	snapshots snapshots
	transfers transfers
	catchUps  catchUps

	leaseCounts LeaseCounts

	compactions  compactions
	peersChanged bool // and the network was not told yet
	versionAsked bool // this leader has proposed a cluster version

	newborn      *newborn // not nil: it is not decided yet how this member's log begins
	acquaintance acquaintance

	stopped      func() // called once when a graceful stop is done
	stopDeadline port.Instant
}

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
	m := &Member{core: core{config: config, ports: ports}, entries: &entries{}}
	m.halted, m.views.core = m.stopServing, &m.core
	m.writer = writer{core: &m.core, entries: m.entries, deliver: m.deliver, whenClosed: m.stopDone}
	m.assign()
	m.relays = newRelays(&m.core)
	m.proposals = newProposals(&m.core, &m.relays, &m.compactions)
	m.resetLeases()
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
	m.setPeers()
	if m.proposals.seenBeyond() {
		m.later(func() { m.endAsOldCopy("its snapshot has requests of this member") })
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
			return fmt.Errorf("load the snapshot: %w", err)
		}
		m.entries.reset(r.Snapshot.Index, r.Snapshot.Term)
		m.entries.reachBack(r.History)
	}
	if err := m.checkRecovered(r); err != nil {
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
	if err := m.startRaft(); err != nil {
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

// startRaft has raft begin from what the log holds.
func (m *Member) startRaft() error {
	applied, _ := m.machine.Applied()
	rn, err := raft.NewRawNode(&raft.Config{
		ID:                        uint64(m.config.ID),
		ElectionTick:              m.config.ElectionTicks,
		HeartbeatTick:             heartbeatTicks,
		Storage:                   m.entries,
		Applied:                   applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             maxAppendBytes,
		MaxCommittedSizePerReady:  maxCommittedBytesPerReady,
		MaxUncommittedEntriesSize: uint64(m.config.MaxPendingBytes),
		MaxInflightMsgs:           maxInflightAppends,
		MaxInflightBytes:          maxInflightBytes,
		CheckQuorum:               true,
		PreVote:                   !m.config.DisablePreVote,
		ReadOnlyOption:            raft.ReadOnlySafe,
		Logger:                    newRaftLogger(m.ports.Logger),
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
	})
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	m.raft = rn
	return nil
}

// checkRecovered refuses a log that does not fit the snapshot or itself: raft would panic on it.
func (m *Member) checkRecovered(r *wal.Recovered) error {
	applied, _ := m.machine.Applied()
	if len(r.Entries) > 0 && r.Entries[0].GetIndex() != applied+1 {
		return fmt.Errorf("%w: the log goes on with entry %d after a snapshot of entry %d", wal.ErrCorrupt, r.Entries[0].GetIndex(), applied)
	}
	if last := applied + uint64(len(r.Entries)); r.HardState.GetCommit() > last {
		return fmt.Errorf("%w: the log ends with entry %d, but %d was committed", wal.ErrCorrupt, last, r.HardState.GetCommit())
	}
	return nil
}

// maxCommittedBytesPerReady bounds what is applied between two looks at everything else.
const maxCommittedBytesPerReady = 16 << 20

// bootstrap makes the configuration changes that found a static cluster the first entries of the log, alike on every member. Who is not alone
// asks the others first.
func (m *Member) bootstrap() error {
	if len(m.config.Bootstrap) == 0 {
		return errors.New("node: the disk is empty and no members to start a cluster with are given")
	}
	if len(m.config.Bootstrap) > 1 {
		m.beNewborn()
		return nil
	}
	peers, err := bootstrapPeers(m.config.Bootstrap)
	if err != nil {
		return err
	}
	if err := m.raft.Bootstrap(peers); err != nil {
		return fmt.Errorf("bootstrap raft: %w", err)
	}
	return nil
}

// Receive takes a message from another member. Messages that make no sense are dropped.
func (m *Member) Receive(from port.MemberID, payload []byte) {
	if m.failed != nil || m.writer.closing || len(payload) == 0 {
		return
	}
	if payload[0] != kindNewborn && payload[0] != kindNewbornAnswer {
		m.acquaintance.note(from)
	}
	receive := m.receive
	if m.newborn != nil {
		receive = m.receiveNewborn
	}
	err := receive(from, payload)
	if err != nil {
		m.log(port.Warn, "dropped a message from a peer", "from", from, "kind", MessageKind(payload), "error", err)
	}
}

// receive handles a message by its kind.
func (m *Member) receive(from port.MemberID, payload []byte) (err error) {
	switch payload[0] {
	case kindNewborn:
		err = m.handleNewborn(from, payload)
	case kindNewbornAnswer:
		err = m.handleNewbornAnswer(from, payload)
	case kindRaft:
		err = m.handleRaft(from, payload[1:])
	case kindForward:
		m.relays.forwarded(from, payload[1:])
	case kindChunk:
		err = m.transfers.receiver.HandleChunk(from, payload)
	case kindChunkAck:
		err = m.transfers.sender.HandleAck(from, payload)
	case kindLease:
		err = m.handleLeaseRequest(from, payload)
	case kindLeaseAnswer:
		err = m.handleLeaseAnswer(payload)
	default:
		err = fmt.Errorf("unknown kind %d", payload[0])
	}
	return err
}

// stopServing answers all that waits: this member can't go on.
func (m *Member) stopServing() {
	m.proposals.stop()
	m.stopReads()
	m.stopAsks()
	m.resetLeases()
	m.duties.end()
	m.publish()
}
