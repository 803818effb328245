package server

import (
	"sync/atomic"
	"time"

	"github.com/detcd/detcd/node/port"
)

// writeObserver is a disk that reports what is written to its files, for the metrics.
type writeObserver struct {
	port.Disk
	// wrote is told of each write: how many bytes, and how long it took. Nil: nobody is.
	wrote func(n int, took time.Duration)
	// closed is called when a file that was written to is closed. It is told how long the file's writes and syncs took. Nil: nobody is.
	closed func(busy time.Duration)
}

var _ port.Disk = writeObserver{}

// Create implements port.Disk.
func (o writeObserver) Create(name string, size int64) (port.File, error) {
	return o.observed(o.Disk.Create(name, size))
}

// Open implements port.Disk.
func (o writeObserver) Open(name string) (port.File, error) { return o.observed(o.Disk.Open(name)) }

func (o writeObserver) observed(f port.File, err error) (port.File, error) {
	if err != nil {
		return nil, err
	}
	return &observedFile{File: f, observer: &o}, nil
}

type observedFile struct {
	port.File
	observer *writeObserver
	written  atomic.Bool
	busy     atomic.Int64 // nanoseconds
}

// WriteAt implements port.File.
func (f *observedFile) WriteAt(p []byte, off int64) (int, error) {
	start := time.Now()
	n, err := f.File.WriteAt(p, off)
	took := time.Since(start)
	f.written.Store(true)
	f.busy.Add(int64(took))
	if f.observer.wrote != nil {
		f.observer.wrote(n, took)
	}
	return n, err
}

// Sync implements port.File.
func (f *observedFile) Sync() error {
	start := time.Now()
	err := f.File.Sync()
	f.busy.Add(int64(time.Since(start)))
	return err
}

// Close implements port.File.
func (f *observedFile) Close() error {
	if f.observer.closed != nil && f.written.Load() {
		f.observer.closed(time.Duration(f.busy.Load()))
	}
	return f.File.Close()
}
