package wire

import (
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/statemachine"
)

// errWire is a message that does not follow protobuf's encoding.
var errWire = errors.New("proto: cannot parse invalid wire-format data")

// fields calls f for each field of an encoded message. f reads the field from b, and returns how many bytes it read. 0 skips the field: it is unknown, or not of the type
// that the message has for it.
func fields(data []byte, f func(n protowire.Number, t protowire.Type, b []byte) int) error {
	for len(data) > 0 {
		n, t, size := protowire.ConsumeTag(data)
		if size < 0 || n > protowire.MaxValidNumber {
			return errWire
		}
		data = data[size:]
		if size = f(n, t, data); size == 0 {
			size = protowire.ConsumeFieldValue(n, t, data)
		}
		if size < 0 {
			return errWire
		}
		data = data[size:]
	}
	return nil
}

// decodePut reads a PutRequest as proto.Unmarshal does, but drops unknown fields. The message's slices are copies, both in one piece of memory.
func decodePut(data []byte, m *pb.PutRequest) error {
	var key, value []byte
	var lease uint64
	err := fields(data, func(n protowire.Number, t protowire.Type, b []byte) (size int) {
		switch {
		case n == 1 && t == protowire.BytesType:
			key, size = protowire.ConsumeBytes(b)
		case n == 2 && t == protowire.BytesType:
			value, size = protowire.ConsumeBytes(b)
		case n == 3 && t == protowire.VarintType:
			lease, size = protowire.ConsumeVarint(b)
		case n == 4 && t == protowire.VarintType:
			m.PrevKv, size = consumeBool(b)
		case n == 5 && t == protowire.VarintType:
			m.IgnoreValue, size = consumeBool(b)
		case n == 6 && t == protowire.VarintType:
			m.IgnoreLease, size = consumeBool(b)
		}
		return size
	})
	if err != nil {
		return err
	}
	m.Lease = int64(lease)
	m.Key, m.Value = copyTwo(key, value)
	return nil
}

// decodeRange reads a RangeRequest as decodePut reads a PutRequest.
func decodeRange(data []byte, m *pb.RangeRequest) error {
	var key, end []byte
	err := fields(data, func(n protowire.Number, t protowire.Type, b []byte) (size int) {
		if n <= 2 {
			if t != protowire.BytesType {
				return 0
			}
			if n == 1 {
				key, size = protowire.ConsumeBytes(b)
			} else {
				end, size = protowire.ConsumeBytes(b)
			}
			return size
		}
		if t != protowire.VarintType {
			return 0
		}
		var v uint64
		if v, size = protowire.ConsumeVarint(b); size < 0 {
			return size
		}
		switch n {
		case 3:
			m.Limit = int64(v)
		case 4:
			m.Revision = int64(v)
		case 5:
			m.SortOrder = pb.RangeRequest_SortOrder(v)
		case 6:
			m.SortTarget = pb.RangeRequest_SortTarget(v)
		case 7:
			m.Serializable = v != 0
		case 8:
			m.KeysOnly = v != 0
		case 9:
			m.CountOnly = v != 0
		case 10:
			m.MinModRevision = int64(v)
		case 11:
			m.MaxModRevision = int64(v)
		case 12:
			m.MinCreateRevision = int64(v)
		case 13:
			m.MaxCreateRevision = int64(v)
		}
		return size
	})
	if err != nil {
		return err
	}
	m.Key, m.RangeEnd = copyTwo(key, end)
	return nil
}

func consumeBool(b []byte) (bool, int) {
	v, size := protowire.ConsumeVarint(b)
	return v != 0, size
}

// copyTwo copies two slices with one allocation. An empty slice comes out nil, as from proto.Unmarshal.
func copyTwo(a, b []byte) ([]byte, []byte) {
	if len(a)+len(b) == 0 {
		return nil, nil
	}
	both := make([]byte, 0, len(a)+len(b))
	both = append(append(both, a...), b...)
	var first, second []byte
	if len(a) > 0 {
		first = both[:len(a):len(a)]
	}
	if len(b) > 0 {
		second = both[len(a):]
	}
	return first, second
}

// Header is the part of every answer that says who gives it, and when.
type Header struct {
	Cluster, Member, Term uint64
	Revision              int64
}

// HeaderOf is a header that is a message.
func HeaderOf(h *pb.ResponseHeader) Header {
	return Header{Cluster: h.GetClusterId(), Member: h.GetMemberId(), Term: h.GetRaftTerm(), Revision: h.GetRevision()}
}

// headerMax bounds an encoded header with its tag and length.
const headerMax = 2 + 4*(1+10)

// append appends the header as field 1 of an answer.
func (h Header) append(dst []byte) []byte {
	dst = append(dst, 1<<3|byte(protowire.BytesType), 0)
	start := len(dst)
	dst = h.appendFields(dst)
	// Four varints with their tags take less than 128 bytes: their length is one byte.
	dst[start-1] = byte(len(dst) - start)
	return dst
}

// appendFields appends the header as a message of its own.
func (h Header) appendFields(dst []byte) []byte {
	dst = appendVarint(dst, 1, h.Cluster)
	dst = appendVarint(dst, 2, h.Member)
	dst = appendVarint(dst, 3, uint64(h.Revision))
	return appendVarint(dst, 4, h.Term)
}

// appendVarint appends a field of a small number, unless it is zero.
func appendVarint(dst []byte, field byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(append(dst, field<<3|byte(protowire.VarintType)), v)
}

// EncodeRange writes a RangeResponse around key-values that the state machine holds encoded already.
func EncodeRange(h Header, r *statemachine.RangeResult) *Encoded {
	if size := r.Size(); size > wholeMax {
		return inParts(h.append(nil), r, size, appendRangeEnd(nil, r))
	}
	return pooled(headerMax+r.Size()+2+11, func(b []byte) []byte { return appendRange(b, h, r) })
}

// EncodeChunk writes a RangeStreamResponse as EncodeRange does a RangeResponse.
func EncodeChunk(c *call.Chunk, s node.Status) *Encoded {
	if size := c.Size(); size > wholeMax {
		// Pieces are free again by the time of the next chunk, so that a stream makes no garbage.
		before, after := c.Around(s)
		return inPieces(before, c.Result, size, after)
	}
	return pooled(c.Size(), func(b []byte) []byte { return c.Append(b, s) })
}

// pooled is an answer of at most size bytes, in memory that is used again once it is sent.
func pooled(size int, write func([]byte) []byte) *Encoded {
	if mem.IsBelowBufferPoolingThreshold(size) {
		return &Encoded{mem.BufferSlice{mem.SliceBuffer(write(make([]byte, 0, size)))}}
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(size)
	*buf = write((*buf)[:0])
	return &Encoded{mem.BufferSlice{mem.NewBuffer(buf, pool)}}
}

func appendRange(b []byte, h Header, r *statemachine.RangeResult) []byte {
	return appendRangeEnd(r.AppendKVs(h.append(b)), r)
}

// appendRangeEnd appends what comes after the key-values.
func appendRangeEnd(b []byte, r *statemachine.RangeResult) []byte {
	if r.More {
		b = appendVarint(b, 3, 1)
	}
	return appendVarint(b, 4, uint64(r.Count))
}

// encodePut writes a PutResponse.
func encodePut(m *pb.PutResponse) mem.BufferSlice {
	b := make([]byte, 0, headerMax)
	if h := m.GetHeader(); h != nil {
		b = HeaderOf(h).append(b)
	}
	if kv := m.GetPrevKv(); kv != nil {
		b = protowire.AppendTag(b, 2, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(proto.Size(kv)))
		// Its own fields are all valid, so that marshalling can't fail.
		b, _ = proto.MarshalOptions{}.MarshalAppend(b, kv)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}
}

// decodeKeepAlive reads a LeaseKeepAliveRequest as decodePut reads a PutRequest.
func decodeKeepAlive(data []byte, m *pb.LeaseKeepAliveRequest) error {
	return fields(data, func(n protowire.Number, t protowire.Type, b []byte) int {
		if n != 1 || t != protowire.VarintType {
			return 0
		}
		id, size := protowire.ConsumeVarint(b)
		m.ID = int64(id)
		return size
	})
}

// encodeKeepAlive writes a LeaseKeepAliveResponse.
func encodeKeepAlive(m *pb.LeaseKeepAliveResponse) mem.BufferSlice {
	b := make([]byte, 0, headerMax+2*(1+10))
	if h := m.GetHeader(); h != nil {
		b = HeaderOf(h).append(b)
	}
	b = appendVarint(b, 2, uint64(m.GetID()))
	return mem.BufferSlice{mem.SliceBuffer(appendVarint(b, 3, uint64(m.GetTTL())))}
}
