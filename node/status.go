package node

import (
	"cmp"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/detcd/detcd/node/port"
)

// Status is what a member says of itself, as of its last turn.
type Status struct {
	ID        port.MemberID
	ClusterID uint64
	Term      uint64
	Leader    port.MemberID // 0: none known
	Role      Role
	Learner   bool
	Committed uint64 // log index
	Applied   uint64 // log index
	// PendingProposals and PendingReads wait in this member.
	PendingProposals, PendingReads int
	// ProposalsFailed counts requests whose outcome was not seen in time, SlowReads rounds of reads that the leader did not answer within
	// half a second or so (see readRetryTicks), ReadsFailed reads that were given up, and LateHeartbeats how often this member, as leader, sent its heartbeats more
	// than two intervals after those before; all since the member was opened.
	ProposalsFailed, SlowReads, ReadsFailed, LateHeartbeats uint64
	// Installing says that another member's snapshot is on its way here, or being put in place.
	Installing bool
	// Leases counts what happened to leases; LeasesHeld are those whose deadlines this member keeps, as leader.
	Leases     LeaseCounts
	LeasesHeld int
	// SnapshotIndex is the log index of the newest snapshot on the disk.
	SnapshotIndex uint64
	// LogBytes is how many bytes of the log were applied since that snapshot.
	LogBytes int64
	// PinnedViews are the views in use besides the published one. Compaction takes nothing away from them, so one that is held for
	// long keeps memory; OldestView is the log index of the oldest, the published one included.
	PinnedViews int
	OldestView  uint64
	// Failed says why the member can't go on; nil while it can.
	Failed error
}

// Status returns the member's state. Call it within a turn.
func (m *Member) Status() Status {
	applied, _ := m.machine.Applied()
	held := 0
	if m.leases.lessor != nil {
		held = m.leases.lessor.Len()
	}
	pinned, oldest := m.machine.PinnedViews()
	return Status{
		ID:               m.config.ID,
		ClusterID:        m.config.ClusterID,
		Term:             m.term,
		Leader:           m.leader,
		Role:             m.role,
		Learner:          slices.Contains(m.confState.GetLearners(), uint64(m.config.ID)),
		Committed:        m.raft.BasicStatus().GetCommit(),
		Applied:          applied,
		PendingProposals: m.proposals.window.Count(),
		PendingReads:     m.reads.count,
		ProposalsFailed:  m.proposals.window.Failed(),
		SlowReads:        m.reads.slow,
		ReadsFailed:      m.reads.failed,
		LateHeartbeats:   m.heartbeats.late,
		Installing:       m.transfers.receiver.Installing(),
		Leases:           m.leaseCounts,
		LeasesHeld:       held,
		SnapshotIndex:    m.writer.marked.index,
		LogBytes:         m.snapshots.bytesSince,
		PinnedViews:      pinned,
		OldestView:       oldest,
		Failed:           m.failed,
	}
}

// Sizes are the bytes that the published view says are stored, and those that are, counted anew. It walks the whole state: it is for the
// simulator. Call it after a turn.
func (m *Member) Sizes() (published, stored int64) {
	published, _ = m.served.Load().view.Sizes()
	return published, m.machine.Recount()
}

// CompactedTo is the revision below which nothing is stored any more; -1 before the first compaction. Call it within a turn, or after one.
func (m *Member) CompactedTo() int64 { return m.machine.CompactedTo() }

// Stop ends the member's part in the cluster in good order: a leader hands leadership over if someone can take it, requests under way are
// answered with ErrStopped, the log is closed. done is called then, within about an election timeout. The member does nothing more
// after it.
func (m *Member) Stop(done func()) {
	if m.stopping {
		return
	}
	m.stopping, m.stopped = true, done
	if m.failed != nil {
		m.later(m.stopDone)
		return
	}
	m.stopDeadline = m.now().Add(m.electionTimeout())
	if to := m.successor(); to != 0 {
		m.log(port.Info, "handing leadership over", "to", to)
		m.raft.TransferLeader(uint64(to))
		return
	}
	m.shutDown()
}

// successor is the member that is best placed to lead next, 0 if there is none or this member does not lead.
func (m *Member) successor() port.MemberID {
	if m.role != Leader {
		return 0
	}
	var best port.MemberID
	var bestMatch uint64
	m.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if port.MemberID(id) == m.config.ID || pr.IsLearner || !pr.RecentActive {
			return
		}
		if pr.Match > bestMatch || pr.Match == bestMatch && port.MemberID(id) < best {
			best, bestMatch = port.MemberID(id), pr.Match
		}
	})
	return best
}

// tickStop goes on with a stop once leadership is handed over, or that took too long.
func (m *Member) tickStop() {
	if m.stopping && !m.writer.closing && (m.role != Leader || m.now() >= m.stopDeadline) {
		m.shutDown()
	}
}

// shutDown answers what waits and closes the log.
func (m *Member) shutDown() {
	m.proposals.stop()
	m.stopReads()
	m.stopAsks()
	m.resetLeases()
	m.duties.end()
	m.writer.closing = true
}

func (m *Member) stopDone() {
	if m.stopped != nil {
		m.stopped()
		m.stopped = nil
	}
}

// sortedPeers returns the peers in the order of their ids.
func sortedPeers(peers []Peer) []Peer {
	return slices.SortedFunc(slices.Values(peers), func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
}
