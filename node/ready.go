package node

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
)

// handleReady takes from raft all that it has ready, and does it.
func (m *Member) handleReady() {
	for m.failed == nil && m.raft.HasReady() {
		rd := m.raft.Ready()
		if rd.SoftState != nil || !raft.IsEmptyHardState(rd.HardState) {
			m.noteRole()
		}
		if len(rd.ReadStates) > 0 {
			m.reads.confirm(rd.ReadStates)
		}
		for _, msg := range holdVoteRequests(rd.Messages) {
			if m.dispatch(msg); m.failed != nil {
				return
			}
		}
		m.reads.askPostponed()
	}
}

// handleReadyWithin is handleReady in the midst of a turn. What it has applied is published at once: the calls that follow in this turn, such as
// Hub.Attach, take what is published for all that was applied.
func (m *Member) handleReadyWithin() {
	m.handleReady()
	m.publish()
}

// holdVoteRequests has a candidate ask for votes only once its own, and the new term, are durable. Raft with asynchronous writes would
// ask at once and waits for no more than its vote to be durable, so that it may come to lead by the others' votes alone. A crash then
// takes it back to the term before, it is elected for the same term again, and writes other entries where the same term has some already.
func holdVoteRequests(messages []*raftpb.Message) []*raftpb.Message {
	var held []*raftpb.Message
	var write *raftpb.Message
	for _, msg := range messages {
		switch {
		case msg.GetType() == raftpb.MsgVote:
			held = append(held, msg)
		case msg.GetTo() == raft.LocalAppendThread:
			write = msg
		}
	}
	if len(held) == 0 || write == nil {
		return messages
	}
	write.Responses = append(held, write.GetResponses()...)
	return slices.DeleteFunc(slices.Clone(messages), func(msg *raftpb.Message) bool { return msg.GetType() == raftpb.MsgVote })
}

// dispatch carries out one of raft's messages: to the log, to the state machine, or to another member.
func (m *Member) dispatch(msg *raftpb.Message) {
	switch msg.GetTo() {
	case raft.LocalAppendThread:
		install := m.installs(msg)
		m.versions.note(msg.GetEntries()) // after the snapshot: the message's entries follow it
		m.writer.add(msg, install)
	case raft.LocalApplyThread:
		for _, e := range msg.GetEntries() {
			if m.apply(e); m.failed != nil {
				return
			}
		}
		applied, _ := m.machine.Applied()
		m.entries.trim(applied, m.config.CatchUpEntries, m.config.CatchUpBytes) // most followers should have those that go
		m.deliver(msg.GetResponses())
	case uint64(m.config.ID):
		m.step(msg)
	default:
		if msg.GetType() == raftpb.MsgSnap {
			m.transfers.start(msg)
			return
		}
		m.ports.Network.Send(port.MemberID(msg.GetTo()), raftClass(msg), encodeRaft(msg))
	}
}

// deliver passes on the answers that waited for a write or an apply to be done.
func (m *Member) deliver(responses []*raftpb.Message) {
	for _, r := range responses {
		m.dispatch(r)
	}
}

// noteRole learns term, leader and role from raft, and lets what waits for a leader go on.
func (m *Member) noteRole() {
	s := m.raft.BasicStatus()
	role := Follower
	switch s.RaftState {
	case raft.StateLeader:
		role = Leader
	case raft.StateCandidate, raft.StatePreCandidate:
		role = Candidate
	}
	leader, term := port.MemberID(s.Lead), s.GetTerm()
	if role == m.role && leader == m.leader && term == m.term {
		return
	}
	if m.leader != 0 && leader != m.leader {
		m.leaderLostAt = m.now()
	}
	changed := leader != m.leader || term != m.term
	m.role, m.leader, m.term = role, leader, term
	m.ports.Observer.RoleChanged(Standing{Term: term, Leader: leader, Role: role})
	if changed {
		// What this member did as leader is over.
		m.relays.begin()
		m.proposals.begin()
		m.duties.begin(term)
		m.reads.begin()
		m.asks.begin() // after the duties: a new leader's are ready for its own questions
	}
}

// apply applies one committed entry.
func (m *Member) apply(e *raftpb.Entry) {
	index, term, data := e.GetIndex(), e.GetTerm(), e.GetData()
	m.ports.Observer.Committed(LogEntry{Index: index, Term: term, Data: data})
	switch {
	case e.GetType() != raftpb.EntryNormal:
		m.applyConfChange(e)
	case len(data) == 0:
		m.machine.ApplyNothing(index, term)
	default:
		m.applyEnvelope(index, term, data)
	}
	if m.failed != nil {
		return
	}
	m.unpublished = true
	m.ports.Observer.Applied(StateMark{Index: index, Hash: m.machine.StateHash()})
	m.snapshots.noteApplied(entryBytes(e))
}

// applyEnvelope applies what a member has proposed, and answers where that is this one.
func (m *Member) applyEnvelope(index, term uint64, data []byte) {
	e, err := statemachine.Decode(data, m.config.KnownFormat)
	if err != nil {
		m.unreadable(index, term, err)
		return
	}
	if m.proposals.foreign(e, term, data) {
		m.proposals.endAsOldCopy(fmt.Sprintf("entry %d is a request of this member (incarnation %d, number %d)", index, e.Incarnation, e.Sequence))
		return
	}
	if e.Change != nil { // such a change is raft's too, and this entry is none of raft's
		m.machine.ApplyNothing(index, term)
		return
	}
	own := e.Proposer == uint64(m.config.ID) && e.Incarnation == m.incarnation
	leases := concernsLeases(e.Requests)
	results, fresh := m.machine.Apply(index, term, e, own || leases)
	m.relays.applied(e)
	if e.Raise != 0 && fresh {
		m.versions.raised()
	}
	if leases && fresh {
		m.leases.note(e.Requests, results)
	}
	if own && fresh {
		m.proposals.answer(e.Sequence, index, results)
	}
}
