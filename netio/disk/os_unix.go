//go:build !windows

package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func createFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

func openFile(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR, 0) }

// isNoSpace says whether the disk is full. A used-up quota counts as a full disk: to the member they are the same.
func isNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// isShortage says whether the process, or the whole system, has no descriptor left.
func isShortage(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// syncDir makes the directory's names durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return &Error{Op: "sync directory", Path: dir, Err: err}
	}
	err = f.Sync()
	_ = f.Close() // it was opened for reading, so an error of Close loses nothing
	if err != nil {
		return &Error{Op: "sync directory", Path: dir, Err: err}
	}
	return nil
}

// lockFile takes an exclusive lock. The lock ends with the process, however that ends. If another process has it, lockFile does not wait, and
// returns errLockHeld.
func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errLockHeld
	}
	return err
}

// loose says whether permissions let others in.
func loose(m os.FileMode) bool { return m.Perm()&0o077 != 0 }
