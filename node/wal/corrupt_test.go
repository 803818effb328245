package wal

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/wal/crashdisk"
)

// written makes a WAL of several segments and a Settle mark at its end, and returns its records.
func written(t testing.TB) (*crashdisk.Disk, []Record) {
	t.Helper()
	d := crashdisk.New()
	pick := randomly(5)
	m := newModel()
	for range 2 {
		l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
		for range 12 {
			b := nextBatch(m, pick)
			m.apply(b)
			must(t, l.Write(b))
		}
		must(t, l.Close())
	}
	var rs []Record
	must(t, Dump(d, func(r Record) error { rs = append(rs, r); return nil }))
	if n := len(rs); rs[n-1].Kind != "settled" || rs[n-1].File == rs[0].File {
		t.Fatalf("unfit records: %v", rs)
	}
	return d, rs
}

func TestOpen_RefusesAnyFlippedByteBeforeTheLastMark(t *testing.T) {
	d, rs := written(t)
	mark := rs[len(rs)-1]
	_, want := mustOpen(t, d.Clone(), Options{})
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	for i, r := range rs[:len(rs)-1] {
		if r.Kind == "settled" && rs[i+1].File != r.File {
			continue // the last of its segment: never synced, nor needed
		}
		for off := r.Offset; off < r.Offset+r.Bytes; off += step {
			bad := d.Clone()
			bad.Content(r.File)[off] ^= 1 << (off % 8)
			if slices.Contains(unneeded(t, d), r.File) {
				// Damage to history is no reason to refuse a start: nothing of it is wanted.
				if _, got := mustOpen(t, bad, Options{SegmentBytes: 4096}); show(got) != show(want) {
					t.Fatalf("%s byte %d: recovered %s", r.File, off, show(got))
				}
				continue
			}
			_, _, err := Open(bad, testID, Options{SegmentBytes: 4096})
			var c *CorruptError
			if !errors.As(err, &c) || !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s byte %d of the %s at %d: %v", r.File, off, r.Kind, r.Offset, err)
			}
			if c.File != r.File || c.Offset != r.Offset {
				t.Fatalf("%s byte %d of the %s at %d: reported as %v", r.File, off, r.Kind, r.Offset, c)
			}
			if bad.Ops != 0 {
				t.Fatal("the disk was changed")
			}
		}
	}
	// The mark itself proves nothing about itself: without it, the log is whole all the same.
	for off := mark.Offset; off < mark.Offset+mark.Bytes; off++ {
		bad := d.Clone()
		bad.Content(mark.File)[off] ^= 0x10
		if _, r := mustOpen(t, bad, Options{}); show(r) != show(want) || r.CutBytes == 0 {
			t.Fatalf("byte %d of the mark: cut %d, recovered %s", off, r.CutBytes, show(r))
		}
	}
}

// unneeded returns the segments that a start does not read.
func unneeded(t testing.TB, d *crashdisk.Disk) (files []string) {
	t.Helper()
	segments, _, err := list(d)
	must(t, err)
	old, _ := history(d, nil, segments)
	for i := range old {
		files = append(files, old[i].name())
	}
	return files
}

func TestOpen_CutsADamagedLastBatch(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	must(t, l.Write(Batch{Entries: entries(1, 2, 1, "kept"), HardState: hard(1, 1, 1)}))
	start := l.offset
	must(t, l.Write(Batch{Entries: entries(3, 3, 1, "torn"), HardState: hard(1, 1, 5)}))
	end, name := l.offset, segmentName(l.seq())
	for off := start; off < end; off++ {
		bad := d.Clone()
		bad.Content(name)[off] ^= 0x80
		l, r := mustOpen(t, bad, Options{})
		if got := show(r); got != `hard 1/1/1 1/1/EntryNormal/"kept" 2/1/EntryNormal/"kept"` {
			t.Fatalf("byte %d: recovered %s", off, got)
		}
		if r.CutBytes < 24 || r.CutBytes > end-start {
			t.Fatalf("byte %d: cut %d bytes of %d", off, r.CutBytes, end-start)
		}
		// Life goes on, and the cut is as if the batch had never been.
		must(t, l.Write(Batch{Entries: entries(3, 1, 2, "new")}))
		must(t, l.Close())
		if _, r = mustOpen(t, bad, Options{}); len(r.Entries) != 3 || string(r.Entries[2].Data) != "new" || r.CutBytes != 0 {
			t.Fatalf("byte %d: then %s, cut %d", off, show(r), r.CutBytes)
		}
	}
}

// A client may store anything, also the bytes of a WAL: they prove nothing about what stands before them.
func TestOpen_WALBytesInsideATornEntryAreNoProof(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 64 << 10})
	must(t, l.Write(Batch{Entries: entries(1, 1, 1, "kept")}))
	var e encoder
	for batch := range uint64(40) { // intact records of all batches to come, at another place
		e.reset(l.seq(), int64(batch*100), 0, l.batch+batch)
		e.entry(entry(9, 9, "forged"))
		forged, _ := e.finish()
		must(t, l.Write(Batch{Entries: []*raftpb.Entry{entry(2, 1, string(bytes.Repeat(forged, 5)))}}))
		must(t, l.Settle())
	}
	var last Record
	must(t, Dump(d, func(r Record) error {
		if r.Kind == "entry" {
			last = r
		}
		return nil
	}))
	clear(d.Content(last.File)[last.Offset+last.Bytes:]) // the mark is lost
	clear(d.Content(last.File)[last.Offset:][:8])        // and the beginning of the batch before
	_, r := mustOpen(t, d, Options{})
	if r.CutBytes == 0 || len(r.Entries) != 2 {
		t.Fatalf("cut %d, recovered %d entries", r.CutBytes, len(r.Entries))
	}
}

func TestOpen_RefusesAHole(t *testing.T) {
	d, rs := written(t)
	var files []string
	for _, r := range rs {
		if r.Kind == "header" {
			files = append(files, r.File)
		}
	}
	if len(files) < 3 {
		t.Fatalf("only %v", files)
	}
	missing := d.Clone()
	must(t, missing.Remove(files[1]))
	var c *CorruptError
	if _, _, err := Open(missing, testID, Options{}); !errors.As(err, &c) || c.File != files[1] {
		t.Errorf("without %s: %v", files[1], err)
	}
	swapped := d.Clone()
	first := len(unneeded(t, d)) // of those that a start reads
	a, b := swapped.Content(files[first]), d.Content(files[first+1])
	copy(a, b)
	if _, _, err := Open(swapped, testID, Options{}); !errors.As(err, &c) || c.File != files[first] || c.Offset != 0 {
		t.Errorf("with another's content in %s: %v", files[first], err)
	}
	zeroed := d.Clone()
	clear(zeroed.Content(files[len(files)-1]))
	if _, _, err := Open(zeroed, testID, Options{}); !errors.As(err, &c) || c.File != files[len(files)-1] {
		t.Errorf("with zeroes for the last segment: %v", err)
	}
}

// A WAL whose beginning is gone, though no snapshot covers it, must not pass for a shorter one.
func TestOpen_RefusesALostBeginning(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	for i := range uint64(20) {
		must(t, l.Write(Batch{Entries: entries(i+1, 1, 1, string(make([]byte, 900)))}))
	}
	must(t, l.Close())
	must(t, d.Remove(segmentName(1)))
	if _, _, err := Open(d, testID, Options{}); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("open: %v", err)
	}
}

func TestOpen_RefusesBrokenRules(t *testing.T) {
	for name, write := range map[string]func(e *encoder){
		"gap":                 func(e *encoder) { e.entry(entry(7, 1, "")) },
		"index zero":          func(e *encoder) { e.entry(entry(0, 1, "")) },
		"term goes back":      func(e *encoder) { e.entry(entry(6, 1, "")) },
		"committed replaced":  func(e *encoder) { e.entry(entry(3, 3, "")) },
		"commit beyond":       func(e *encoder) { e.hardState(2, 1, 6) },
		"commit goes back":    func(e *encoder) { e.hardState(2, 1, 2) },
		"hard term back":      func(e *encoder) { e.hardState(1, 1, 3) },
		"second vote":         func(e *encoder) { e.hardState(2, 2, 3) },
		"mark beyond":         func(e *encoder) { e.snapshot(&SnapshotMark{Index: 9, Term: 2}, false) },
		"mark of other term":  func(e *encoder) { e.snapshot(&SnapshotMark{Index: 5, Term: 3}, false) },
		"mark voids commit":   func(e *encoder) { e.snapshot(&SnapshotMark{Index: 2, Term: 3}, true) },
		"mark at zero":        func(e *encoder) { e.snapshot(&SnapshotMark{}, true) },
		"incarnation repeats": func(e *encoder) { e.start(1) },
		"header inside":       func(e *encoder) { e.begin(kindHeader, 0) },
		"batch skipped":       func(e *encoder) { e.batch += 2; e.start(8) },
		"chain broken":        func(e *encoder) { e.chain++; e.start(8) },
	} {
		d := crashdisk.New()
		l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
		must(t, l.Write(Batch{Entries: entries(1, 3, 1, "a")}, Batch{Entries: entries(4, 2, 2, "a"), HardState: hard(2, 1, 3)}))
		l.enc.reset(l.seq(), l.offset, l.chain, l.batch+1)
		write(&l.enc)
		data, _ := l.enc.finish()
		at, file := l.offset, segmentName(l.seq())
		copy(d.Content(file)[at:], data)
		var c *CorruptError
		if _, _, err := Open(d.Clone(), testID, Options{}); !errors.As(err, &c) || c.File != file || c.Offset != at {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The header of a later segment repeats what the segments before it say; intact or not, it must agree with them.
func TestOpen_RefusesAHeaderThatContradicts(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	must(t, l.Write(Batch{Entries: entries(1, 3, 1, "a"), HardState: hard(1, 1, 2)}))
	agreed := header{id: l.id, seq: 2, incarnation: 1, state: l.state, size: 4096}
	open := func(h header) error {
		e := d.Clone()
		f, _, _, err := create(e, &h, l.synced, l.batch)
		must(t, err)
		must(t, f.Close())
		e.Ops = 0
		_, _, err = Open(e, testID, Options{SegmentBytes: 4096})
		if err != nil && e.Ops != 0 {
			t.Fatal("the disk was changed")
		}
		return err
	}
	must(t, open(agreed))
	for name, change := range map[string]func(h *header){
		"term":        func(h *header) { h.state.term++ },
		"vote":        func(h *header) { h.state.vote++ },
		"commit":      func(h *header) { h.state.commit-- },
		"last":        func(h *header) { h.state.last++ },
		"last term":   func(h *header) { h.state.lastTerm++ },
		"mark":        func(h *header) { h.state.hasMark, h.state.mark.Index = true, 1 },
		"incarnation": func(h *header) { h.incarnation = 0 },
		"hard state":  func(h *header) { h.state.hasHard = false },
	} {
		h := agreed
		change(&h)
		var c *CorruptError
		if err := open(h); !errors.As(err, &c) || c.File != segmentName(2) || c.Offset != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
