package statemachine

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// The state hash is a sum over all items of the state, each hashed with what kind it is, so that a change costs the items it
// touches; single numbers are mixed in at the end. Keys count by their live versions. Where a cluster's members differ
// in older versions only, ScanHistoryHash tells.

// Kinds of items. An encoded key-value stands for itself: its first byte is a protobuf tag, none of these.
const (
	leaseItem   = 'L'
	memberItem  = 'M'
	removedItem = 'R'
	alarmItem   = 'A'
	sessionItem = 'S'
	totalItem   = 'T'
)

func (l Lease) hash() uint64 {
	var buf [32]byte
	return xxhash.Sum64(l.append(append(buf[:0], leaseItem)))
}

func (o Member) hash() uint64 { return xxhash.Sum64(o.append([]byte{memberItem})) }

func (a alarm) hash() uint64 { return xxhash.Sum64(a.append([]byte{alarmItem})) }

func removedHash(id MemberID) uint64 {
	return xxhash.Sum64(binary.AppendUvarint([]byte{removedItem}, id))
}

func (s *session) contentHash() uint64 {
	var buf [1 + 3*8 + sessionWindow/8]byte
	return xxhash.Sum64(s.append(append(buf[:0], sessionItem)))
}

// total mixes the sum of the items with the numbers that are no items.
func total(content uint64, rev, compacted int64, clusterVersion string, d Downgrade) uint64 {
	b := binary.LittleEndian.AppendUint64([]byte{totalItem}, content)
	b = binary.AppendVarint(binary.AppendVarint(b, rev), compacted)
	b = appendString(b, clusterVersion)
	b = appendString(appendBool(b, d.Enabled), d.Target)
	return xxhash.Sum64(b)
}

// StateHash is equal on all machines that applied the same entries. It costs O(1).
func (m *Machine) StateHash() uint64 {
	return total(m.content, m.rev, m.compacted, m.clusterVersion, m.downgrade)
}

// StateHash is the machine's as of this view.
func (v *View) StateHash() uint64 {
	return total(v.content, v.keys.rev, v.keys.compacted, v.clusterVersion, v.downgrade)
}

// ScanStateHash computes StateHash anew from everything stored: they differ if memory or the bookkeeping went wrong.
func (v *View) ScanStateHash() uint64 {
	var content uint64
	v.keys.visit(span{open: true}, v.keys.rev, func(ver *version) bool {
		content += xxhash.Sum64(ver.kv)
		return true
	})
	v.leases.Scan(func(l Lease) bool {
		content += l.hash()
		return true
	})
	for _, o := range v.members {
		content += o.hash()
	}
	for _, id := range v.removed {
		content += removedHash(id)
	}
	for _, a := range v.alarms {
		content += a.hash()
	}
	for i := range v.sessions {
		content += v.sessions[i].contentHash()
	}
	return total(content, v.keys.rev, v.keys.compacted, v.clusterVersion, v.downgrade)
}

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

// ScanHistoryHash hashes every version that can be read at any revision from the compacted one on, more than HashKV looks at: what a test compares
// where members must not differ in anything. It visits all of them.
func (v *View) ScanHistoryHash() uint64 {
	digest := xxhash.New()
	var buf []byte
	add := func(ver *version) {
		buf = binary.AppendUvarint(buf[:0], uint64(len(ver.kv)))
		buf = append(binary.AppendUvarint(buf, uint64(ver.sub)), ver.kv...)
		_, _ = digest.Write(buf) // never fails
	}
	v.visitBase(add)
	for pos := v.log.begin; pos < v.log.end; pos++ {
		add(v.log.at(pos))
	}
	return digest.Sum64()
}
