package transfer

import (
	"encoding/binary"
	"errors"
)

// Kinds of the messages of this package, among all kinds of messages between members (node/message.go).
const (
	KindChunk byte = 3
	KindAck   byte = 4
)

// chunk is one piece of a snapshot.
type chunk struct {
	// stream names one sending of one snapshot, among all that a member does in all its runs. A later one has a higher number.
	stream   uint64
	sequence uint32 // of the chunk, from 0
	last     bool
	message  []byte // with the first chunk: the raft message that the snapshot belongs to
	data     []byte
}

const chunkHeaderBytes = 1 + 8 + 4 + 1 + 4

func (c *chunk) encode() []byte {
	b := make([]byte, 0, chunkHeaderBytes+len(c.message)+len(c.data))
	b = append(b, KindChunk)
	b = binary.LittleEndian.AppendUint64(b, c.stream)
	b = binary.LittleEndian.AppendUint32(b, c.sequence)
	last := byte(0)
	if c.last {
		last = 1
	}
	b = append(b, last)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.message)))
	b = append(b, c.message...)
	return append(b, c.data...)
}

var errShort = errors.New("a message of a snapshot's transfer is too short")

func decodeChunk(b []byte) (chunk, error) {
	if len(b) < chunkHeaderBytes {
		return chunk{}, errShort
	}
	c := chunk{
		stream:   binary.LittleEndian.Uint64(b[1:]),
		sequence: binary.LittleEndian.Uint32(b[9:]),
		last:     b[13] == 1,
	}
	n := binary.LittleEndian.Uint32(b[14:])
	b = b[chunkHeaderBytes:]
	if uint64(n) > uint64(len(b)) {
		return chunk{}, errShort
	}
	c.message, c.data = b[:n], b[n:]
	return c, nil
}

// Stream returns the number of the stream that a chunk belongs to, for tests and traces.
func Stream(payload []byte) (uint64, error) {
	c, err := decodeChunk(payload)
	return c.stream, err
}

// ackState is what the receiver says of a stream of chunks.
type ackState uint8

const (
	wanted   ackState = iota // go on from next
	complete                 // all is here and durable, or no longer needed
	refused                  // give up: the receiver can't take it
)

type ack struct {
	stream uint64
	next   uint32
	state  ackState
}

const ackBytes = 1 + 8 + 4 + 1

func (a ack) encode() []byte {
	b := make([]byte, 0, ackBytes)
	b = append(b, KindAck)
	b = binary.LittleEndian.AppendUint64(b, a.stream)
	b = binary.LittleEndian.AppendUint32(b, a.next)
	return append(b, byte(a.state))
}

func decodeAck(b []byte) (ack, error) {
	if len(b) < ackBytes {
		return ack{}, errShort
	}
	return ack{
		stream: binary.LittleEndian.Uint64(b[1:]),
		next:   binary.LittleEndian.Uint32(b[9:]),
		state:  ackState(b[13]),
	}, nil
}
