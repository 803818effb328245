package statemachine

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// The state hash is a sum over all items of the state, each hashed with what kind it is, so that a change costs the items it
// touches; single numbers are mixed in at the end. Keys count by their live versions. Where a cluster's members differ
// in older versions only, HashKV tells.

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

// HashKV hashes every version readable at revisions from the compacted one to rev (0: the head), so that members can be
// compared in depth. It is equal on members with the same compacted revision, however far each has got with removing
// what was compacted. Its errors are ErrGRPCCompacted and ErrGRPCFutureRev. It visits all of them: call it off the member.
func (v *View) HashKV(rev int64) (hash uint32, compactRevision int64, err error) {
	if rev < 0 {
		rev = 0
	}
	if err := v.keys.checkRevision(rev); err != nil {
		return 0, 0, err
	}
	if rev == 0 {
		rev = v.keys.rev
	}
	digest := xxhash.New()
	var buf []byte
	add := func(ver *version) {
		buf = binary.AppendUvarint(buf[:0], uint64(len(ver.kv)))
		buf = append(binary.AppendUvarint(buf, uint64(ver.sub)), ver.kv...)
		_, _ = digest.Write(buf) // never fails
	}
	v.visitBase(add)
	for pos := v.log.begin; pos < v.log.end; pos++ {
		ver := v.log.at(pos)
		if ver.main > rev {
			break
		}
		add(ver)
	}
	sum := digest.Sum64()
	return uint32(sum ^ sum>>32), v.keys.compacted, nil
}
