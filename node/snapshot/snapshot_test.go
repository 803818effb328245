package snapshot

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/node/wal/crashdisk"
)

var (
	testID   = wal.Identity{Cluster: 0xc1, Member: 0xa1}
	testMark = wal.SnapshotMark{Index: 70, Term: 3, ConfState: []byte("voters")}
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stream makes content of n bytes that repeats nowhere soon.
func stream(n int) []byte {
	b := make([]byte, n)
	x := uint32(n)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func TestWrite_ReadsBack(t *testing.T) {
	for _, n := range []int{0, 1, contentBytes - 1, contentBytes, contentBytes + 1, 3*contentBytes + 77} {
		d := crashdisk.New()
		want := stream(n)
		size, err := Write(d, testID, testMark, iotest.HalfReader(bytes.NewReader(want)))
		must(t, err)
		infos, err := List(d)
		must(t, err)
		if len(infos) != 1 || infos[0] != (Info{70, 3, Name(70, 3), size}) {
			t.Fatalf("%d bytes: listed %v, size %d", n, infos, size)
		}
		r, err := Open(d, 70, 3)
		must(t, err)
		got, err := io.ReadAll(r)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: read back %d others", n, len(got))
		}
		if m := r.Mark(); m.Index != 70 || m.Term != 3 || string(m.ConfState) != "voters" || r.Identity() != testID || r.Size() != size {
			t.Fatalf("%d bytes: mark %v identity %v size %d", n, m, r.Identity(), r.Size())
		}
		must(t, r.Close())
		if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Fatalf("read after close: %v", err)
		}
	}
}
