package server

import (
	"sync/atomic"

	"github.com/detcd/detcd/node/port"
)

// writeCounter is a disk that counts the bytes written to its files, for the metrics.
type writeCounter struct {
	port.Disk
	bytes *atomic.Uint64
}

var _ port.Disk = writeCounter{}

// Create implements port.Disk.
func (c writeCounter) Create(name string, size int64) (port.File, error) {
	return c.counted(c.Disk.Create(name, size))
}

// Open implements port.Disk.
func (c writeCounter) Open(name string) (port.File, error) { return c.counted(c.Disk.Open(name)) }

func (c writeCounter) counted(f port.File, err error) (port.File, error) {
	if err != nil {
		return nil, err
	}
	return countedFile{f, c.bytes}, nil
}

type countedFile struct {
	port.File
	bytes *atomic.Uint64
}

// WriteAt implements port.File.
func (f countedFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	f.bytes.Add(uint64(n))
	return n, err
}
