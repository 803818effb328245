package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A follower that was away for longer than the log is kept gets a snapshot, may be killed while it does, and afterwards is worth as
// much as any other: it keeps what it got over a further kill -9, and a majority can rest on it.
func TestFollowerBehind_CatchesUpFromASnapshot(t *testing.T) {
	t.Parallel()
	long(t)
	c := startCluster(t, 3, "--snapshot-count", "100", "--snapshot-catchup-entries", "10")
	leader := c.leader()
	follower := c.others(leader)[0]
	client := newClient(t, c.others(follower)...)
	acked := map[string]string{}
	put := func(first, last int) {
		t.Helper()
		for i := first; i < last; i++ {
			key, value := fmt.Sprintf("behind/%04d", i%30), fmt.Sprintf("%d %s", i, strings.Repeat("v", 300_000))
			eventually(t, "a write is acknowledged", func() error { // an election may go on
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				_, err := client.Put(ctx, key, value)
				return err
			})
			acked[key] = value
		}
	}
	put(0, 10)
	awaitRevision(t, newClient(t, follower), follower, headRevision(t, c))
	follower.kill()
	put(10, 700)
	if _, err := client.Delete(t.Context(), "behind/0029"); err != nil {
		t.Fatal(err)
	}
	delete(acked, "behind/0029")
	if _, err := client.Compact(t.Context(), headRevision(t, c)-5); err != nil {
		t.Fatal(err)
	}

	put(700, 830) // a snapshot without what was compacted away
	awaitReleased(t, c.leader())
	for range 3 { // killed wherever it may be, most likely in the middle of the snapshot
		follower.start()
		time.Sleep(time.Duration(100+rand.IntN(200)) * time.Millisecond)
		follower.kill()
	}
	follower.start()
	follower.awaitServing()
	equalMembers(t, c, acked)
	// "receiving snapshot" in detcd, "receiving database snapshot" in etcd. It may be installed only as the next process starts.
	received := regexp.MustCompile(`receiving (database )?snapshot`).FindAllString(follower.logText(), -1)
	if len(received) == 0 {
		t.Errorf("the log of %s tells of no snapshot: it caught up in another way, and this test tested nothing", follower.name)
	}
	t.Logf("%s began to receive a snapshot %d times", follower.name, len(received))

	follower.kill()
	follower.start()
	follower.awaitServing()
	c.leader().kill()
	for _, m := range c.members {
		if m.process == nil {
			put(830, 850) // a majority with the follower
			m.start()
			m.awaitServing()
		}
	}
	equalMembers(t, c, acked)
}
