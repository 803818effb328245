package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/detcd/detcd/node/port"
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

func write(t testing.TB, d *crashdisk.Disk, mark wal.SnapshotMark, content []byte) int64 {
	t.Helper()
	size, err := Write(d, testID, mark, bytes.NewReader(content))
	must(t, err)
	return size
}

func read(d *crashdisk.Disk, index, term uint64) ([]byte, error) {
	r, err := Open(d, index, term)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

func names(t testing.TB, d *crashdisk.Disk) string {
	t.Helper()
	ns, err := d.List()
	must(t, err)
	return strings.Join(ns, " ")
}

func TestReceive_InPieces(t *testing.T) {
	d := crashdisk.New()
	want := stream(contentBytes*2 + 1000)
	in, err := Receive(d, testID, testMark)
	must(t, err)
	for rest, n := want, 1; len(rest) > 0; n = n*3 + 1 {
		k := min(n, len(rest))
		if w, err := in.Write(rest[:k]); w != k || err != nil {
			t.Fatalf("wrote %d of %d: %v", w, k, err)
		}
		rest = rest[k:]
	}
	if infos, err := List(d); err != nil || len(infos) != 0 {
		t.Fatalf("listed before it is complete: %v, %v", infos, err)
	}
	size, err := in.Commit()
	must(t, err)
	if got, err := read(d, 70, 3); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read back %d bytes of %d: %v", len(got), len(want), err)
	}
	if size != int64(len(d.Content(Name(70, 3)))) {
		t.Fatalf("size %d", size)
	}
	if _, err := in.Write([]byte("x")); !errors.Is(err, ErrDone) {
		t.Errorf("write after commit: %v", err)
	}
	if _, err := in.Commit(); !errors.Is(err, ErrDone) {
		t.Errorf("second commit: %v", err)
	}
	must(t, in.Abort())
	if names(t, d) != Name(70, 3) {
		t.Errorf("files: %s", names(t, d))
	}
}

func TestReceive_AbortLeavesNothing(t *testing.T) {
	d := crashdisk.New()
	in, err := Receive(d, testID, testMark)
	must(t, err)
	_, err = in.Write(stream(contentBytes + 5))
	must(t, err)
	must(t, in.Abort())
	must(t, in.Abort())
	if _, err := in.Commit(); !errors.Is(err, ErrDone) {
		t.Errorf("commit after abort: %v", err)
	}
	if n := names(t, d); n != "" {
		t.Errorf("files: %s", n)
	}
	if _, err := Open(d, 70, 3); !errors.Is(err, port.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
}

func TestReceive_StartsOver(t *testing.T) {
	d := crashdisk.New()
	first, err := Receive(d, testID, testMark)
	must(t, err)
	_, err = first.Write(stream(3 * contentBytes))
	must(t, err)
	second, err := Receive(d, testID, testMark)
	must(t, err)
	_, err = second.Write([]byte("short"))
	must(t, err)
	_, err = second.Commit()
	must(t, err)
	if got, err := read(d, 70, 3); err != nil || string(got) != "short" {
		t.Fatalf("read back %d bytes: %v", len(got), err)
	}
}

func TestWrite_FailingContentLeavesNothing(t *testing.T) {
	broken := errors.New("broken")
	for _, n := range []int{0, 10, contentBytes, contentBytes + 10} {
		d := crashdisk.New()
		old := stream(44)
		write(t, d, testMark, old)
		_, err := Write(d, testID, testMark, io.MultiReader(bytes.NewReader(stream(n)), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if got, err := read(d, 70, 3); err != nil || !bytes.Equal(got, old) || names(t, d) != Name(70, 3) {
			t.Fatalf("%d bytes: the old one reads %d bytes, %v; files %s", n, len(got), err, names(t, d))
		}
	}
	if _, err := Write(crashdisk.New(), testID, testMark, idle{}); !errors.Is(err, io.ErrNoProgress) {
		t.Fatalf("content that yields nothing: %v", err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestList_SortsAndRemoveOthersKeeps(t *testing.T) {
	d := crashdisk.New()
	for _, m := range []wal.SnapshotMark{{Index: 0x100, Term: 2}, {Index: 9, Term: 1}, {Index: 0x20, Term: 3}, {Index: 0x20, Term: 2}} {
		write(t, d, m, []byte("x"))
	}
	leftovers := []string{Name(5, 1) + tempSuffix, Name(6, 1) + partSuffix}
	strangers := []string{"snap-1-1.snap", "lock", "wal-0000000000000001.log"}
	for _, n := range append(leftovers, strangers...) {
		d.Put(n, []byte("x"))
	}
	infos, err := List(d)
	must(t, err)
	var got string
	for _, i := range infos {
		got += fmt.Sprintf(" %d/%d", i.Index, i.Term)
	}
	if got != " 9/1 32/2 32/3 256/2" {
		t.Fatalf("listed%s", got)
	}
	must(t, RemoveOthers(d, infos[1], infos[3]))
	want := strings.Join([]string{"lock", Name(0x20, 2), Name(0x100, 2), "snap-1-1.snap", "wal-0000000000000001.log"}, " ")
	if n := names(t, d); n != want {
		t.Fatalf("files: %s\nwant:  %s", n, want)
	}
}

func TestRemoveOlder_LeavesTheRestAndWhatIsOnItsWay(t *testing.T) {
	d := crashdisk.New()
	for _, index := range []uint64{5, 9, 12} {
		write(t, d, wal.SnapshotMark{Index: index, Term: 1}, []byte("x"))
	}
	in, err := Receive(d, testID, wal.SnapshotMark{Index: 7, Term: 1})
	must(t, err)
	must(t, RemoveOlder(d, 9))
	if n := names(t, d); n != strings.Join([]string{Name(7, 1) + partSuffix, Name(9, 1), Name(12, 1)}, " ") {
		t.Fatalf("files: %s", n)
	}
	_, err = in.Commit()
	must(t, err)
	after := d.Crash(func(int) int { return 0 }) // nothing that is not durable
	if n := names(t, after); n != strings.Join([]string{Name(7, 1), Name(9, 1), Name(12, 1)}, " ") {
		t.Fatalf("files after a crash: %s", n)
	}
}
