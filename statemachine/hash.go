package statemachine

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// The state hash is a sum over all items of the state, so that a change costs only the items it touches. A key counts by its version at the head, a
// row by its letter and encoding. What is in the head is mixed in at the end. An encoded key-value begins with a protobuf tag, which is no row's
// letter. Where members differ in older versions only, ScanHistoryHash tells.

// StateHash is equal on all machines that applied the same entries. It costs O(1).
func (m *Machine) StateHash() uint64 { return m.head.stateHash(m.content) }

// StateHash is the machine's as of this view.
func (v *View) StateHash() uint64 { return v.head.stateHash(v.content) }

// ScanStateHash computes StateHash anew from everything stored: they differ if memory or the bookkeeping went wrong.
func (v *View) ScanStateHash() uint64 {
	var content uint64
	walk := v.Walk()
	for item, ok := walk.Next(); ok; item, ok = walk.Next() {
		switch ver := item.change; {
		case item.row != nil:
			content += xxhash.Sum64(item.row)
		case ver != nil && v.keys.get(ver.key(), v.rev) == ver:
			content += xxhash.Sum64(ver.kv)
		}
	}
	return v.head.stateHash(content)
}

// ScanHistoryHash hashes every version that can be read at any revision from the compacted one on, more than HashKV looks at: what a test compares
// where members must not differ in anything. It visits all of them.
func (v *View) ScanHistoryHash() uint64 {
	digest := xxhash.New()
	var buf []byte
	walk := v.Walk()
	for item, ok := walk.Next(); ok; item, ok = walk.Next() {
		if ver := item.change; ver != nil {
			buf = binary.AppendUvarint(buf[:0], uint64(len(ver.kv)))
			buf = append(binary.AppendUvarint(buf, uint64(ver.sub)), ver.kv...)
			_, _ = digest.Write(buf) // never fails
		}
	}
	return digest.Sum64()
}
