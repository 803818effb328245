package node

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
)

// ErrDataLost is what a member fails with when a message shows that logs do not fit together: entries that were acknowledged are missing, here or
// in the log that this member leads with. Raft takes for granted that this can't be, and would panic or go on with the wrong log.
var ErrDataLost = errors.New("acknowledged data is missing")

// stepPeer steps raft with a message of another member, unless that shows that data was lost: then the member ends.
func (m *Member) stepPeer(from port.MemberID, msg *raftpb.Message) (err error) {
	if m.failed != nil || m.contradicts(from, msg) {
		return nil
	}
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		said, ok := p.(raftPanic)
		if !ok {
			panic(p)
		}
		// Raft can't be used any more, and is not: this member has ended.
		m.halt(fmt.Errorf("%w: raft can't go on with the %v that member %x has sent (term %d, entry %d, commit %d): %s. %s", ErrDataLost, msg.GetType(), uint64(from),
			msg.GetTerm(), msg.GetIndex(), msg.GetCommit(), string(said), dataLostAdvice))
	}()
	return m.raft.Step(msg)
}

const dataLostAdvice = "A disk that was put back from an old copy, cut short, or lost can be the reason. Stop this member, put the right data directory back, and start " +
	"it again; do not delete it, it may hold what others lack"

// contradicts says whether a message tells that entries are missing that were acknowledged, and ends the member then.
func (m *Member) contradicts(from port.MemberID, msg *raftpb.Message) bool {
	switch {
	case msg.GetType() == raftpb.MsgHeartbeat && msg.GetTerm() >= m.raft.BasicStatus().GetTerm() && m.endsBefore(msg.GetCommit()):
		m.halt(fmt.Errorf("%w: leader %x (term %d) knows that this member had acknowledged the log up to entry %d at least, but its log ends with entry %d. %s",
			ErrDataLost, uint64(from), msg.GetTerm(), msg.GetCommit(), m.writer.lastIndex, dataLostAdvice))
	case msg.GetType() == raftpb.MsgAppResp && !msg.GetReject() && m.role == Leader && msg.GetTerm() == m.raft.BasicStatus().GetTerm() && m.endsBefore(msg.GetIndex()):
		m.halt(fmt.Errorf("%w: member %x (term %d) has the log up to entry %d, but this member, which leads, has it only up to entry %d: the data of this member, or of "+
			"the majority that has elected it, is not what it was. %s", ErrDataLost, uint64(from), msg.GetTerm(), msg.GetIndex(), m.writer.lastIndex, dataLostAdvice))
	default:
		return false
	}
	return true
}

// endsBefore says whether this member's log ends before an entry. Raft may have entries that it has not handed over yet: they are taken in first.
func (m *Member) endsBefore(index uint64) bool {
	if index <= m.writer.lastIndex {
		return false
	}
	m.handleReadyWithin()
	return m.failed == nil && index > m.writer.lastIndex
}
