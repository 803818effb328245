// Package model is a naive model of the replicated state of etcd v3.7: what
// the log means, written for clarity alone. It is the yardstick that the real
// state machine and every recorded answer are measured against, so it shares
// no code and no idea with them: a sorted slice, a list of all versions ever
// written, full scans.
//
// It answers as a member's apply does: headers carry the revision only (the
// header of a nested transaction is empty), errors are rpctypes.ErrGRPC*
// values, and every answer is a function of the requests applied so far. It
// leaves to others what is settled before a request reaches the log:
// validation that needs no state (empty keys, duplicate keys in a transaction),
// choosing a lease id, raising a lease's TTL to the minimum, expiry, quota,
// permission.
//
// A State is not safe for concurrent use.
package model

import (
	"errors"
	"maps"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// ErrNotModelled is what Apply answers to a request whose meaning lies outside
// keys, compaction and leases. The state is unchanged.
var ErrNotModelled = errors.New("model: request is not modelled")

const (
	// revisionFirst is the revision of an empty store.
	revisionFirst = 1
	// compactedNothing is the compact revision before the first compaction. It
	// lies below 0, so that a compaction to revision 0 is accepted once.
	compactedNothing = -1
)

// version is one version of one key. It is never changed once made.
type version struct {
	key     string
	value   []byte
	created int64 // revision that created the key
	changed int64 // revision that wrote this version
	number  int64 // 1 for the one that created the key; 0 says the key was deleted
	lease   int64
}

// State is the replicated state after some prefix of the log.
type State struct {
	revision  int64
	compacted int64
	// current holds the living keys in key order. While a transaction runs it
	// already shows what the transaction has written.
	current []*version
	// history holds every version and deletion ever written, oldest first. It is
	// only appended to; compaction refuses reads but removes nothing.
	history []*version
	leases  map[int64]int64 // id to TTL in seconds
}

// New returns the state of an empty store, at revision 1.
func New() *State {
	return &State{revision: revisionFirst, compacted: compactedNothing, leases: map[int64]int64{}}
}

// Clone returns an independent copy. It costs the number of living keys, not
// the length of the history.
func (s *State) Clone() *State {
	return &State{
		revision:  s.revision,
		compacted: s.compacted,
		current:   slices.Clone(s.current),
		history:   slices.Clip(s.history),
		leases:    maps.Clone(s.leases),
	}
}

// Revision is the revision of the last write.
func (s *State) Revision() int64 { return s.revision }

// CompactRevision is the revision of the last compaction, or -1 before the
// first: reads below it are refused.
func (s *State) CompactRevision() int64 { return s.compacted }

// Apply gives the answer to one request of the log and changes the state as it
// says. The answer is nil when the error is not. Which field counts when
// several are set follows etcd's order. ErrNotModelled is returned for a
// request outside the model.
func (s *State) Apply(r *pb.InternalRaftRequest) (proto.Message, error) {
	switch {
	case r.GetRange() != nil:
		return answer(s.Range(r.GetRange()))
	case r.GetPut() != nil:
		return answer(s.Put(r.GetPut()))
	case r.GetDeleteRange() != nil:
		return answer(s.DeleteRange(r.GetDeleteRange()))
	case r.GetTxn() != nil:
		return answer(s.Txn(r.GetTxn()))
	case r.GetCompaction() != nil:
		return answer(s.Compact(r.GetCompaction()))
	case r.GetLeaseGrant() != nil:
		return answer(s.LeaseGrant(r.GetLeaseGrant()))
	case r.GetLeaseRevoke() != nil:
		return answer(s.LeaseRevoke(r.GetLeaseRevoke()))
	case r.GetLeaseCheckpoint() != nil:
		return answer(s.LeaseCheckpoint(r.GetLeaseCheckpoint()))
	}
	return nil, ErrNotModelled
}

// answer turns a typed answer into a message, so that nil with an error is a
// nil interface.
func answer[M proto.Message](m M, err error) (proto.Message, error) {
	if err != nil {
		return nil, err
	}
	return m, nil
}

// at returns the keys living at a revision, in key order.
func (s *State) at(revision int64) []*version {
	living := map[string]*version{}
	for _, v := range s.history {
		if v.changed > revision {
			break
		}
		if v.number == 0 {
			delete(living, v.key)
		} else {
			living[v.key] = v
		}
	}
	return slices.SortedFunc(maps.Values(living), compareKeys)
}

// find returns the living version of a key, or nil.
func (s *State) find(key []byte) *version {
	if i, found := s.position(string(key)); found {
		return s.current[i]
	}
	return nil
}

// write makes v the newest version of its key.
func (s *State) write(v *version) {
	s.history = append(s.history, v)
	i, found := s.position(v.key)
	switch {
	case v.number == 0:
		s.current = slices.Delete(s.current, i, i+1)
	case found:
		s.current[i] = v
	default:
		s.current = slices.Insert(s.current, i, v)
	}
}

func (s *State) position(key string) (int, bool) {
	return slices.BinarySearchFunc(s.current, key, func(v *version, key string) int {
		return strings.Compare(v.key, key)
	})
}

func compareKeys(a, b *version) int { return strings.Compare(a.key, b.key) }

// within keeps the versions whose key lies in the range that etcd's key and
// range_end name: one key if the end is empty, all from key on if the end is
// one zero byte, else key up to but not including the end.
func within(versions []*version, key, end []byte) []*version {
	var in []*version
	for _, v := range versions {
		if inRange(v.key, key, end) {
			in = append(in, v)
		}
	}
	return in
}

func inRange(k string, key, end []byte) bool {
	switch {
	case len(end) == 0:
		return k == string(key)
	case len(end) == 1 && end[0] == 0:
		return k >= string(key)
	default:
		return k >= string(key) && k < string(end)
	}
}

func (v *version) keyValue() *mvccpb.KeyValue {
	return &mvccpb.KeyValue{
		Key:            []byte(v.key),
		Value:          slices.Clone(v.value),
		CreateRevision: v.created,
		ModRevision:    v.changed,
		Version:        v.number,
		Lease:          v.lease,
	}
}

func header(revision int64) *pb.ResponseHeader { return &pb.ResponseHeader{Revision: revision} }
