package disk

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"
	"time"
)

func TestFileDisk_WaitsForADescriptor(t *testing.T) {
	told := 0
	d := &FileDisk{dir: t.TempDir(), observeShortage: func(path string, err error) {
		if told++; path != "p" || !errors.Is(err, syscall.EMFILE) {
			t.Errorf("told of %s: %v", path, err)
		}
	}}
	tries := 0
	err := d.patiently("p", func() error {
		if tries++; tries < 4 {
			return &fs.PathError{Op: "open", Path: "p", Err: syscall.EMFILE}
		}
		return nil
	})
	if err != nil || tries != 4 || told != 1 {
		t.Errorf("error %v after %d tries, told %d times", err, tries, told)
	}
	// Anything else is not tried again: nobody knows what is on the disk then.
	tries = 0
	if err := d.patiently("p", func() error { tries++; return syscall.EIO }); !errors.Is(err, syscall.EIO) || tries != 1 {
		t.Errorf("error %v after %d tries", err, tries)
	}
}

func TestFileDisk_WaitsForADescriptorNotForEver(t *testing.T) {
	before := shortagePatience
	shortagePatience = 5 * time.Millisecond
	defer func() { shortagePatience = before }()
	d := &FileDisk{dir: t.TempDir()}
	if err := d.patiently("p", func() error { return syscall.ENFILE }); !errors.Is(err, syscall.ENFILE) {
		t.Errorf("error %v", err)
	}
}
