package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mountSmall mounts a file system of the size given, in bytes, in memory. Only root can.
func mountSmall(t *testing.T, size int) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("can't mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all that is free on the file system of dir and returns a function that gives it back.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) >= 4096; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

const smallDisk = 320 << 20

// putUntil puts large values until stop says so, and returns those acknowledged.
func putUntil(t *testing.T, c *cluster, prefix string, stop func() bool) map[string]string {
	t.Helper()
	client := newClient(t, c.members...)
	acked := map[string]string{}
	const valueBytes = 512 << 10
	for i := 0; !stop(); i++ {
		if i*valueBytes > 2*smallDisk {
			t.Fatal("twice as much as the disk holds was written, and nothing happened")
		}
		// The same keys again and again: what grows is the log, not the answer of the checks below.
		key, value := fmt.Sprintf("%s/%02d", prefix, i%16), fmt.Sprintf("%06d %s", i, strings.Repeat("x", valueBytes))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := client.Put(ctx, key, value)
		cancel()
		if err == nil {
			acked[key] = value
		} else {
			// It may have been written or not, so nothing is known of this key any more.
			delete(acked, key)
			time.Sleep(20 * time.Millisecond)
		}
	}
	return acked
}

func ended(m *member) func() bool {
	return func() bool {
		select {
		case <-m.exited:
			return true
		default:
			return false
		}
	}
}

func TestDiskFull_SaysSoAndLosesNothing(t *testing.T) {
	t.Parallel()
	long(t)
	for _, members := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d members", members), func(t *testing.T) {
			small := mountSmall(t, smallDisk)
			c := newCluster(t, members)
			m := c.members[0]
			m.dir = filepath.Join(small, "data")
			m.flags = append(m.flags, "--data-dir", m.dir)
			for _, m := range c.members {
				m.start()
			}
			c.awaitServing()
			acked := putSome(t, c, "before", 20)
			empty := fill(t, small)
			for key, value := range putUntil(t, c, "full", ended(m)) {
				acked[key] = value
			}
			if code := m.awaitExit(time.Minute).ExitCode(); code == 0 {
				t.Error("it ended with exit code 0")
			}
			if text := m.logText(); !strings.Contains(text, "no space left on device") {
				t.Errorf("its log does not say why it ended:\n%s", m.logTail())
			}
			if members > 1 { // the others go on
				for key, value := range putSome(t, c, "without", 20) {
					acked[key] = value
				}
			}
			empty()
			m.start()
			m.awaitServing()
			for key, value := range putSome(t, c, "after", 20) {
				acked[key] = value
			}
			equalMembers(t, c, acked)
		})
	}
}
