package statemachine

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// HashKV is etcd's hash of the keys at revision rev (0: the head), with their changes since the compacted revision. It is equal on members that have
// the same history and the same compacted revision, and on an etcd with that history. How much of what was compacted is still in memory
// does not matter. Its errors are ErrGRPCCompacted and ErrGRPCFutureRev. It visits all keys and changes, and keeps a word for each key that did not
// change since the compaction: call it outside of the member's turns.
//
// It is the CRC-32C over the name of etcd's table, "key", and then over each row in order: the revision in etcd's form, and the stored
// key-value. The rows are all changes after the compacted revision, and, from up to that revision, the versions that a read at rev sees.
func (v *View) HashKV(rev int64) (hash uint32, compactRevision int64, err error) {
	rev = max(rev, 0)
	if err := v.keys.checkRevision(rev); err != nil {
		return 0, 0, err
	}
	if rev == 0 {
		rev = v.keys.rev
	}
	h := rowHash{crc: crc32.Update(0, castagnoli, []byte("key"))}
	for _, ver := range v.keptAt(rev) {
		h.add(ver)
	}
	for pos := v.log.find(v.keys.compacted + 1); pos < v.log.end && v.log.at(pos).main <= rev; pos++ {
		h.add(v.log.at(pos))
	}
	return h.crc, v.keys.compacted, nil
}

// keptAt returns the versions up to the compacted revision that a read at rev sees, in the order of revisions. If such a read sees no key at
// all, they are those that a read at the compacted revision sees, as in etcd.
func (v *View) keptAt(rev int64) (kept []*version) {
	if v.keys.compacted < 0 {
		return nil
	}
	compacted, seen := v.keys.compacted, false
	v.keys.visit(span{open: true}, rev, func(ver *version) bool {
		seen = true
		if ver.main <= compacted {
			kept = append(kept, ver)
		}
		return true
	})
	if !seen {
		v.keys.visit(span{open: true}, compacted, func(ver *version) bool {
			kept = append(kept, ver)
			return true
		})
	}
	slices.SortFunc(kept, func(a, b *version) int { return cmp.Or(cmp.Compare(a.main, b.main), cmp.Compare(a.sub, b.sub)) })
	return kept
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rowHash hashes changes as rows of etcd's table of keys.
type rowHash struct {
	crc uint32
	buf []byte
}

// add hashes one row. The row's key is the revision: two numbers, and a mark if the row is a deletion. Of a deletion etcd stores only the key that was
// deleted.
func (h *rowHash) add(ver *version) {
	b := binary.BigEndian.AppendUint64(h.buf[:0], uint64(ver.main))
	b = binary.BigEndian.AppendUint64(append(b, '_'), uint64(ver.sub))
	value := ver.kv
	if ver.deleted() {
		b = appendBytesField(append(b, 't'), keyTag, ver.key())
		value = nil
	}
	h.crc = crc32.Update(crc32.Update(h.crc, castagnoli, b), castagnoli, value)
	h.buf = b
}
