package wal

import (
	"errors"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal/crashdisk"
)

func TestOpen_OthersAreRefused(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	must(t, l.Close())
	ops := d.Ops
	for _, id := range []Identity{{testID.Cluster, 1}, {1, testID.Member}} {
		if _, _, err := Open(d, id, Options{}); !errors.Is(err, ErrIdentity) || errors.Is(err, ErrCorrupt) {
			t.Errorf("%x: %v", id, err)
		}
	}
	if d.Ops != ops {
		t.Error("the disk was changed")
	}
}

func TestOpen_OtherFormatIsRefused(t *testing.T) {
	d := crashdisk.New()
	h := header{id: testID, seq: 1, incarnation: 1}
	var e encoder
	e.reset(1, 0, 0, 0)
	e.begin(kindHeader, 0)
	e.buf = h.append(e.buf)
	e.buf[frameBytes+8]++
	data, _ := e.finish()
	d.Put(segmentName(1), data)
	if _, _, err := Open(d, testID, Options{}); !errors.Is(err, ErrFormat) {
		t.Fatalf("open: %v", err)
	}
}

func TestOpen_LeavesOtherFilesAlone(t *testing.T) {
	d := crashdisk.New()
	strangers := []string{"wal-1.log", "wal-00000000000000AB.log", "snap-0.tmp", "lock", "wal-000000000000000g.tmp"}
	for _, n := range strangers {
		d.Put(n, []byte("x"))
	}
	d.Put("wal-0000000000000001.tmp", []byte("left over"))
	l, r := mustOpen(t, d, Options{SegmentBytes: 4096})
	if !r.Empty {
		t.Fatalf("recovered %s", show(r))
	}
	must(t, l.Close())
	for _, n := range strangers {
		if string(d.Content(n)) != "x" {
			t.Errorf("%s was touched", n)
		}
	}
	if names, _ := d.List(); len(names) != len(strangers)+1 {
		t.Errorf("files: %v", names)
	}
}

func TestOpen_EmptyUntilTheFirstWrite(t *testing.T) {
	d := crashdisk.New()
	for i := uint64(1); i < 4; i++ {
		l, r := mustOpen(t, d, Options{SegmentBytes: 4096})
		if !r.Empty || r.Incarnation != i || r.CutBytes != 0 {
			t.Fatalf("open %d: %+v", i, r)
		}
		must(t, l.Close())
	}
}

func TestWrite_ReplacesFromAnOldIndexOn(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	must(t, l.Write(Batch{Entries: entries(1, 6, 1, "old"), HardState: hard(1, 0, 2)}))
	must(t, l.Write(Batch{Entries: entries(4, 1, 2, "new")}, Batch{Entries: entries(3, 2, 3, "newer")}))
	must(t, l.Close())
	_, r := mustOpen(t, d, Options{})
	want := `hard 1/0/2 1/1/EntryNormal/"old" 2/1/EntryNormal/"old" 3/3/EntryNormal/"newer" 4/3/EntryNormal/"newer"`
	if got := show(r); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestWrite_SnapshotMarks(t *testing.T) {
	log := Batch{Entries: entries(1, 5, 1, "e"), HardState: hard(1, 0, 3)}
	rest := ` 4/1/EntryNormal/"e" 5/1/EntryNormal/"e"`
	for _, c := range []struct {
		name  string
		marks []SnapshotMark
		want  string
	}{
		{"own", []SnapshotMark{{3, 1, []byte("c")}}, `hard 1/0/3 snapshot 3/1/"c"` + rest},
		{"beyond the log", []SnapshotMark{{9, 2, nil}}, `hard 2/0/9 snapshot 9/2/""`},
		{"other history", []SnapshotMark{{5, 2, nil}}, `hard 2/0/5 snapshot 5/2/""`},
		{"older one late", []SnapshotMark{{3, 1, []byte("c")}, {2, 1, []byte("b")}}, `hard 1/0/3 snapshot 3/1/"c"` + rest},
		{"last entry", []SnapshotMark{{5, 1, nil}}, `hard 1/0/5 snapshot 5/1/""`},
	} {
		d := crashdisk.New()
		l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
		must(t, l.Write(log))
		for i := range c.marks {
			must(t, l.Write(Batch{Snapshot: &c.marks[i]}))
		}
		must(t, l.Close())
		if _, r := mustOpen(t, d, Options{}); show(r) != c.want {
			t.Errorf("%s: got %s\nwant %s", c.name, show(r), c.want)
		}
	}
}

// raft hands over a received snapshot together with the entries after it and the hard state that commits it.
func TestWrite_SnapshotEntriesAndHardStateAtOnce(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	must(t, l.Write(Batch{Entries: entries(1, 2, 1, "gone")}))
	must(t, l.Write(Batch{Snapshot: &SnapshotMark{Index: 50, Term: 3}, Entries: entries(51, 1, 3, "e"), HardState: hard(4, 2, 51)}))
	must(t, l.Close())
	if _, r := mustOpen(t, d, Options{}); show(r) != `hard 4/2/51 snapshot 50/3/"" 51/3/EntryNormal/"e"` {
		t.Fatal(show(r))
	}
}

func TestWrite_PanicsWhenRaftsRulesAreBroken(t *testing.T) {
	for name, b := range map[string]Batch{
		"gap":           {Entries: entries(5, 1, 2, "")},
		"term back":     {Entries: entries(4, 1, 1, "")},
		"commit beyond": {HardState: hard(2, 0, 4)},
		"second vote":   {HardState: hard(2, 5, 1)},
		"committed":     {Entries: entries(1, 1, 3, "")},
	} {
		d := crashdisk.New()
		l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
		must(t, l.Write(Batch{Entries: entries(1, 3, 2, ""), HardState: hard(2, 4, 1)}))
		ops := d.Ops
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			_ = l.Write(b)
		}()
		if d.Ops != ops {
			t.Errorf("%s: written all the same", name)
		}
	}
}

func TestWrite_OneWriteOneSync(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 1 << 20})
	var ops []string
	d.OnOp = func(_ int, what string) { ops = append(ops, strings.Fields(what)[0]) }
	must(t, l.Write(Batch{Entries: entries(1, 50, 1, "x"), HardState: hard(1, 1, 0)}, Batch{Entries: entries(51, 50, 1, "y"), HardState: hard(1, 1, 50)}))
	must(t, l.Write())
	must(t, l.Write(Batch{}))
	must(t, l.Settle())
	must(t, l.Settle())
	if got := strings.Join(ops, " "); got != "write sync write" {
		t.Fatalf("operations: %s", got)
	}
	if l.Syncs() != 2 || l.BytesWritten() < 100*frameBytes {
		t.Fatalf("%d syncs, %d bytes", l.Syncs(), l.BytesWritten())
	}
}

func TestWrite_BatchLargerThanASegment(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	big := strings.Repeat("big", 3<<20) // several chunks of the reader, too
	must(t, l.Write(Batch{Entries: []*raftpb.Entry{entry(1, 1, "small")}}))
	must(t, l.Write(Batch{Entries: []*raftpb.Entry{entry(2, 1, big), entry(3, 1, "after")}}))
	must(t, l.Write(Batch{Entries: []*raftpb.Entry{entry(4, 1, "next")}}))
	must(t, l.Close())
	_, r := mustOpen(t, d, Options{SegmentBytes: 4096})
	if len(r.Entries) != 4 || string(r.Entries[1].Data) != big || string(r.Entries[2].Data) != "after" || string(r.Entries[3].Data) != "next" {
		t.Fatalf("%d entries", len(r.Entries))
	}
}

func TestRelease_KeepsWhatARestartNeeds(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	for i := range uint64(40) { // four to a segment
		must(t, l.Write(Batch{Entries: entries(i+1, 1, 1, strings.Repeat("x", 900)), HardState: hard(1, 1, i+1)}))
	}
	all := l.Segments()
	must(t, l.Release(30))
	if l.Segments() != all {
		t.Fatal("segments removed without a snapshot mark")
	}
	must(t, l.Write(Batch{Snapshot: &SnapshotMark{Index: 30, Term: 1}}))
	if l.BytesSinceSnapshot() > 100 { // the mark's own
		t.Fatalf("%d bytes since the mark", l.BytesSinceSnapshot())
	}
	must(t, l.Release(20))
	if n := l.Segments(); n >= all || n < all/2 {
		t.Fatalf("%d of %d segments after the release of half", n, all)
	}
	must(t, l.Release(1000))
	if n := l.Segments(); n < 3 || n > all/3+2 {
		t.Fatalf("%d of %d segments after the release up to the mark", n, all)
	}
	if l.DiskBytes() != int64(l.Segments())*4096 {
		t.Fatalf("%d bytes in %d segments", l.DiskBytes(), l.Segments())
	}
	must(t, l.Write(Batch{Entries: entries(41, 1, 1, "after")}))
	since := l.BytesSinceSnapshot()
	must(t, l.Close())
	l, r := mustOpen(t, d, Options{SegmentBytes: 4096})
	if len(r.Entries) != 11 || r.Entries[0].GetIndex() != 31 || r.HardState.GetCommit() != 40 || r.Snapshot.Index != 30 {
		t.Fatal(show(r))
	}
	if l.BytesSinceSnapshot() < since {
		t.Fatalf("%d bytes since the mark, %d before the restart", l.BytesSinceSnapshot(), since)
	}
}

// When a received snapshot replaces the log, everything before is of no more use.
func TestRelease_AfterAReceivedSnapshotLeavesOneSegment(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	must(t, l.Write(Batch{Entries: entries(1, 40, 1, strings.Repeat("x", 900))}))
	must(t, l.Write(Batch{Snapshot: &SnapshotMark{Index: 500, Term: 2}}))
	must(t, l.Write(Batch{Entries: entries(501, 1, 2, strings.Repeat("x", 3500))}))
	must(t, l.Release(500))
	if l.Segments() != 1 {
		t.Fatalf("%d segments", l.Segments())
	}
	must(t, l.Close())
	if _, r := mustOpen(t, d, Options{}); len(r.Entries) != 1 || r.Snapshot.Index != 500 {
		t.Fatal(show(r))
	}
}

func TestVerify_SaysWhatOpenWouldFind(t *testing.T) {
	d := crashdisk.New()
	if _, err := Verify(d); !errors.Is(err, port.ErrNotExist) {
		t.Fatalf("no WAL: %v", err)
	}
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	must(t, l.Write(Batch{Snapshot: &SnapshotMark{Index: 4, Term: 1}, Entries: entries(5, 3, 2, "x"), HardState: hard(3, 9, 6)}))
	copy(d.Content(segmentName(1))[l.offset:], "torn")
	ops := d.Ops
	s, err := Verify(d)
	must(t, err)
	if s.Identity != testID || s.Term != 3 || s.Vote != 9 || s.Commit != 6 || s.Snapshot.Index != 4 || s.FirstIndex != 5 || s.Entries != 3 ||
		s.LastIndex != 7 || s.LastTerm != 2 || s.TornBytes != 4 || s.Incarnation != 1 || len(s.Segments) != 1 {
		t.Errorf("summary %+v", s)
	}
	var kinds []string
	must(t, Dump(d, func(r Record) error { kinds = append(kinds, r.Kind); return nil }))
	if got := strings.Join(kinds, " "); got != "header snapshot entry entry entry hardstate" {
		t.Errorf("records: %s", got)
	}
	if d.Ops != ops {
		t.Error("the disk was changed")
	}
}

// A run may go on in a higher incarnation than it was opened in; later ones count on from there, whatever segment they begin in.
func TestWrite_AHigherIncarnation(t *testing.T) {
	for _, rotate := range []bool{false, true} {
		d := crashdisk.New()
		l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
		must(t, l.Write(Batch{Entries: entries(1, 3, 1, "a"), HardState: hard(5, 1, 3), Incarnation: 700}))
		must(t, l.Write(Batch{HardState: hard(6, 0, 3), Incarnation: 12})) // it does not go back
		if rotate {
			must(t, l.Write(Batch{Entries: entries(4, 4, 6, strings.Repeat("x", 8000))}))
		}
		must(t, l.Close())
		for want := uint64(701); want < 704; want++ {
			l, r := mustOpen(t, d, Options{SegmentBytes: 4096})
			if r.Incarnation != want {
				t.Fatalf("the next incarnation is %d, want %d", r.Incarnation, want)
			}
			must(t, l.Close())
		}
	}
}
