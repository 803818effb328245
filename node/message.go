package node

import (
	"encoding/binary"
	"errors"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/transfer"
)

// A message between members is one byte that says its kind, and the rest:
//
//	kindRaft      a raftpb.Message, encoded
//	kindForward   a statemachine.Envelope, encoded: what a follower has for the leader to propose
//	kindChunk, kindChunkAck  a piece of a snapshot, and the answer: see package transfer
//	kindLease     term uint64 | incarnation uint64 | sequence uint64 | floor uint64 | for each question: what uint8 | lease uint64
//	kindLeaseAnswer  incarnation uint64 | sequence uint64 | for each answer: found uint8 | granted uint64 | remaining uint64
//	kindNewborn      life uint64: a founding member with an empty disk asks whether the cluster lives, and knows it
//	kindNewbornAnswer  life uint64 | flags uint8 (1: knows, 2: written) | term uint64 | vouched uint64
//
// Numbers are little-endian.
const (
	kindRaft          byte = 1
	kindForward       byte = 2
	kindChunk              = transfer.KindChunk
	kindChunkAck           = transfer.KindAck
	kindLease         byte = 5
	kindLeaseAnswer   byte = 6
	kindNewborn       byte = 7
	kindNewbornAnswer byte = 8
)

// MessageKind names the kind of an encoded message, for traces.
func MessageKind(payload []byte) string {
	if len(payload) == 0 {
		return "empty"
	}
	switch payload[0] {
	case kindRaft:
		return "raft"
	case kindForward:
		return "forward"
	case kindChunk:
		return "chunk"
	case kindChunkAck:
		return "chunk-ack"
	case kindLease:
		return "lease"
	case kindLeaseAnswer:
		return "lease-answer"
	case kindNewborn:
		return "newborn"
	case kindNewbornAnswer:
		return "newborn-answer"
	}
	return "unknown"
}

func encodeRaft(m *raftpb.Message) []byte {
	b := make([]byte, 1, 1+proto.Size(m))
	b[0] = kindRaft
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	if err != nil {
		panic("node: raft message can't be encoded: " + err.Error())
	}
	return b
}

// raftClass says which messages overtake others: appends are Normal, with or without entries; all else only carries numbers and is Urgent.
// An append without entries that overtook those before it would be refused, and raft would send all of them again.
func raftClass(m *raftpb.Message) port.Class {
	if m.GetType() == raftpb.MsgApp {
		return port.Normal
	}
	return port.Urgent
}

var errShortMessage = errors.New("message is too short for its kind")

// newbornQuestion is what a member with an empty disk asks the other founding members. life tells its run from any other of this member.
type newbornQuestion struct{ life uint64 }

const newbornQuestionBytes = 1 + 8

func (q newbornQuestion) encode() []byte {
	return binary.LittleEndian.AppendUint64(append(make([]byte, 0, newbornQuestionBytes), kindNewborn), q.life)
}

func decodeNewbornQuestion(b []byte) (newbornQuestion, error) {
	if len(b) < newbornQuestionBytes {
		return newbornQuestion{}, errShortMessage
	}
	return newbornQuestion{life: binary.LittleEndian.Uint64(b[1:])}, nil
}

// newbornAnswer is what it is told.
type newbornAnswer struct {
	life uint64
	// knows: the one who answers knows that the one who asks has taken part in this cluster.
	knows bool
	// written: the one who answers has entries beyond those that found the cluster.
	written bool
	// term is the highest that the one who answers knows of; where it vouches, the one in which it leads.
	term uint64
	// vouched is the index of the entry by which a leader vouches for the one who asks; 0: it does not.
	vouched uint64
}

const newbornAnswerBytes = 1 + 8 + 1 + 8 + 8

func (a newbornAnswer) encode() []byte {
	b := append(make([]byte, 0, newbornAnswerBytes), kindNewbornAnswer)
	b = binary.LittleEndian.AppendUint64(b, a.life)
	flags := byte(0)
	if a.knows {
		flags |= 1
	}
	if a.written {
		flags |= 2
	}
	b = binary.LittleEndian.AppendUint64(append(b, flags), a.term)
	return binary.LittleEndian.AppendUint64(b, a.vouched)
}

func decodeNewbornAnswer(b []byte) (newbornAnswer, error) {
	if len(b) < newbornAnswerBytes {
		return newbornAnswer{}, errShortMessage
	}
	return newbornAnswer{life: binary.LittleEndian.Uint64(b[1:]), knows: b[9]&1 != 0, written: b[9]&2 != 0,
		term: binary.LittleEndian.Uint64(b[10:]), vouched: binary.LittleEndian.Uint64(b[18:])}, nil
}
