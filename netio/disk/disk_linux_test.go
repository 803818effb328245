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
	var fs unix.Statfs_t
	if err := unix.Statfs(d.Dir(), &fs); err != nil {
		t.Fatal(err)
	}
	// More than the disk has: ENOSPC, or EFBIG where no file can be that large.
	_, err = d.Create("f", int64(fs.Blocks)*fs.Bsize*2)
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
