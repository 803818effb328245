package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// preallocate reserves blocks, so that a full disk shows here and not in the middle of the WAL. File systems that can't
// get a sparse file of that size.
func preallocate(f *os.File, size int64) error {
	err := retryInterrupted(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return f.Truncate(size)
	}
	return err
}

// syncData uses fdatasync: it leaves out times, but not a changed size (fdatasync(2)).
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
