package disk

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/detcd/detcd/node/port"
)

func TestDisk_FullDiskLeavesNoHalfMadeFile(t *testing.T) {
	d, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	// More than any disk has, and more than a file can hold where that is refused first (EFBIG): the request must not take what
	// space there is from everybody else meanwhile.
	_, err = d.Create("f", 1<<62)
	if !errors.Is(err, port.ErrNoSpace) && !errors.Is(err, unix.EFBIG) {
		t.Fatalf("error %v, want port.ErrNoSpace", err)
	}
	names, err := d.List()
	if err != nil || len(names) != 0 {
		t.Fatalf("files %q, error %v; want none", names, err)
	}
}

func TestError_KnowsAFullDisk(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.EDQUOT} {
		if err := (&Error{Op: "write", Path: "f", Err: errno}); !errors.Is(err, port.ErrNoSpace) || !errors.Is(err, errno) {
			t.Errorf("%v is not port.ErrNoSpace", err)
		}
	}
	if err := (&Error{Op: "write", Path: "f", Err: unix.EIO}); errors.Is(err, port.ErrNoSpace) {
		t.Errorf("%v is port.ErrNoSpace", err)
	}
}
