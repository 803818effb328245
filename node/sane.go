package node

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
)

// ErrDataLost is what a member fails with when a message shows that logs do not fit together: entries that were acknowledged are missing, here or
// in the log that this member leads with. Raft takes for granted that this can't be, and would panic or go on with the wrong log.
var ErrDataLost = errors.New("acknowledged data is missing")

// peers is how raft hears other members: what they send is held against what this member knows of its log before raft is stepped with it.
type peers struct {
	*core
	writer *writer
	// outdated says of a message that it is better not heard; see transfers.
	outdated func(from port.MemberID, msg *raftpb.Message) bool
	// handleReady does at once what raft has ready.
	handleReady func()
}

// receive steps raft with another member's message.
func (p *peers) receive(from port.MemberID, encoded []byte) error {
	msg := &raftpb.Message{}
	if err := proto.Unmarshal(encoded, msg); err != nil {
		return err
	}
	if msg.GetFrom() != uint64(from) || msg.GetTo() != uint64(p.config.ID) {
		return fmt.Errorf("message of %x for %x", msg.GetFrom(), msg.GetTo())
	}
	switch msg.GetType() {
	case raftpb.MsgSnap, raftpb.MsgProp:
		// Snapshots come in chunks, proposals as forwarded batches.
		return fmt.Errorf("unexpected message type %v", msg.GetType())
	case raftpb.MsgHeartbeatResp:
		// Raft reads a number there, without a look at the length.
		if n := len(msg.GetContext()); n != 0 && n < 8 {
			return fmt.Errorf("%v with a context of %d bytes", msg.GetType(), n)
		}
	}
	if p.outdated(from, msg) {
		return nil
	}
	return p.stepPeer(from, msg)
}

// stepPeer steps raft with a message of another member, unless that shows that data was lost: then the member ends.
func (p *peers) stepPeer(from port.MemberID, msg *raftpb.Message) (err error) {
	if p.failed != nil || p.contradicts(from, msg) {
		return nil
	}
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		said, ok := cause.(raftPanic)
		if !ok {
			panic(cause)
		}
		// Raft can't be used any more, and is not: this member has ended.
		p.halt(fmt.Errorf("%w: raft can't go on with the %v that member %x has sent (term %d, entry %d, commit %d): %s. %s", ErrDataLost, msg.GetType(), uint64(from),
			msg.GetTerm(), msg.GetIndex(), msg.GetCommit(), string(said), dataLostAdvice))
	}()
	return p.raft.Step(msg)
}

const dataLostAdvice = "A disk that was put back from an old copy, cut short, or lost can be the reason. Stop this member, put the right data directory back, and start " +
	"it again; do not delete it, it may hold what others lack"

// contradicts says whether a message tells that entries are missing that were acknowledged, and ends the member then.
func (p *peers) contradicts(from port.MemberID, msg *raftpb.Message) bool {
	switch {
	case msg.GetType() == raftpb.MsgHeartbeat && msg.GetTerm() >= p.raft.BasicStatus().GetTerm() && p.endsBefore(msg.GetCommit()):
		p.halt(fmt.Errorf("%w: leader %x (term %d) knows that this member had acknowledged the log up to entry %d at least, but its log ends with entry %d. %s",
			ErrDataLost, uint64(from), msg.GetTerm(), msg.GetCommit(), p.writer.lastIndex, dataLostAdvice))
	case msg.GetType() == raftpb.MsgAppResp && !msg.GetReject() && p.role == Leader && msg.GetTerm() == p.raft.BasicStatus().GetTerm() && p.endsBefore(msg.GetIndex()):
		p.halt(fmt.Errorf("%w: member %x (term %d) has the log up to entry %d, but this member, which leads, has it only up to entry %d: the data of this member, or of "+
			"the majority that has elected it, is not what it was. %s", ErrDataLost, uint64(from), msg.GetTerm(), msg.GetIndex(), p.writer.lastIndex, dataLostAdvice))
	default:
		return false
	}
	return true
}

// endsBefore says whether this member's log ends before an entry. Raft may have entries that it has not handed over yet: they are taken in first.
func (p *peers) endsBefore(index uint64) bool {
	if index <= p.writer.lastIndex {
		return false
	}
	p.handleReady()
	return p.failed == nil && index > p.writer.lastIndex
}
