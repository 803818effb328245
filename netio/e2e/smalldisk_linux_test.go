package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A disk of 64 MB is less than the usual size of one file of the log. The member starts there, and goes on for many times that.
func TestSmallDisk_IsEnough(t *testing.T) {
	t.Parallel()
	long(t)
	ownFiles(t) // stock etcd does not go on for long there
	small := mountSmall(t, 64<<20)
	c := newCluster(t, 1)
	m := c.members[0]
	m.dir = filepath.Join(small, "data")
	m.flags = append(m.flags, "--data-dir", m.dir)
	m.start()
	m.awaitServing()
	client := newClient(t, m)
	acked := map[string]string{}
	value := strings.Repeat("x", 100<<10)
	for i := range 1000 { // 100 MB
		key, v := fmt.Sprintf("small/%02d", i%16), fmt.Sprintf("%06d %s", i, value)
		if _, err := client.Put(t.Context(), key, v); err != nil {
			t.Fatalf("put %d: %v", i, err)
		}
		acked[key] = v
		if i%50 == 0 { // what is kept of the keys' history is not the log's
			if _, err := client.Compact(t.Context(), int64(i)+1); err != nil {
				t.Fatal(err)
			}
		}
	}
	equalMembers(t, c, acked)
	m.kill()
	m.start()
	m.awaitServing()
	equalMembers(t, c, acked)
	// Full, it says so, and what to do.
	empty := fill(t, small)
	for range 2000 {
		if ended(m)() {
			break
		}
		if _, err := client.Put(t.Context(), "full", value); err != nil {
			break
		}
	}
	if code := m.awaitExit(time.Minute).ExitCode(); code == 0 {
		t.Error("it ended with exit code 0")
	}
	if text := m.logText(); !strings.Contains(text, "its disk is full; make room") {
		t.Errorf("its log does not say what to do:\n%s", m.logTail())
	}
	empty()
}
