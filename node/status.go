package node

import (
	"slices"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine/format"
)

// Status is what a member says of itself, as of its last turn.
type Status struct {
	ID        port.MemberID
	ClusterID uint64
	Standing
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
	// Format is the cluster's format version, as far as this member has applied the log.
	Format format.Version
	// Failed says why the member can't go on; nil while it can.
	Failed error
}

// Status returns the member's state. Call it within a turn.
func (m *Member) Status() Status {
	applied, _ := m.machine.Applied()
	pinned, oldest := m.machine.PinnedViews()
	return Status{
		ID:               m.config.ID,
		ClusterID:        m.config.ClusterID,
		Standing:         Standing{Term: m.term, Leader: m.leader, Role: m.role},
		Learner:          slices.Contains(m.confState.GetLearners(), uint64(m.config.ID)),
		Committed:        m.raft.BasicStatus().GetCommit(),
		Applied:          applied,
		PendingProposals: m.proposals.window.Count(),
		PendingReads:     m.reads.window.Count(),
		ProposalsFailed:  m.proposals.window.Failed(),
		Format:           m.machine.Format(),
		SlowReads:        m.reads.window.Retried(),
		ReadsFailed:      m.reads.window.Failed(),
		LateHeartbeats:   m.heartbeats.late,
		Installing:       m.transfers.receiver.Installing(),
		Leases:           m.leases.counts,
		LeasesHeld:       m.leases.held(),
		SnapshotIndex:    m.writer.marked.index,
		LogBytes:         m.snapshots.bytesSince,
		PinnedViews:      pinned,
		OldestView:       oldest,
		Failed:           m.failed,
	}
}
