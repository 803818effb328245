package statemachine

import (
	"encoding/binary"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// Plain puts, of which there are most, are coded by hand: as protobuf has them, without its costs.

// putRequest is a request with room for its put: one allocation for both, or for many.
type putRequest struct {
	request pb.InternalRaftRequest
	put     pb.PutRequest
}

// Field numbers of InternalRaftRequest and PutRequest that a plain put uses.
const (
	requestID      = 1
	requestPut     = 4
	putKey         = 1
	putValue       = 2
	putLease       = 3
	putPrevKv      = 4
	putIgnoreValue = 5
	putIgnoreLease = 6
)

// isPlainPut says that r has nothing but a put and an id, the form that is coded by hand.
func isPlainPut(r *pb.InternalRaftRequest) bool {
	return r.GetPut() != nil && r.Header == nil &&
		len(r.ProtoReflect().GetUnknown()) == 0 && len(r.Put.ProtoReflect().GetUnknown()) == 0
}

// appendPut encodes a plain put as proto.Marshal would, with its length before it.
func appendPut(out []byte, r *pb.InternalRaftRequest) []byte {
	p := r.Put
	size := sizeBytesField(len(p.Key)) + sizeBytesField(len(p.Value)) + sizeIntField(p.Lease)
	for _, flag := range [...]bool{p.PrevKv, p.IgnoreValue, p.IgnoreLease} {
		if flag {
			size += 2
		}
	}
	out = binary.AppendUvarint(out, uint64(sizeIntField(int64(r.ID))+1+protowire.SizeBytes(size)))
	out = appendIntField(out, requestID<<3|byte(protowire.VarintType), int64(r.ID))
	out = protowire.AppendVarint(append(out, requestPut<<3|byte(protowire.BytesType)), uint64(size))
	out = appendBytesField(out, putKey<<3|byte(protowire.BytesType), p.Key)
	out = appendBytesField(out, putValue<<3|byte(protowire.BytesType), p.Value)
	out = appendIntField(out, putLease<<3|byte(protowire.VarintType), p.Lease)
	for i, flag := range [...]bool{p.PrevKv, p.IgnoreValue, p.IgnoreLease} {
		if flag {
			out = append(out, byte(putPrevKv+i)<<3|byte(protowire.VarintType), 1)
		}
	}
	return out
}

// decode reads a plain put, sharing data's memory. It says false, having changed nothing, for anything else, proto.Unmarshal's
// to judge: other fields, a repeated put (whose parts merge), malformed bytes.
func (p *putRequest) decode(data []byte) bool {
	var id uint64
	var put []byte
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return false
		}
		data = data[n:]
		switch {
		case num == requestID && typ == protowire.VarintType:
			id, n = protowire.ConsumeVarint(data)
		case num == requestPut && typ == protowire.BytesType && put == nil:
			put, n = protowire.ConsumeBytes(data)
		default:
			return false
		}
		if n < 0 {
			return false
		}
		data = data[n:]
	}
	if put == nil || !p.decodePut(put) {
		return false
	}
	p.request.ID, p.request.Put = id, &p.put
	return true
}

func (p *putRequest) decodePut(data []byte) bool {
	var key, value []byte
	var ints [putIgnoreLease + 1]uint64
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return false
		}
		data = data[n:]
		switch {
		case num == putKey && typ == protowire.BytesType:
			key, n = protowire.ConsumeBytes(data)
		case num == putValue && typ == protowire.BytesType:
			value, n = protowire.ConsumeBytes(data)
		case num >= putLease && num <= putIgnoreLease && typ == protowire.VarintType:
			ints[num], n = protowire.ConsumeVarint(data)
		default:
			return false
		}
		if n < 0 {
			return false
		}
		data = data[n:]
	}
	if len(key) > 0 {
		p.put.Key = key[:len(key):len(key)]
	}
	if len(value) > 0 {
		p.put.Value = value[:len(value):len(value)]
	}
	p.put.Lease = int64(ints[putLease])
	p.put.PrevKv, p.put.IgnoreValue, p.put.IgnoreLease = ints[putPrevKv] != 0, ints[putIgnoreValue] != 0, ints[putIgnoreLease] != 0
	return true
}
