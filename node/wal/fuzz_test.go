package wal

import (
	"errors"
	"testing"

	"github.com/detcd/detcd/node/wal/crashdisk"
)

// openTwice checks that Open either refuses or accepts for good: what it returned, a second Open returns.
func openTwice(t *testing.T, d *crashdisk.Disk) {
	l, first, err := Open(d, testID, Options{SegmentBytes: 4096})
	if err != nil {
		if d.Ops != 0 {
			t.Fatalf("refused after %d changes: %v", d.Ops, err)
		}
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrIdentity) && !errors.Is(err, ErrFormat) {
			t.Fatalf("refused without a reason: %v", err)
		}
		return
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, second, err := Open(d, testID, Options{SegmentBytes: 4096})
	if err != nil || show(second) != show(first) || second.CutBytes != 0 {
		t.Fatalf("then %v: %+v after %+v", err, second, first)
	}
}

// FuzzOpen_AnyBytes opens one or two segments of arbitrary bytes.
func FuzzOpen_AnyBytes(f *testing.F) {
	d, rs := written(f)
	f.Add(d.Content(rs[0].File), []byte(nil))
	f.Add(d.Content(segmentName(1)), d.Content(segmentName(2)))
	f.Add([]byte(nil), make([]byte, 100))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		d := crashdisk.New()
		d.Put(segmentName(1), a)
		if len(b) > 0 {
			d.Put(segmentName(2), b)
		}
		openTwice(t, d)
	})
}

// FuzzOpen_AnyRecords opens a segment of records that are intact but say anything. Of the fuzzed bytes, each record takes
// kind, sub, flags, length, batch step and then its payload.
func FuzzOpen_AnyRecords(f *testing.F) {
	f.Add(uint64(0), []byte("\x02\x00\x01\x18\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00datadata"))
	f.Add(uint64(7), []byte("\x03\x01\x01\x10\x01\x09\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(^uint64(0), []byte("\x04\x00\x01\x18\x01\x09\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(uint64(1), []byte("\x05\x00\x01\x08\x01\x09\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, last uint64, b []byte) {
		h := header{id: testID, seq: 1, incarnation: 1}
		h.state.last, h.state.lastTerm = last, last%5
		if last > 0 {
			h.state.hasMark, h.state.mark = true, SnapshotMark{Index: last, Term: last % 5}
		}
		var e encoder
		e.reset(1, 0, 0, 0)
		e.begin(kindHeader, 0)
		e.buf = h.append(e.buf)
		file, _ := e.finish()
		file = append([]byte(nil), file...)
		batch := uint64(1)
		for len(b) >= 5 {
			kind, sub, flags, n := kind(b[0]), uint16(b[1]), b[2]&1, min(int(b[3]), len(b)-5)
			e.reset(1, int64(len(file)), e.chain, batch)
			e.begin(kind, sub)
			e.buf = append(e.buf, b[5:5+n]...)
			e.seal(flags)
			file = append(file, e.buf...)
			if flags == flagLast {
				batch += uint64(b[4] % 3)
			}
			b = b[5+n:]
		}
		d := crashdisk.New()
		d.Put(segmentName(1), append(file, make([]byte, 64)...))
		openTwice(t, d)
	})
}
