package disk

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/wal"
)

// What noting the reach adds to a small write of the log and its sync.
func BenchmarkWriteWithReach(b *testing.B) {
	id := wal.Identity{Cluster: 1, Member: 2}
	for _, reach := range []bool{false, true} {
		b.Run(map[bool]string{false: "without", true: "with"}[reach], func(b *testing.B) {
			dir := mustOpenDirB(b)
			defer dir.Close()
			l, _, err := wal.Open(dir.WAL(), id, wal.Options{})
			if err != nil {
				b.Fatal(err)
			}
			f, durable, err := wal.OpenReach(dir.Snapshots(), l.Reach())
			if err != nil {
				b.Fatal(err)
			}
			index, term := uint64(0), uint64(1)
			data := make([]byte, 300)
			for b.Loop() {
				index++
				i := index
				if err := l.Write(wal.Batch{Entries: []*raftpb.Entry{{Index: &i, Term: &term, Data: data}}}); err != nil {
					b.Fatal(err)
				}
				if reach {
					if err := f.Put((durable+1)%wal.ReachSlots, l.Reach()); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
	b.Run("the note alone", func(b *testing.B) {
		dir := mustOpenDirB(b)
		defer dir.Close()
		f, durable, err := wal.OpenReach(dir.Snapshots(), wal.Reach{Identity: id, Seq: 1})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := f.Put((durable+1)%wal.ReachSlots, wal.Reach{Identity: id, Seq: 1}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func mustOpenDirB(b *testing.B) *Dir {
	b.Helper()
	d, err := OpenDir(b.TempDir(), DirOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return d
}
