package statemachine

import (
	"errors"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// Revision orders every change of the store: Main counts transactions that changed something, Sub the changes within
// one, from 0. The empty store is at Main 1, as etcd's is.
type Revision struct{ Main, Sub int64 }

// version is one stored version of a key, or the mark of its deletion. Once it is published, only prev and superseded change.
type version struct {
	// prev is the version before this one. Compaction cuts it once no live view can look past this version.
	prev atomic.Pointer[version]
	// kv is the encoded mvccpb.KeyValue; of a deletion: the key and the revision of the deletion, as in etcd's events.
	kv     []byte
	hash   uint64 // of kv; the version's share of the state hash while it is the live one
	main   int64
	create int64
	number int64 // etcd's "version": 1 at creation; 0 means deleted
	lease  int64
	sub    int32
	// value lies at kv[valueAt : valueAt+valueLen].
	valueAt  uint32
	valueLen uint32
	// superseded is set by compaction when no chain leads here any more. Only the machine reads it.
	superseded bool
}

// chain is all retained versions of one key, newest first.
type chain struct{ head atomic.Pointer[version] }

// What each item counts in View.Sizes beside its encoded form, in bytes. The numbers are fixed, and not unsafe.Sizeof, so that sizes agree on every
// platform.
const (
	versionOverhead = 104 // the version and its slot in the event log
	keyOverhead     = 56  // the chain and its entry in a tree
	leaseOverhead   = 64
	leaseKeyBytes   = 40
)

// clone is the same version with the same bytes, as yet in no chain.
func (v *version) clone() *version {
	return &version{
		kv: v.kv, hash: v.hash, main: v.main, create: v.create, number: v.number, lease: v.lease, sub: v.sub,
		valueAt: v.valueAt, valueLen: v.valueLen,
	}
}

func (v *version) deleted() bool { return v.number == 0 }
func (v *version) value() []byte {
	return v.kv[v.valueAt : v.valueAt+v.valueLen : v.valueAt+v.valueLen]
}
func (v *version) size() int64 { return int64(len(v.kv)) + versionOverhead }

// key is the key's bytes within kv: field 1 always comes first and is never empty.
func (v *version) key() []byte {
	if len(v.kv) < 2 || v.kv[0] != keyTag {
		return nil // the empty key, which no API call can store
	}
	k, _ := protowire.ConsumeBytes(v.kv[1:])
	return k[:len(k):len(k)]
}

// keyValue is the version as a message. It shares the stored bytes.
func (v *version) keyValue() *mvccpb.KeyValue {
	kv := &mvccpb.KeyValue{
		Key: v.key(), CreateRevision: v.create, ModRevision: v.main, Version: v.number, Lease: v.lease,
	}
	if v.valueLen > 0 {
		kv.Value = v.value()
	}
	return kv
}

// at returns the version that a reader at revision rev sees, or nil where the key did not exist.
func (c *chain) at(rev int64) *version {
	v := c.head.Load()
	for v != nil && v.main > rev {
		v = v.prev.Load()
	}
	if v == nil || v.deleted() {
		return nil
	}
	return v
}

// Tags of mvccpb.KeyValue's fields.
const (
	keyTag     = 1<<3 | byte(protowire.BytesType)
	createTag  = 2<<3 | byte(protowire.VarintType)
	modTag     = 3<<3 | byte(protowire.VarintType)
	versionTag = 4<<3 | byte(protowire.VarintType)
	valueTag   = 5<<3 | byte(protowire.BytesType)
	leaseTag   = 6<<3 | byte(protowire.VarintType)
)

func sizeBytesField(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(n)
}

func sizeIntField(n int64) int {
	if n == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(uint64(n))
}

func appendBytesField(b []byte, tag byte, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	b = protowire.AppendVarint(append(b, tag), uint64(len(v)))
	return append(b, v...)
}

func appendIntField(b []byte, tag byte, n int64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, tag), uint64(n))
}

// keyValueFields is what an mvccpb.KeyValue holds.
type keyValueFields struct {
	key, value                  []byte
	create, mod, number, leased int64
}

func (f *keyValueFields) size() int {
	return sizeBytesField(len(f.key)) + sizeIntField(f.create) + sizeIntField(f.mod) + sizeIntField(f.number) +
		sizeBytesField(len(f.value)) + sizeIntField(f.leased)
}

// append encodes the fields exactly as proto.Marshal does: ascending, zero values left out.
func (f *keyValueFields) append(b []byte) (_ []byte, valueAt int) {
	b = appendBytesField(b, keyTag, f.key)
	b = appendIntField(b, createTag, f.create)
	b = appendIntField(b, modTag, f.mod)
	b = appendIntField(b, versionTag, f.number)
	b = appendBytesField(b, valueTag, f.value)
	valueAt = len(b) - len(f.value)
	return appendIntField(b, leaseTag, f.leased), valueAt
}

// newVersion encodes f, copying its bytes.
func newVersion(f keyValueFields, sub int32) *version {
	kv, valueAt := f.append(make([]byte, 0, f.size()))
	return &version{
		kv: kv, hash: xxhash.Sum64(kv), main: f.mod, create: f.create, number: f.number, lease: f.leased, sub: sub,
		valueAt: uint32(valueAt), valueLen: uint32(len(f.value)),
	}
}

var errKeyValue = errors.New("the key-value can't be read")

// parse fills in what follows from v.kv: all but sub, and the place in a chain.
func (v *version) parse() error {
	v.hash = xxhash.Sum64(v.kv)
	for at := 0; at < len(v.kv); {
		num, typ, n := protowire.ConsumeTag(v.kv[at:])
		if n < 0 {
			return errKeyValue
		}
		at += n
		if typ == protowire.BytesType {
			b, n := protowire.ConsumeBytes(v.kv[at:])
			if n < 0 {
				return errKeyValue
			}
			at += n
			if num == 5 {
				v.valueAt, v.valueLen = uint32(at-len(b)), uint32(len(b))
			}
			continue
		}
		x, n := protowire.ConsumeVarint(v.kv[at:])
		if n < 0 || typ != protowire.VarintType {
			return errKeyValue
		}
		at += n
		v.setNumber(num, int64(x))
	}
	if v.valueLen == 0 {
		v.valueAt = uint32(len(v.kv))
	}
	if len(v.key()) == 0 || v.main < 1 {
		return errKeyValue
	}
	return nil
}

// setNumber enters a field of mvccpb.KeyValue that is a number.
func (v *version) setNumber(field protowire.Number, n int64) {
	switch field {
	case 2:
		v.create = n
	case 3:
		v.main = n
	case 4:
		v.number = n
	case 6:
		v.lease = n
	}
}
