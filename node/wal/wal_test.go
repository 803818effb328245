package wal

import (
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal/crashdisk"
)

var testID = Identity{Cluster: 0xc1, Member: 0xa1}

func entry(index, term uint64, data string) *raftpb.Entry {
	e := &raftpb.Entry{Index: &index, Term: &term, Type: raftpb.EntryNormal.Enum()}
	if data != "" {
		e.Data = []byte(data)
	}
	return e
}

func hard(term, vote, commit uint64) *raftpb.HardState {
	return &raftpb.HardState{Term: &term, Vote: &vote, Commit: &commit}
}

// entries makes n of them with one term.
func entries(first, n, term uint64, data string) (es []*raftpb.Entry) {
	for i := range n {
		es = append(es, entry(first+i, term, data))
	}
	return es
}

func mustOpen(t testing.TB, d port.Disk, o Options) (*Log, *Recovered) {
	t.Helper()
	l, r, err := Open(d, testID, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l, r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// show is a recovered WAL as text; equal texts mean equal content. Incarnation and CutBytes are left out.
func show(r *Recovered) string {
	s := "hard none"
	if r.HardState != nil {
		s = fmt.Sprintf("hard %d/%d/%d", r.HardState.GetTerm(), r.HardState.GetVote(), r.HardState.GetCommit())
	}
	if r.Snapshot != nil {
		s += fmt.Sprintf(" snapshot %d/%d/%q", r.Snapshot.Index, r.Snapshot.Term, r.Snapshot.ConfState)
	}
	for _, e := range r.Entries {
		s += fmt.Sprintf(" %d/%d/%v/%q", e.GetIndex(), e.GetTerm(), e.GetType(), e.Data)
	}
	return s
}

func TestOpen_ReturnsWhatWasWritten(t *testing.T) {
	d := crashdisk.New()
	l, r := mustOpen(t, d, Options{SegmentBytes: 4096})
	if !r.Empty || r.HardState != nil || r.Snapshot != nil || len(r.Entries) != 0 || r.Incarnation != 1 {
		t.Fatalf("new WAL holds %+v", r)
	}
	conf := entry(2, 1, "cc")
	conf.Type = raftpb.EntryConfChangeV2.Enum()
	written := []*raftpb.Entry{entry(1, 1, "one"), conf, entry(3, 2, "")}
	must(t, l.Write(Batch{Entries: written[:2], HardState: hard(1, 7, 1)}, Batch{Entries: written[2:], HardState: hard(2, 0, 3)}))
	must(t, l.Close())
	if err := l.Write(Batch{HardState: hard(3, 0, 3)}); !errors.Is(err, ErrClosed) {
		t.Fatalf("write after close: %v", err)
	}

	_, r = mustOpen(t, d, Options{SegmentBytes: 4096})
	if r.Empty || r.Incarnation != 2 || r.CutBytes != 0 {
		t.Fatalf("reopened: %+v", r)
	}
	if !proto.Equal(r.HardState, hard(2, 0, 3)) {
		t.Fatalf("hard state %v", r.HardState)
	}
	if len(r.Entries) != len(written) {
		t.Fatalf("%d entries", len(r.Entries))
	}
	for i, e := range r.Entries {
		if !proto.Equal(e, written[i]) {
			t.Fatalf("entry %v, written %v", e, written[i])
		}
	}
	if r.Entries[2].Data != nil {
		t.Fatal("empty data came back as a slice")
	}
}
