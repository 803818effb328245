package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// catchUpSize is how much is stored and written, and how long a follower is away.
type catchUpSize struct {
	keys, valueBytes, missed int // missed: puts while the follower is away
	interval                 time.Duration
}

// A follower that missed something is level again while writes go on: with at most one snapshot, and with none as long as the log on the
// disks has what it missed.
func TestFollowerBehind_IsLevelUnderLoad(t *testing.T) {
	t.Parallel()
	long(t)
	size := catchUpSize{keys: 100, valueBytes: 100_000, missed: 150, interval: 10 * time.Millisecond}
	if full {
		size = catchUpSize{keys: 12_000, valueBytes: 100_000, missed: 12 * 150, interval: time.Second / 150}
	}
	c := startCluster(t, 3, "--snapshot-count", "100", "--snapshot-catchup-entries", "10", "--quota-backend-bytes", "8589934592")
	leader := c.leader()
	follower := c.others(leader)[0]
	client := newClient(t, leader)
	for i := range size.keys {
		size.put(t, client, i)
	}
	var written atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	writers.Go(func() {
		for ticker := time.NewTicker(size.interval); ctx.Err() == nil; <-ticker.C {
			if _, err := client.Put(ctx, size.key(int(written.Load())), size.value()); err == nil {
				written.Add(1)
			}
		}
	})
	defer writers.Wait()
	defer stop()
	await := func(what string, n int64) {
		t.Helper()
		eventually(t, what, func() error {
			if got := written.Load(); got < n {
				return fmt.Errorf("%d of %d puts are acknowledged", got, n)
			}
			return nil
		})
	}
	follower.signal(syscall.SIGSTOP)
	await("puts are acknowledged without the follower", int64(size.missed))
	missed := headRevision(t, c)
	follower.signal(syscall.SIGCONT)
	await("puts go on", written.Load()+10)
	eventually(t, "the follower has what it missed, and nearly all that came since", func() error {
		own, err := follower.status()
		if err != nil {
			return err
		}
		theirs, err := leader.status()
		if err != nil {
			return err
		}
		if own.Header.Revision < missed || theirs.Header.Revision-own.Header.Revision > 100 {
			return fmt.Errorf("it is at revision %d, the leader at %d", own.Header.Revision, theirs.Header.Revision)
		}
		return nil
	})
	stop()
	writers.Wait()
	awaitRevision(t, newClient(t, follower), follower, headRevision(t, c))
	sent := 0
	for _, m := range c.members {
		// "sending snapshot" in detcd, "sending database snapshot" in etcd.
		sent += len(regexp.MustCompile(`sending (database )?snapshot`).FindAllString(m.logText(), -1))
	}
	if sent > 0 && !stockEtcd {
		t.Errorf("%d snapshots were sent, though the log on the leader's disk has all that the follower missed", sent)
	}
}

func (s catchUpSize) key(i int) string { return fmt.Sprintf("behind/%05d", i%s.keys) }

func (s catchUpSize) value() string { return strings.Repeat("v", s.valueBytes) }

func (s catchUpSize) put(t *testing.T, client *clientv3.Client, i int) {
	t.Helper()
	eventually(t, "a write is acknowledged", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := client.Put(ctx, s.key(i), s.value())
		return err
	})
}

// awaitReleased waits until a member of detcd's has removed its first segments of the log, so that who lacks what was in them needs a snapshot.
func awaitReleased(t *testing.T, m *member) {
	t.Helper()
	if stockEtcd {
		return
	}
	first := filepath.Join(m.dir, "member", "wal", "wal-0000000000000001.log")
	eventually(t, m.name+" has removed the beginning of its log", func() error {
		if _, err := os.Stat(first); err == nil {
			return fmt.Errorf("%s is there", first)
		}
		return nil
	})
}

// outgrowLog writes to a member's log, and nothing to the state, until it has removed all segments that it has now: who is away from now on
// needs a snapshot. The requests are transactions whose condition never holds.
func outgrowLog(t *testing.T, client *clientv3.Client, m *member) {
	t.Helper()
	segments := func() []string {
		names, err := filepath.Glob(filepath.Join(m.dir, "member", "wal", "wal-*.log"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	const largest, rounds = 1_000_000, 5 // of as many requests as clients; what is kept in any case takes about 200
	write := func(n int) {
		t.Helper()
		var clients sync.WaitGroup
		for range n {
			clients.Go(func() {
				eventually(t, "a large request is answered", func() error {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					never := clientv3.Compare(clientv3.Version("never"), ">", 0)
					_, err := client.Txn(ctx).If(never).Then(clientv3.OpPut("never", strings.Repeat("x", largest))).Commit()
					return err
				})
			})
		}
		clients.Wait()
	}
	before := segments()
	for range rounds {
		write(50)
	}
	if stockEtcd {
		return
	}
	last := before[len(before)-1]
	eventually(t, m.name+" has removed "+filepath.Base(last), func() error {
		write(1)
		if _, err := os.Stat(last); err == nil {
			return fmt.Errorf("it has %q", segments())
		}
		return nil
	})
}
