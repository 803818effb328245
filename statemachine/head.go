package statemachine

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/detcd/detcd/statemachine/format"
)

// head is what is replicated and is no key and no row of a table: single numbers and names.
type head struct {
	format      format.Version // the cluster's; see ratchet.go
	index, term uint64         // of the last applied entry; not part of the state hash
	rev         int64          // the newest main revision
	compacted   int64          // the oldest revision that can be read; -1 before the first compaction

	confState      []byte // raft's membership, opaque here; not part of the state hash
	clusterVersion string
	downgrade      Downgrade
}

func (h *head) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(h.format))
	b = binary.AppendUvarint(binary.AppendUvarint(b, h.index), h.term)
	b = binary.AppendVarint(binary.AppendVarint(b, h.rev), h.compacted)
	b = appendString(appendString(b, h.confState), h.clusterVersion)
	return appendString(appendBool(b, h.downgrade.Enabled), h.downgrade.Target)
}

// head reads what follows the format version. It copies what it keeps of the decoder's memory.
func (d *decoder) head(version format.Version) (h head) {
	h.format = version
	h.index, h.term = d.uvarint(), d.uvarint()
	h.rev, h.compacted = d.varint(), d.varint()
	h.confState = append([]byte(nil), d.bytes()...)
	h.clusterVersion = d.string()
	h.downgrade = Downgrade{Enabled: d.bool(), Target: d.string()}
	return h
}

// stateHash mixes the sum of the items' hashes with the numbers that are no items. In format version 1, which has no place for it, the version itself
// does not count.
func (h *head) stateHash(content uint64) uint64 {
	b := binary.LittleEndian.AppendUint64([]byte{'T'}, content)
	b = binary.AppendVarint(binary.AppendVarint(b, h.rev), h.compacted)
	b = appendString(b, h.clusterVersion)
	b = appendString(appendBool(b, h.downgrade.Enabled), h.downgrade.Target)
	if h.format.Parts().State != format.Batches {
		b = append(b, byte(h.format))
	}
	return xxhash.Sum64(b)
}
