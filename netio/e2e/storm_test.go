package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// storm is many clients that put, each key once, and remember what was acknowledged.
type storm struct {
	t       testing.TB
	cancel  context.CancelFunc
	writers sync.WaitGroup
	begin   time.Time

	mu    sync.Mutex
	acked map[string]string
	// started is when the put began (since begin, in nanoseconds) that began last of all acknowledged ones.
	started atomic.Int64
	failed  atomic.Int64
}

const stormPrefix = "storm/"

// startStorm has clients put to the members, over one connection to each member for every hundred clients.
func startStorm(t testing.TB, c *cluster, clients int) *storm {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &storm{t: t, cancel: cancel, begin: time.Now(), acked: map[string]string{}}
	var connections []*clientv3.Client
	for range (clients + 99) / 100 {
		connections = append(connections, newClient(t, c.members...))
	}
	for i := range clients {
		connection := connections[i%len(connections)]
		s.writers.Go(func() { s.write(ctx, connection, i) })
	}
	t.Cleanup(s.stop)
	return s
}

func (s *storm) write(ctx context.Context, c *clientv3.Client, writer int) {
	for n := 0; ctx.Err() == nil; n++ {
		key, value := fmt.Sprintf("%s%04d/%06d", stormPrefix, writer, n), fmt.Sprintf("value %d of %d", n, writer)
		started := time.Since(s.begin)
		// What is not answered in time may still happen, which is no fault: only acknowledged writes are held to account.
		one, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := c.Put(one, key, value)
		cancel()
		if err != nil {
			s.failed.Add(1)
			time.Sleep(20 * time.Millisecond)
			continue
		}
		s.mu.Lock()
		s.acked[key] = value
		s.mu.Unlock()
		for {
			last := s.started.Load()
			if last >= int64(started) || s.started.CompareAndSwap(last, int64(started)) {
				break
			}
		}
	}
}

// stop ends all writers and waits for them. It may be called again.
func (s *storm) stop() {
	s.cancel()
	s.writers.Wait()
}

// awaitAckSince waits until a put is acknowledged that began after the moment given, and returns how long after that moment it was.
func (s *storm) awaitAckSince(moment time.Time) time.Duration {
	s.t.Helper()
	since := int64(moment.Sub(s.begin))
	deadline := time.Now().Add(time.Minute)
	for s.started.Load() <= since {
		if time.Now().After(deadline) {
			s.t.Fatal("no write was acknowledged for a minute")
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(moment)
}

// awaitAcks waits until n puts more have been acknowledged.
func (s *storm) awaitAcks(n int) {
	s.t.Helper()
	count := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.acked)
	}
	want := count() + n
	eventually(s.t, fmt.Sprintf("%d further writes are acknowledged", n), func() error {
		if got := count(); got < want {
			return fmt.Errorf("%d are missing", want-got)
		}
		return nil
	})
}

// check ends the storm and holds the cluster to what it acknowledged: all of it is on every member, and all members are equal.
func (s *storm) check(c *cluster) {
	s.t.Helper()
	s.stop()
	s.mu.Lock()
	acked := s.acked
	s.mu.Unlock()
	if len(acked) == 0 {
		s.t.Fatal("nothing was acknowledged")
	}
	s.t.Logf("%d writes acknowledged, %d not", len(acked), s.failed.Load())
	equalMembers(s.t, c, acked)
}

// equalMembers checks that all members hold the same (by content, revisions included, and by etcd's own hash), and that all
// of want is there.
func equalMembers(t testing.TB, c *cluster, want map[string]string) {
	t.Helper()
	revision := headRevision(t, c)
	var first string
	var firstHash uint32
	for i, m := range c.members {
		client := newClient(t, m)
		awaitRevision(t, client, m, revision)
		missing, digest := dump(t, client, revision, want)
		for n, problem := range missing {
			if n == 10 {
				t.Errorf("%s: and %d more", m.name, len(missing)-n)
				break
			}
			t.Errorf("%s: %s", m.name, problem)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		hash, err := client.HashKV(ctx, m.client, revision)
		cancel()
		if err != nil {
			t.Fatalf("%s: HashKV: %v", m.name, err)
		}
		if i == 0 {
			first, firstHash = digest, hash.Hash
		} else if digest != first || hash.Hash != firstHash {
			t.Errorf("%s differs from %s at revision %d: contents %s and %s, HashKV %d and %d",
				m.name, c.members[0].name, revision, digest, first, hash.Hash, firstHash)
		}
	}
}

// headRevision asks the cluster, linearizably, for its revision.
func headRevision(t testing.TB, c *cluster) (revision int64) {
	t.Helper()
	client := newClient(t, c.members...)
	eventually(t, "the cluster serves reads", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		answer, err := client.Get(ctx, "revision?", clientv3.WithCountOnly())
		if err == nil {
			revision = answer.Header.Revision
		}
		return err
	})
	return revision
}

// awaitRevision waits until one member itself has come to a revision.
func awaitRevision(t testing.TB, client *clientv3.Client, m *member, revision int64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s catches up to revision %d", m.name, revision), func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		answer, err := client.Get(ctx, "revision?", clientv3.WithCountOnly(), clientv3.WithSerializable())
		if err == nil && answer.Header.Revision < revision {
			err = fmt.Errorf("it is at revision %d", answer.Header.Revision)
		}
		return err
	})
}

// dump reads everything that one member holds at a revision. It returns what is missing or wrong of want, and a digest of all.
func dump(t testing.TB, client *clientv3.Client, revision int64, want map[string]string) (problems []string, digest string) {
	t.Helper()
	const page = 1000
	sum := sha256.New()
	seen := 0
	for from := "\x00"; ; {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		answer, err := client.Get(ctx, from, clientv3.WithFromKey(), clientv3.WithSerializable(), clientv3.WithRev(revision), clientv3.WithLimit(page))
		cancel()
		if err != nil {
			t.Fatalf("read at revision %d: %v", revision, err)
		}
		for _, kv := range answer.Kvs {
			fmt.Fprintf(sum, "%q %q %d %d %d %d\n", kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease)
			if value, ok := want[string(kv.Key)]; ok {
				seen++
				if value != string(kv.Value) {
					problems = append(problems, fmt.Sprintf("%s is %q, not %q", kv.Key, kv.Value, value))
				}
			}
			from = string(kv.Key) + "\x00"
		}
		if !answer.More {
			break
		}
	}
	if seen < len(want) {
		problems = append(problems, fmt.Sprintf("%d of %d acknowledged writes are lost: %s", len(want)-seen, len(want), firstLost(t, client, want)))
	}
	io.WriteString(sum, fmt.Sprint(revision))
	return problems, fmt.Sprintf("%x", sum.Sum(nil)[:8])
}

// firstLost names some of the keys that are not there.
func firstLost(t testing.TB, client *clientv3.Client, want map[string]string) (lost []string) {
	for key := range want {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		answer, err := client.Get(ctx, key, clientv3.WithSerializable())
		cancel()
		if err != nil || answer.Count == 0 {
			if lost = append(lost, key); len(lost) == 5 {
				break
			}
		}
	}
	return lost
}
