package disk

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

func createFile(path string) (*os.File, error) { return open(path, windows.CREATE_NEW) }

func openFile(path string) (*os.File, error) { return open(path, windows.OPEN_EXISTING) }

// open is os.OpenFile, but the file can be renamed and removed while it is open, as on every other system. The WAL needs that: it makes a file
// under a temporary name, syncs and renames it, and goes on writing.
func open(path string, how uint32) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, how, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(h), path), nil
}

func isNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

// isShortage says whether the process has no handle left. (EMFILE and ENFILE are what Go says in the words of other systems.)
func isShortage(err error) bool {
	return errors.Is(err, windows.ERROR_TOO_MANY_OPEN_FILES) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// syncDir does nothing: NTFS keeps names in its journal, and a directory can't be synced.
func syncDir(string) error { return nil }

// lockFile takes an exclusive lock. The lock ends with the process, however that ends. If another process has it, lockFile does not wait, and
// returns errLockHeld.
func lockFile(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLockHeld
	}
	return err
}

// loose says no: on Windows access lists decide, not the mode.
func loose(os.FileMode) bool { return false }
