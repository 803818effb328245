package disk

import (
	"errors"
	"io"
	"os"
	"time"
)

// zeroAhead is how many bytes behind the written ones are zeroed at a time (see file.zeroed).
const zeroAhead = 1 << 20

var zeroes [zeroAhead]byte

// file is one open file.
type file struct {
	f           *os.File
	path        string
	observeSync func(time.Duration)
	// reserved is the preallocated size in bytes of a file made here; 0 for one that was there before.
	reserved int64
	// zeroed is where the blocks end that have been written at all. ext4 and XFS call reserved blocks "unwritten" until something is
	// written there. The first write to such a block makes the next sync commit a change of metadata, too, and take about twice as
	// long. So zeroes are written ahead of the data, a megabyte at once, and nearly every sync is one of plain data.
	// Invariant: no byte at or after zeroed was ever written.
	zeroed int64
}

// ReadAt implements port.File.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &Error{Op: "read", Path: f.path, Err: err}
	}
	return n, err
}

// WriteAt implements port.File.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.f.WriteAt(p, off)
	if err != nil {
		return n, &Error{Op: "write", Path: f.path, Err: err}
	}
	if end := off + int64(n); end > f.zeroed {
		f.zeroed = end
		if ahead := min(zeroAhead, f.reserved-end); ahead > 0 {
			f.zeroed += ahead
			if _, err := f.f.WriteAt(zeroes[:ahead], end); err != nil {
				return n, &Error{Op: "write", Path: f.path, Err: err}
			}
		}
	}
	return n, nil
}

// Size implements port.File.
func (f *file) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, &Error{Op: "stat", Path: f.path, Err: err}
	}
	return info.Size(), nil
}

// Sync implements port.File.
func (f *file) Sync() error {
	start := time.Now()
	err := syncData(f.f)
	if f.observeSync != nil {
		f.observeSync(time.Since(start))
	}
	if err != nil {
		return &Error{Op: "sync", Path: f.path, Err: err}
	}
	return nil
}

// Close implements port.File.
func (f *file) Close() error {
	if err := f.f.Close(); err != nil {
		return &Error{Op: "close", Path: f.path, Err: err}
	}
	return nil
}
