package node

import (
	"crypto/sha1"
	"encoding/binary"
	"slices"

	"github.com/detcd/detcd/node/port"
)

// MemberIDFor derives the id of a member of a static cluster as etcd does: the first eight bytes of the SHA-1 of its sorted
// peer URLs followed by the cluster's token.
func MemberIDFor(peerURLs []string, token string) port.MemberID {
	urls := slices.Sorted(slices.Values(peerURLs))
	h := sha1.New()
	for _, u := range urls {
		h.Write([]byte(u))
	}
	h.Write([]byte(token))
	return port.MemberID(binary.BigEndian.Uint64(h.Sum(nil)))
}

// ClusterIDFor derives the id of a static cluster as etcd does: the first eight bytes of the SHA-1 of its members' sorted ids.
func ClusterIDFor(members []port.MemberID) uint64 {
	h := sha1.New()
	for _, id := range slices.Sorted(slices.Values(members)) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(id)))
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}
