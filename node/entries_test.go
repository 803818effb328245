package node

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

func someEntries(from, to uint64, bytes int) (es []*raftpb.Entry) {
	for i := from; i <= to; i++ {
		es = append(es, &raftpb.Entry{Index: new(i), Term: new(uint64(1)), Data: make([]byte, bytes)})
	}
	return es
}

// Raft's messages share the memory of entries, and some are dealt with after a trim in the same turn.
func TestEntries_TrimLeavesWhatOthersHold(t *testing.T) {
	s := &entries{}
	s.append(someEntries(1, 10, 100))
	held, err := s.Entries(1, 11, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	s.trim(10, 2, 0)
	for i, e := range held {
		if e.GetIndex() != uint64(i+1) {
			t.Fatalf("entry %d is %v", i+1, e)
		}
	}
	if s.base.index != 10 || s.bytes != 0 {
		t.Errorf("the first entry kept in memory is %d, with %d bytes", s.base.index+1, s.bytes)
	}
}

func TestEntries_TrimLetsMemoryGo(t *testing.T) {
	s := &entries{}
	const size = 1 << 10
	for i := uint64(1); i <= 10_000; i++ {
		s.append(someEntries(i, i, size))
		s.trim(i, 100, 1<<30)
		if kept := len(s.list); kept > 100 || i > 100 && kept < 100 {
			t.Fatalf("%d entries are kept after %d", kept, i)
		}
		if s.trimmed > s.bytes {
			t.Fatalf("the memory of %d bytes is held beside %d bytes of entries", s.trimmed, s.bytes)
		}
	}
}
