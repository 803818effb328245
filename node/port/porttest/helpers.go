package porttest

import (
	"bytes"
	"slices"
	"testing"

	"github.com/detcd/detcd/node/port"
)

func create(t *testing.T, d port.Disk, name string, size int64) port.File {
	t.Helper()
	f, err := d.Create(name, size)
	check(t, err)
	return f
}

func open(t *testing.T, d port.Disk, name string) port.File {
	t.Helper()
	f, err := d.Open(name)
	check(t, err)
	return f
}

func write(t *testing.T, f port.File, p string, off int64) {
	t.Helper()
	n, err := f.WriteAt([]byte(p), off)
	check(t, err)
	if n != len(p) {
		t.Fatalf("WriteAt wrote %d of %d bytes without an error", n, len(p))
	}
}

func closeFile(t *testing.T, f port.File) {
	t.Helper()
	check(t, f.Close())
}

func expectSize(t *testing.T, f port.File, want int64) {
	t.Helper()
	size, err := f.Size()
	check(t, err)
	if size != want {
		t.Fatalf("the size is %d, want %d", size, want)
	}
}

// expectContent compares the whole file, which must end where want ends.
func expectContent(t *testing.T, f port.File, want []byte) {
	t.Helper()
	expectSize(t, f, int64(len(want)))
	if len(want) == 0 {
		return
	}
	have := make([]byte, len(want))
	n, err := f.ReadAt(have, 0)
	if n != len(want) {
		t.Fatalf("ReadAt read %d of %d bytes, error %v", n, len(want), err)
	}
	if !bytes.Equal(have, want) {
		i := 0
		for have[i] == want[i] {
			i++
		}
		t.Fatalf("the content differs from byte %d of %d on: %d, want %d", i, len(want), have[i], want[i])
	}
}

func expectNames(t *testing.T, d port.Disk, want ...string) {
	t.Helper()
	names, err := d.List()
	check(t, err)
	if !slices.Equal(names, want) {
		t.Fatalf("the files are %q, want %q", names, want)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
