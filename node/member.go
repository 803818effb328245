package node

import (
	"errors"
	"fmt"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// Member is one member of the cluster. See the package comment for who may call it and when.
type Member struct {
	core

	entries    *entries
	heartbeats heartbeats

	// served is what any goroutine may read: the newest view, and whether it may be served as linearizable at once.
	served atomic.Pointer[served]
	// unpublished: the machine was changed since the view was made.
	unpublished bool
	// replaced: a received snapshot took the machine's place since the view was made.
	replaced bool

	proposals *proposals
	relays    relays
	reads     reads
	hub       watch.Hub
	asks      leaseAsks
	leases    leaseLeader
	writer    writer
	reach     reach
	snapshots snapshots
	transfers transfers
	catchUps  catchUps
	followers []follower // as of the last look at the log; none unless this member leads

	leaseCounts LeaseCounts

	compactions  compactions
	peersChanged bool // and the network was not told yet
	versionAsked bool // this leader has proposed a cluster version

	newborn      *newborn // not nil: it is not decided yet how this member's log begins
	acquaintance acquaintance

	removedTicks int // until this member ends, which was removed from the cluster; 0: it was not

	stopped      func() // called once when a graceful stop is done
	stopDeadline port.Instant
}

type served struct {
	view  *statemachine.View
	local bool
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
	m := &Member{core: core{config: config, ports: ports}}
	m.relays = newRelays(&m.core)
	m.proposals = newProposals(&m.core, &m.relays, m.awaitRemoval)
	m.resetLeases()
	found, err := m.readLog()
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
	if err := m.openReach(log); err != nil {
		return errors.Join(err, log.Close())
	}
	if err := m.sweepSnapshots(r.Snapshot); err != nil {
		return errors.Join(fmt.Errorf("remove old snapshots: %w", err), m.reach.file.Close(), log.Close())
	}
	return nil
}

func (m *Member) identity() wal.Identity {
	return wal.Identity{Cluster: m.config.ClusterID, Member: uint64(m.config.ID)}
}

// recover rebuilds the state from a snapshot and hands the log after it to raft.
func (m *Member) recover(r *wal.Recovered) error {
	m.incarnation = r.Incarnation
	m.setMachine(statemachine.New())
	m.confState = &raftpb.ConfState{}
	m.entries = &entries{hardState: r.HardState, past: m.catchUps.past, snapshot: m.offerSnapshot}
	if r.Snapshot != nil {
		if err := m.loadSnapshot(*r.Snapshot); err != nil {
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
		err = m.handleChunk(from, payload)
	case kindChunkAck:
		err = m.handleChunkAck(from, payload)
	case kindLease:
		err = m.handleLeaseRequest(from, payload)
	case kindLeaseAnswer:
		err = m.handleLeaseAnswer(payload)
	default:
		err = fmt.Errorf("unknown kind %d", payload[0])
	}
	return err
}

// EndTurn does the work that the calls of this turn have made necessary: messages leave, the log is written, committed entries are
// applied, answers are given. The driver calls it once after each batch of calls.
func (m *Member) EndTurn() {
	m.wanted = false
	switch {
	case m.failed != nil:
	case m.newborn != nil:
		m.endNewbornTurn()
	default:
		m.clearLeases()
		m.proposals.gather()
		m.gatherAsks()
		m.proveLeases()
		m.askReads()
		m.handleReady()
		if m.failed != nil {
			break
		}
		m.decideVersion()
		if m.peersChanged {
			m.setPeers()
		}
		m.writer.start(m)
		m.publish()
		m.maybeLoadLeases()
		m.serveReads()
		m.tendCatchUps()
		m.tendSnapshots()
	}
	for len(m.outcomes) > 0 {
		outcomes := m.outcomes
		m.outcomes = nil
		for _, f := range outcomes {
			f()
		}
	}
	if m.wanted && m.failed == nil {
		m.ports.Clock.After(0, func() {}) // a turn at once
	}
	m.turn.begun = false
}

// tick is raft's unit of time passing.
func (m *Member) tick() {
	if m.failed != nil || m.writer.closed {
		return
	}
	m.ports.Clock.After(m.config.TickInterval, m.tick)
	if m.newborn != nil {
		m.tickNewborn()
	} else {
		m.noteHeartbeat()
		m.raft.Tick()
	}
	m.campaignAlone()
	m.proposals.tick()
	m.tickReads()
	m.tickAsks()
	m.tickLeases()
	m.tickTransfers()
	m.tickCompactions()
	m.releaseLog()
	m.tickStop()
	m.tickRemoved()
	m.writer.settle(m)
}

// heartbeats are those that this member sends as leader, one round a tick.
type heartbeats struct {
	last port.Instant // 0: it did not lead at the last tick
	late uint64       // see Status.LateHeartbeats
}

// noteHeartbeat notes when a leader's heartbeats leave: late ones let followers think of an election.
func (m *Member) noteHeartbeat() {
	h := &m.heartbeats
	if m.role != Leader {
		h.last = 0
		return
	}
	if h.last != 0 && m.now().Sub(h.last) > 2*m.config.TickInterval {
		h.late++
	}
	h.last = m.now()
}

// campaignAlone has a sole voter lead at once: there is nobody to wait for.
func (m *Member) campaignAlone() {
	if m.leader != 0 || m.role != Follower || !m.soleVoter() || m.stopping {
		return
	}
	if err := m.raft.Campaign(); err != nil {
		m.log(port.Warn, "raft refused to campaign", "error", err)
	}
}

// publish makes a view of all that was applied what readers get from now on.
func (m *Member) publish() {
	s := m.served.Load()
	local := m.answersAlone()
	if s != nil && !m.unpublished && s.local == local {
		return
	}
	next := &served{local: local}
	if s != nil && !m.unpublished {
		next.view = s.view
		m.served.Store(next)
		return
	}
	next.view = m.machine.Publish()
	m.unpublished = false
	m.served.Store(next)
	m.hub.Publish(next.view, s == nil || m.replaced)
	m.replaced = false
	m.noteRemoved()
}

// setMachine makes a state this member's.
func (m *Member) setMachine(machine *statemachine.Machine) {
	m.machine = machine
	machine.BeforeCompaction(m.lookAhead)
}

// lookAhead has the hub look at what this turn has applied so far, before a compaction hides it. The compaction may be in the same batch, or
// one of many that a follower catches up with. Watches that nothing of it concerns would else end with the others: nobody could tell them
// apart later.
func (m *Member) lookAhead() {
	if m.served.Load() != nil && !m.replaced {
		m.hub.Look(m.machine.Changes, m.machine.Revision())
	}
}

// Watch returns the hub that knows who waits for which events. It belongs to the member's turns.
func (m *Member) Watch() *watch.Hub { return &m.hub }

// answersAlone says whether the published view is linearizable by itself: this member is the only voter and leads, and an entry of its
// term is applied, so whatever was acknowledged before is applied too. A second voter can take part only after this member has applied
// the change that lets it in, and from then on this is false.
func (m *Member) answersAlone() bool {
	if m.role != Leader || m.failed != nil || m.stopping || !m.soleVoter() {
		return false
	}
	_, term := m.machine.Applied()
	return term == m.term
}

// fail stops the member for good: what its disk holds is no longer known.
func (m *Member) fail(err error) {
	if m.failed != nil {
		return
	}
	what := "the member can't go on: its disk failed; mend the disk and start it again"
	if errors.Is(err, port.ErrNoSpace) {
		what = "the member can't go on: its disk is full; make room on it and start the member again, nothing acknowledged is lost"
	}
	m.log(port.Error, what, "error", err)
	m.end(err)
}

// end is the end of a member that can't go on.
func (m *Member) end(err error) {
	m.failed = err
	m.proposals.stop()
	m.stopReads()
	m.stopAsks()
	m.stopCompactions()
	m.resetLeases()
	m.publish()
	m.ports.Observer.Failed(err)
}
