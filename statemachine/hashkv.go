package statemachine

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// HashKV is etcd's hash of the keys as they stand at revision rev (0: the head) and of how they came to be since the compacted revision: equal on
// members with the same history and compacted revision, and equal to that of an etcd with that history, however far each has got with removing
// what was compacted. Its errors are ErrGRPCCompacted and ErrGRPCFutureRev. It visits all of that, and keeps a word for each key that did not change
// since the compaction: call it off the member.
//
// It is the CRC-32C over the name of etcd's table, "key", and then each row in order: the revision as etcd's key of it, and the stored key-value. Rows are all
// changes after the compacted revision, and of those up to it what a read at rev sees.
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

// keptAt are the versions from the compacted revision and before that a read at rev sees, in the order of revisions. Where such a read sees no key at all, etcd
// does not leave out what a read at the compacted revision sees.
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

// add hashes one row. Its key is the revision: two numbers, and a mark where the row is a deletion; of that etcd stores the key alone.
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
