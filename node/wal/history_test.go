package wal

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/detcd/detcd/node/wal/crashdisk"
)

// longLog writes entries 1 to n, four to a segment, in terms that change now and then, some of them replaced before they are committed.
// It returns the terms of the entries as they are in the end.
func longLog(t testing.TB, l *Log, n uint64) func(uint64) uint64 {
	t.Helper()
	terms := map[uint64]uint64{}
	term := uint64(1)
	write := func(from, count uint64, text string) {
		for i := range count {
			terms[from+i] = term
			must(t, l.Write(Batch{Entries: entries(from+i, 1, term, text+fmt.Sprint(from+i)+strings.Repeat("x", 800))}))
		}
	}
	for at := uint64(1); at <= n; {
		write(at, 5, "good ")
		if at%3 == 0 {
			write(at+5, 4, "replaced ")
			term++
		}
		must(t, l.Write(Batch{HardState: hard(term, 1, at+4)}))
		at += 5
	}
	return func(i uint64) uint64 { return terms[i] }
}

func TestEntryReader_ReadsWhatIsValid(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	term := longLog(t, l, 60)
	r := NewEntryReader(l)
	for _, lo := range []uint64{1, 31, 8, 60, 59} { // from the start, forward, and back
		for next := lo; next <= 60; {
			es, err := r.Read(next, 60, 3000, term)
			must(t, err)
			if len(es) > 4 {
				t.Fatalf("%d entries at once", len(es))
			}
			for _, e := range es {
				if e.GetIndex() != next || e.GetTerm() != term(next) || !strings.HasPrefix(string(e.GetData()), fmt.Sprintf("good %dx", next)) {
					t.Fatalf("entry %d of term %d: %.30q", e.GetIndex(), e.GetTerm(), e.GetData())
				}
				next++
			}
		}
	}
	if es, err := r.Read(7, 9, 1<<20, term); err != nil || len(es) != 3 {
		t.Fatalf("%d entries from 7 to 9, error %v", len(es), err)
	}
}

// The log grows while it is read, and goes on in new segments.
func TestEntryReader_FollowsTheWriter(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	r := NewEntryReader(l)
	for i := range uint64(40) {
		must(t, l.Write(Batch{Entries: entries(i+1, 1, 1, strings.Repeat("x", 900))}))
		es, err := r.Read(i+1, i+1, 1, func(uint64) uint64 { return 1 })
		if err != nil || len(es) != 1 || es[0].GetIndex() != i+1 {
			t.Fatalf("entry %d: %v, error %v", i+1, es, err)
		}
	}
}

// A start does not look at history, so a segment there may be another log's, with entries of the same indexes and terms. It is not believed.
func TestEntryReader_RefusesAnotherLogsSegment(t *testing.T) {
	write := func(id Identity, text string) *crashdisk.Disk {
		d := crashdisk.New()
		l, _, err := Open(d, id, Options{SegmentBytes: 4096})
		must(t, err)
		for i := range uint64(40) {
			must(t, l.Write(Batch{Entries: entries(i+1, 1, 1, text+strings.Repeat("x", 900))}))
		}
		must(t, l.Write(Batch{HardState: hard(1, 1, 40), Snapshot: &SnapshotMark{Index: 40, Term: 1}}))
		must(t, l.Write(Batch{Entries: entries(41, 1, 1, strings.Repeat("x", 4000))})) // a segment that knows of the snapshot
		must(t, l.Close())
		return d
	}
	d := write(testID, "ours")
	foreign := write(Identity{Cluster: testID.Cluster + 1, Member: testID.Member}, "not ours")
	for _, name := range []string{segmentName(1), segmentName(2)} {
		d.Put(name, foreign.Content(name))
	}
	l, r := mustOpen(t, d, Options{SegmentBytes: 4096})
	if first := l.Spans()[2].Before; r.History < first {
		t.Errorf("history begins after entry %d, with segments of another log, which end with entry %d", r.History, first)
	}
	reader := NewEntryReader(l)
	if es, err := reader.Read(2, 10, 1<<20, func(uint64) uint64 { return 1 }); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%d entries of another log, error %v", len(es), err)
	}
	if es, err := reader.Read(20, 20, 1<<20, func(uint64) uint64 { return 1 }); err != nil || !strings.HasPrefix(string(es[0].GetData()), "ours") {
		t.Errorf("an entry behind it: %v, error %v", es, err)
	}
}

func TestEntryReader_SaysWhatIsGone(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	term := longLog(t, l, 60)
	must(t, l.Write(Batch{Snapshot: &SnapshotMark{Index: 40, Term: term(40)}}))
	r := NewEntryReader(l)
	must(t, l.Release(20))
	if _, err := r.Read(3, 60, 1000, term); !errors.Is(err, ErrGone) {
		t.Errorf("entry 3 after the release up to 20: %v", err)
	}
	first := l.Spans()[0].Before + 1
	if first > 21 || first < 15 {
		t.Errorf("the log begins at %d after the release up to 20", first)
	}
	if es, err := r.Read(first, 60, 1000, term); err != nil || es[0].GetIndex() != first {
		t.Errorf("entry %d: error %v", first, err)
	}
}

// Damage is never handed out for an entry.
func TestEntryReader_FindsDamage(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	term := longLog(t, l, 30)
	name := segmentName(2)
	for off := range d.Content(name) {
		d.Content(name)[off] ^= 0x20
		r := NewEntryReader(l)
		for next := uint64(1); next <= 30; {
			es, err := r.Read(next, 30, 1<<20, term)
			if err != nil {
				if !errors.Is(err, ErrGone) {
					t.Fatal(err)
				}
				break
			}
			for _, e := range es {
				if !strings.HasPrefix(string(e.GetData()), fmt.Sprintf("good %dx", e.GetIndex())) || e.GetIndex() != next {
					t.Fatalf("byte %d: entry %d: %.30q", off, e.GetIndex(), e.GetData())
				}
				next++
			}
		}
		d.Content(name)[off] ^= 0x20
	}
}

// A start reads nothing of what only others may want, so that keeping more of the log makes no start slower.
func TestOpen_DoesNotReadHistory(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	term := longLog(t, l, 60)
	must(t, l.Write(Batch{Snapshot: &SnapshotMark{Index: 50, Term: term(50)}}))
	// The mark is known to the header of the segment after it.
	must(t, l.Write(Batch{Entries: entries(61, 1, term(60), strings.Repeat("x", 4000))}))
	all := l.Segments()
	must(t, l.Close())
	_, want := mustOpen(t, d.Clone(), Options{})
	old := unneeded(t, d)
	if len(old) < 8 {
		t.Fatalf("a start needs all but %v", old)
	}
	for _, name := range old {
		clear(d.Content(name))
	}
	l, got := mustOpen(t, d, Options{SegmentBytes: 4096})
	if show(got) != show(want) || l.Segments() < all {
		t.Fatalf("recovered %s with %d segments of %d", show(got), l.Segments(), all)
	}
	must(t, l.Release(1000))
	if l.Segments() > all-len(old) {
		t.Errorf("%d segments are left after the release of what was not needed", l.Segments())
	}
}

// What only others may want gives way when the disk has no room for what this member needs.
func TestMakeRoom_TakesHistoryOnly(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	term := longLog(t, l, 60)
	d.Spare = 1
	all := l.Segments()
	must(t, l.MakeRoom(1<<20))
	if l.Segments() != all {
		t.Fatal("segments went that a restart needs")
	}
	must(t, l.Write(Batch{Snapshot: &SnapshotMark{Index: 50, Term: term(50)}}))
	must(t, l.MakeRoom(1<<20))
	if l.Segments() >= all/2 {
		t.Fatalf("%d of %d segments are left", l.Segments(), all)
	}
	must(t, l.Close())
	if _, r := mustOpen(t, d, Options{SegmentBytes: 4096}); r.Snapshot.Index != 50 || r.Entries[0].GetIndex() != 51 {
		t.Fatal(show(r))
	}
}

// What the headers tell of the entries before a snapshot is what the entries say themselves.
func TestRecovered_HistoryIsOfOneTerm(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	term := longLog(t, l, 60)
	must(t, l.Write(Batch{Entries: entries(61, 30, term(60), strings.Repeat("x", 900))}))
	must(t, l.Write(Batch{Snapshot: &SnapshotMark{Index: 85, Term: term(60)}}))
	must(t, l.Write(Batch{Entries: entries(91, 3, term(60), strings.Repeat("x", 900))}))
	must(t, l.Close())
	l, r := mustOpen(t, d, Options{SegmentBytes: 4096})
	if r.History >= 70 || term(r.History) != term(60) {
		t.Fatalf("history from %d (term %d) on, before a snapshot of term %d", r.History, term(r.History), term(60))
	}
	reader := NewEntryReader(l)
	for next := r.History + 1; next <= 85; {
		es, err := reader.Read(next, 85, 5000, func(uint64) uint64 { return term(60) })
		must(t, err)
		next += uint64(len(es))
	}
}
