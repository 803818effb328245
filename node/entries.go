package node

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// entries is raft's Storage: the durable part of the log. The newest entries are in memory; those before, down to the floor, are only in
// the log's segments, and past brings them. A follower that wants entries from below the floor gets a snapshot of the present state.
type entries struct {
	hardState *raftpb.HardState
	confState *raftpb.ConfState
	// base is the index and term of the entry before list[0]; the entry itself is not in memory.
	base struct{ index, term uint64 }
	// floor is the index of the entry before the first that the segments have. Invariant: floor <= base.index.
	floor uint64
	// terms are those of the entries from floor on, floor's included.
	terms terms
	// Invariant: list[i].Index == base.index + 1 + i.
	list  []*raftpb.Entry
	bytes int64
	// trimmed is how many bytes of entries list's memory still holds before its first.
	trimmed int64
	// past returns entries from lo on, before hi, that are in the segments only: none where they have to be read first. Raft asks again.
	past func(lo, hi, maxSize uint64) []*raftpb.Entry
	// snapshot says what a snapshot of the present state would be.
	snapshot func() (*raftpb.Snapshot, error)
}

var _ raft.Storage = (*entries)(nil)

func entryBytes(e *raftpb.Entry) int64 { return int64(len(e.GetData())) + 64 }

// InitialState implements raft.Storage.
func (s *entries) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	return s.hardState, s.confState, nil
}

// Entries implements raft.Storage.
func (s *entries) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	if lo <= s.floor {
		return nil, raft.ErrCompacted
	}
	if hi > s.last()+1 {
		return nil, raft.ErrUnavailable
	}
	if lo <= s.base.index {
		return s.past(lo, min(hi, s.base.index+1), maxSize), nil
	}
	return firstOf(s.list[lo-s.base.index-1:hi-s.base.index-1], maxSize), nil
}

// firstOf returns the first entries of a part, at least one, and not more than maxSize bytes otherwise.
func firstOf(part []*raftpb.Entry, maxSize uint64) []*raftpb.Entry {
	var size uint64
	for i, e := range part {
		size += uint64(entryBytes(e))
		if i > 0 && size > maxSize {
			part = part[:i]
			break
		}
	}
	return part[:len(part):len(part)]
}

// Term implements raft.Storage.
func (s *entries) Term(i uint64) (uint64, error) {
	switch {
	case i == s.base.index:
		return s.base.term, nil
	case i < s.floor:
		return 0, raft.ErrCompacted
	case i < s.base.index:
		return s.terms.of(i), nil
	case i > s.last():
		return 0, raft.ErrUnavailable
	}
	return s.list[i-s.base.index-1].GetTerm(), nil
}

// LastIndex implements raft.Storage.
func (s *entries) LastIndex() (uint64, error) { return s.last(), nil }

// FirstIndex implements raft.Storage.
func (s *entries) FirstIndex() (uint64, error) { return s.floor + 1, nil }

// Snapshot implements raft.Storage.
func (s *entries) Snapshot() (*raftpb.Snapshot, error) { return s.snapshot() }

func (s *entries) last() uint64 { return s.base.index + uint64(len(s.list)) }

// append adds durable entries, replacing what was there from the first of them on.
func (s *entries) append(es []*raftpb.Entry) {
	if len(es) == 0 {
		return
	}
	first := es[0].GetIndex()
	if first <= s.base.index {
		skip := s.base.index + 1 - first
		if skip >= uint64(len(es)) {
			return
		}
		es, first = es[skip:], s.base.index+1
	}
	if first > s.last()+1 {
		panic(fmt.Sprintf("node: the log ends at %d, an append starts at %d", s.last(), first))
	}
	if first <= s.last() {
		keep := first - s.base.index - 1
		for _, e := range s.list[keep:] {
			s.bytes -= entryBytes(e)
		}
		// A copy: raft may still hold slices of the replaced part.
		s.list, s.trimmed = append([]*raftpb.Entry(nil), s.list[:keep]...), 0
	}
	s.terms = s.terms.before(first)
	for _, e := range es {
		s.bytes += entryBytes(e)
		s.terms = s.terms.add(e.GetIndex(), e.GetTerm())
	}
	s.list = append(s.list, es...)
}

// reset forgets all entries: a snapshot at index and term stands in their place.
func (s *entries) reset(index, term uint64) {
	s.base.index, s.base.term, s.floor = index, term, index
	s.terms = terms{{index, term}}
	s.list, s.bytes, s.trimmed = nil, 0, 0
}

// reachBack notes that the segments have the entries after index too, all of the term of base.
func (s *entries) reachBack(index uint64) {
	if index < s.floor {
		s.floor, s.terms[0].first = index, index
	}
}

// forget notes that the segments have no entry up to index any more.
func (s *entries) forget(index uint64) {
	if index = min(index, s.base.index); index > s.floor {
		s.floor, s.terms = index, s.terms.from(index)
	}
}

// trim drops entries up to and including applied from memory, all but the newest maxEntries of them, and of these too if they pass
// maxBytes.
func (s *entries) trim(applied, maxEntries uint64, maxBytes int64) {
	n := 0
	for ; n < len(s.list); n++ {
		index := s.base.index + 1 + uint64(n)
		if index > applied || s.bytes <= maxBytes && applied-index < maxEntries {
			break
		}
		s.bytes -= entryBytes(s.list[n])
		s.trimmed += entryBytes(s.list[n])
	}
	if n == 0 {
		return
	}
	s.base.index, s.base.term = s.list[n-1].GetIndex(), s.list[n-1].GetTerm()
	s.list = s.list[n:]
	// The memory of the others goes with a copy of the rest now and then. It is not cleared: messages of raft that are still to be dealt
	// with in this turn share it.
	if s.trimmed >= s.bytes {
		s.list, s.trimmed = slices.Clone(s.list), 0
	}
}
