//go:build !linux

package disk

import "os"

// preallocate only sets the size; blocks are reserved by the writes.
func preallocate(f *os.File, size int64) error { return f.Truncate(size) }

// syncData is os's Sync, which on macOS also empties the drive's cache (F_FULLFSYNC).
func syncData(f *os.File) error { return f.Sync() }
