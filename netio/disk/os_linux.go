package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// preallocate reserves blocks. So a full disk is noticed here, and not in the middle of a write. On a file system that can't do that, the
// file becomes a sparse one of that size.
func preallocate(f *os.File, size int64) error {
	err := retryInterrupted(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return f.Truncate(size)
	}
	return err
}

// syncData uses fdatasync, which does not sync times, but does sync a changed size (fdatasync(2)).
func syncData(f *os.File) error {
	return retryInterrupted(func() error { return unix.Fdatasync(int(f.Fd())) })
}

func retryInterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
