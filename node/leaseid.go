package node

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// leaseIDs are the ids of leases whose clients leave the choice to the server.
type leaseIDs struct {
	*core
	chosen uint64
}

// next picks an id: positive, and unlike those of this and other members, in this and former runs. Within a run they never repeat, as the
// step is odd; between runs the starting points are far apart.
func (l *leaseIDs) next() int64 {
	const step = 0x9e3779b97f4a7c15 // 2^64 over the golden ratio: spreads the ids
	var seed [16]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(l.config.ID))
	binary.LittleEndian.PutUint64(seed[8:], l.incarnation)
	base := xxhash.Sum64(seed[:])
	for {
		l.chosen++
		if id := int64((base + l.chosen*step) & (1<<63 - 1)); id != 0 {
			return id
		}
	}
}
