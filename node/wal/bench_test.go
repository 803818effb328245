package wal

import (
	"fmt"
	"testing"

	"github.com/detcd/detcd/node/port"
)

// nullDisk keeps nothing: what is left is the cost of the WAL itself.
type nullDisk struct{ port.Disk }

type nullFile struct{ port.File }

func (nullDisk) List() ([]string, error)                 { return nil, nil }
func (nullDisk) Create(string, int64) (port.File, error) { return nullFile{}, nil }
func (nullDisk) Rename(string, string) error             { return nil }
func (nullDisk) SyncDir() error                          { return nil }
func (nullFile) WriteAt(p []byte, _ int64) (int, error)  { return len(p), nil }
func (nullFile) Sync() error                             { return nil }
func (nullFile) Close() error                            { return nil }

func BenchmarkWrite(b *testing.B) {
	for _, n := range []uint64{1, 16, 256} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			l, _, err := Open(nullDisk{}, testID, Options{})
			must(b, err)
			es := entries(1, n, 1, string(make([]byte, 300)))
			h := hard(1, 1, 0)
			b.ReportAllocs()
			b.SetBytes(int64(n) * 300)
			for b.Loop() {
				// The same indexes each time: every batch replaces the one before.
				must(b, l.Write(Batch{Entries: es, HardState: h}))
			}
		})
	}
}
