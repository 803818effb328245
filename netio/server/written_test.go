package server

import (
	"testing"
	"time"

	"github.com/detcd/detcd/node/wal/crashdisk"
)

// Each write is told of, and each file that was written to when it is closed.
func TestWriteObserver_TellsOfWritesAndFiles(t *testing.T) {
	var writes []int
	files := 0
	disk := writeObserver{Disk: crashdisk.New(), wrote: func(n int, _ time.Duration) { writes = append(writes, n) }, closed: func(time.Duration) { files++ }}
	f, err := disk.Create("a", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "twelve"} {
		if _, err := f.WriteAt([]byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = disk.Open("a"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil { // nothing was written
		t.Fatal(err)
	}
	if len(writes) != 2 || writes[0] != 3 || writes[1] != 6 || files != 1 {
		t.Errorf("writes of %v bytes, %d files; want [3 6] and 1", writes, files)
	}
}
