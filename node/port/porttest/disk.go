// Package porttest holds the contracts of the ports as tests, so that the real and the simulated implementations prove the
// same promises. It tests what holds without a crash; what a crash leaves is each implementation's own affair.
//
// Concurrency: a suite uses its port from one goroutine.
package porttest

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/detcd/detcd/node/port"
)

// TestDisk holds a port.Disk to its contract. newDisk returns an empty disk each time.
func TestDisk(t *testing.T, newDisk func() port.Disk) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, d port.Disk)
	}{
		{"CreateMakesAFileOfZeroes", createMakesZeroes},
		{"CreateReplacesNothing", createReplacesNothing},
		{"OpenNeedsAFile", openNeedsAFile},
		{"WriteGrowsAndLeavesTheRest", writeGrows},
		{"WriteInsideOfThePreallocatedKeepsTheSize", writeInside},
		{"WriteKeepsNoHoldOfItsArgument", writeCopies},
		{"ReadStopsAtTheEnd", readStops},
		{"HandlesShareTheFile", handlesShare},
		{"ReopenedFileHasItsContent", reopened},
		{"RenameReplaces", renameReplaces},
		{"RenameNeedsAFile", renameNeedsAFile},
		{"RenamedFileStaysOpen", renamedStaysOpen},
		{"RemoveTakesTheName", removeTakes},
		{"RemoveNeedsAFile", removeNeedsAFile},
		{"ListIsSorted", listSorted},
		{"SyncKeepsContent", syncKeeps},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newDisk()) })
	}
}

func createMakesZeroes(t *testing.T, d port.Disk) {
	for _, size := range []int64{0, 1, 511, 4096, 1<<20 + 7} {
		f := create(t, d, "f", size)
		expectSize(t, f, size)
		expectContent(t, f, make([]byte, size))
		closeFile(t, f)
		check(t, d.Remove("f"))
	}
}

func createReplacesNothing(t *testing.T, d port.Disk) {
	f := create(t, d, "f", 0)
	write(t, f, "kept", 0)
	for _, size := range []int64{0, 4096} {
		if _, err := d.Create("f", size); !errors.Is(err, port.ErrExist) {
			t.Fatalf("Create of a name that is taken: error %v, want port.ErrExist", err)
		}
	}
	expectContent(t, f, []byte("kept"))
	closeFile(t, f)
}

func openNeedsAFile(t *testing.T, d port.Disk) {
	if _, err := d.Open("nothing"); !errors.Is(err, port.ErrNotExist) {
		t.Fatalf("Open of no file: error %v, want port.ErrNotExist", err)
	}
	expectNames(t, d)
}

func writeGrows(t *testing.T, d port.Disk) {
	f := create(t, d, "f", 0)
	write(t, f, "abc", 0)
	write(t, f, "XYZ", 10)
	expectContent(t, f, []byte("abc\x00\x00\x00\x00\x00\x00\x00XYZ"))
	write(t, f, "--", 2)
	expectContent(t, f, []byte("ab--\x00\x00\x00\x00\x00\x00XYZ"))
	write(t, f, "", 5)
	expectSize(t, f, 13)
	closeFile(t, f)
}

// writeInside writes out of order and around the sizes at which an implementation may do something clever.
func writeInside(t *testing.T, d port.Disk) {
	const size = 5<<20 + 100
	f := create(t, d, "f", size)
	model := make([]byte, size)
	for i, w := range []struct{ off, n int }{
		{3 << 20, 1000}, {0, 1}, {1, 4095}, {4096, 1 << 20}, {4 << 20, 3}, {1 << 20, 2 << 20}, {size - 1, 1}, {size - 200, 100},
		{2<<20 - 1, 2}, {4<<20 + 10, 1},
	} {
		p := bytes.Repeat([]byte{byte(i + 1)}, w.n)
		write(t, f, string(p), int64(w.off))
		copy(model[w.off:], p)
		expectContent(t, f, model)
	}
	write(t, f, "beyond", size)
	expectContent(t, f, append(model, "beyond"...))
	closeFile(t, f)
}

func writeCopies(t *testing.T, d port.Disk) {
	f := create(t, d, "f", 0)
	p := []byte("before")
	if _, err := f.WriteAt(p, 0); err != nil {
		t.Fatal(err)
	}
	copy(p, "after!")
	expectContent(t, f, []byte("before"))
	closeFile(t, f)
}

func readStops(t *testing.T, d port.Disk) {
	f := create(t, d, "f", 0)
	write(t, f, "abcdef", 0)
	p := make([]byte, 4)
	for _, c := range []struct {
		off  int64
		want string
		eof  bool
	}{{0, "abcd", false}, {1, "bcde", false}, {4, "ef", true}, {6, "", true}, {100, "", true}} {
		n, err := f.ReadAt(p, c.off)
		if string(p[:n]) != c.want || (err == io.EOF) != c.eof || (err != nil && err != io.EOF) {
			t.Fatalf("ReadAt of 4 bytes at %d: %q, error %v; want %q, io.EOF %v", c.off, p[:n], err, c.want, c.eof)
		}
	}
	closeFile(t, f)
}

func handlesShare(t *testing.T, d port.Disk) {
	one := create(t, d, "f", 0)
	two := open(t, d, "f")
	write(t, one, "one", 0)
	expectContent(t, two, []byte("one"))
	write(t, two, "two", 3)
	expectContent(t, one, []byte("onetwo"))
	closeFile(t, one)
	expectContent(t, two, []byte("onetwo"))
	closeFile(t, two)
}

func reopened(t *testing.T, d port.Disk) {
	f := create(t, d, "f", 10)
	write(t, f, "abc", 2)
	closeFile(t, f)
	f = open(t, d, "f")
	expectContent(t, f, []byte("\x00\x00abc\x00\x00\x00\x00\x00"))
	write(t, f, "d", 5)
	closeFile(t, f)
	f = open(t, d, "f")
	expectContent(t, f, []byte("\x00\x00abcd\x00\x00\x00\x00"))
	closeFile(t, f)
}

func renameReplaces(t *testing.T, d port.Disk) {
	for _, n := range []string{"a", "b"} {
		f := create(t, d, n, 0)
		write(t, f, n+n, 0)
		closeFile(t, f)
	}
	check(t, d.Rename("a", "b"))
	expectNames(t, d, "b")
	f := open(t, d, "b")
	expectContent(t, f, []byte("aa"))
	closeFile(t, f)
	check(t, d.Rename("b", "c"))
	expectNames(t, d, "c")
	closeFile(t, create(t, d, "b", 0))
}

func renameNeedsAFile(t *testing.T, d port.Disk) {
	closeFile(t, create(t, d, "b", 0))
	if err := d.Rename("a", "b"); !errors.Is(err, port.ErrNotExist) {
		t.Fatalf("Rename of no file: error %v, want port.ErrNotExist", err)
	}
	expectNames(t, d, "b")
}

func renamedStaysOpen(t *testing.T, d port.Disk) {
	f := create(t, d, "a", 100)
	write(t, f, "one", 0)
	check(t, d.Rename("a", "b"))
	write(t, f, "two", 3)
	check(t, f.Sync())
	closeFile(t, f)
	f = open(t, d, "b")
	expectContent(t, f, append([]byte("onetwo"), make([]byte, 94)...))
	closeFile(t, f)
}

func removeTakes(t *testing.T, d port.Disk) {
	f := create(t, d, "f", 0)
	write(t, f, "old", 0)
	closeFile(t, f)
	check(t, d.Remove("f"))
	expectNames(t, d)
	if _, err := d.Open("f"); !errors.Is(err, port.ErrNotExist) {
		t.Fatalf("Open of a removed file: error %v, want port.ErrNotExist", err)
	}
	f = create(t, d, "f", 0)
	expectSize(t, f, 0)
	closeFile(t, f)
}

func removeNeedsAFile(t *testing.T, d port.Disk) {
	if err := d.Remove("f"); !errors.Is(err, port.ErrNotExist) {
		t.Fatalf("Remove of no file: error %v, want port.ErrNotExist", err)
	}
}

func listSorted(t *testing.T, d port.Disk) {
	expectNames(t, d)
	for _, n := range []string{"b", "a.tmp", "B", "a-10", "a-9", "0"} {
		closeFile(t, create(t, d, n, 3))
	}
	expectNames(t, d, "0", "B", "a-10", "a-9", "a.tmp", "b")
}

func syncKeeps(t *testing.T, d port.Disk) {
	f := create(t, d, "f", 1000)
	write(t, f, "abc", 0)
	check(t, f.Sync())
	check(t, d.SyncDir())
	write(t, f, "d", 3)
	check(t, f.Sync())
	expectContent(t, f, append([]byte("abcd"), make([]byte, 996)...))
	closeFile(t, f)
	check(t, d.SyncDir())
	expectNames(t, d, "f")
}
