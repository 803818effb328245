package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// recording is what one watch of the stock client has seen.
type recording struct {
	name   string
	mu     sync.Mutex
	events []*clientv3.Event
	last   atomic.Int64 // revision of the last event
	done   sync.WaitGroup
}

// record watches a prefix until the test ends. The client takes the watch up again wherever its stream breaks.
func record(t testing.TB, client *clientv3.Client, prefix string, from int64, name string) *recording {
	t.Helper()
	r := &recording{name: name}
	ctx, cancel := context.WithCancel(context.Background())
	watch := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(from))
	r.done.Go(func() {
		for response := range watch {
			if err := response.Err(); err != nil {
				t.Errorf("%s: the watch ended: %v", name, err)
				return
			}
			if len(response.Events) == 0 {
				continue
			}
			if at := r.last.Load(); response.Events[0].Kv.ModRevision == at {
				t.Errorf("%s: revision %d came in two responses", name, at)
			}
			r.mu.Lock()
			r.events = append(r.events, response.Events...)
			r.mu.Unlock()
			r.last.Store(response.Events[len(response.Events)-1].Kv.ModRevision) // after them: whoever waits for it finds them
		}
	})
	t.Cleanup(func() {
		cancel()
		r.done.Wait()
	})
	return r
}

func (r *recording) await(t testing.TB, revision int64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s sees revision %d", r.name, revision), func() error {
		if at := r.last.Load(); at < revision {
			return fmt.Errorf("it is at %d", at)
		}
		return nil
	})
}

// equals checks that the recording is the history, no more and no less. The history is read through another member's log, without
// previous values; those must be the values that the history itself gives.
func (r *recording) equals(t testing.TB, want []*clientv3.Event) {
	t.Helper()
	r.await(t, want[len(want)-1].Kv.ModRevision)
	r.mu.Lock()
	defer r.mu.Unlock()
	before := map[string]*clientv3.Event{}
	var expected []*clientv3.Event
	for _, event := range want {
		copied := &clientv3.Event{Type: event.Type, Kv: event.Kv}
		if last := before[string(event.Kv.Key)]; last != nil && last.Type == clientv3.EventTypePut {
			copied.PrevKv = last.Kv
		}
		before[string(event.Kv.Key)] = event
		expected = append(expected, copied)
	}
	got := tell(r.events[:min(len(r.events), len(expected))])
	if wanted := tell(expected); got != wanted {
		t.Errorf("%s: %d events, want %d: %s", r.name, len(r.events), len(expected), firstDifference(got, wanted))
	} else if more := r.events[len(expected):]; len(more) > 0 && more[0].Kv.ModRevision <= want[len(want)-1].Kv.ModRevision {
		t.Errorf("%s: after the end of the history comes: %s", r.name, tell(more[:1]))
	}
}

// changesWork puts and deletes under a prefix, one revision after the other, some of them of many keys.
func changesWork(t testing.TB, prefix string, clients ...*clientv3.Client) *workload {
	w := newWorkload(t, "changes under "+prefix)
	n := 0
	w.loop(func(ctx context.Context) error {
		n++
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // an outcome that stays unknown does no harm here
		defer cancel()
		client := clients[n%len(clients)]
		key := func() string { return fmt.Sprintf("%s%02d", prefix, rand.IntN(20)) }
		var err error
		switch n % 5 {
		case 0:
			_, err = client.Delete(ctx, key())
		case 1:
			var ops []clientv3.Op
			for i := range 10 {
				ops = append(ops, clientv3.OpPut(fmt.Sprintf("%sbatch/%d", prefix, i), fmt.Sprint(n)))
			}
			_, err = client.Txn(ctx).Then(ops...).Commit()
		default:
			_, err = client.Put(ctx, key(), fmt.Sprint(n))
		}
		return err
	})
	return w
}

// A watch goes on where it broke when the member that it is on is killed, whether it comes back or another takes the client in.
func TestWatch_MemberKilled(t *testing.T) {
	long(t)
	t.Parallel()
	c := startCluster(t, 3)
	from := headRevision(t, c) + 1
	watched := c.others(c.leader())[0]
	anywhere := record(t, newClient(t, c.members...), "kill/", from, "the client of all members")
	only := record(t, newClient(t, watched), "kill/", from, "the client of "+watched.name)
	writes := changesWork(t, "kill/", newClient(t, c.members...))
	victims := []*member{watched, c.leader()}
	if full {
		for range 4 {
			victims = append(victims, watched, c.members[rand.IntN(3)])
		}
	}
	for _, m := range victims {
		writes.awaitSteps(50)
		m.kill()
		writes.awaitSteps(50)
		m.start()
		m.awaitServing()
		awaitRevision(t, newClient(t, m), m, headRevision(t, c))
	}
	writes.awaitSteps(50)
	writes.stop()
	events := history(t, newClient(t, c.others(watched)...), "kill/", from)
	anywhere.equals(t, events)
	only.equals(t, events)
}

// Watches on a member live through its catching up from a snapshot: while it stood still with the stream open, and while it was down.
func TestWatch_MemberGetsASnapshot(t *testing.T) {
	long(t)
	t.Parallel()
	c := startCluster(t, 3, "--snapshot-count", "100", "--snapshot-catchup-entries", "10")
	from := headRevision(t, c) + 1
	leader := c.leader()
	follower := c.others(leader)[0]
	r := record(t, newClient(t, follower), "snapshot/", from, "the client of "+follower.name)
	client := newClient(t, c.others(follower)...)
	large := strings.Repeat("v", 8000) // so that what was sent to the member before does not reach far
	write := func(n int) (last int64) {
		t.Helper()
		for i := range n {
			eventually(t, "a write is acknowledged", func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				answer, err := client.Put(ctx, fmt.Sprintf("snapshot/%02d", i%30), large)
				if err == nil {
					last = answer.Header.Revision
				}
				return err
			})
		}
		return last
	}
	snapshots := func() int {
		return len(regexp.MustCompile(`receiving (database )?snapshot`).FindAllString(follower.logText(), -1))
	}
	r.await(t, write(5))

	follower.signal(syscall.SIGSTOP)
	last := write(100)
	outgrowLog(t, client, leader)
	follower.signal(syscall.SIGCONT)
	r.await(t, last)
	received := snapshots()
	if received == 0 {
		t.Errorf("%s woke up and caught up without a snapshot: this test tested nothing", follower.name)
	}
	r.await(t, write(5))

	follower.kill()
	last = write(100)
	outgrowLog(t, client, leader)
	follower.start()
	follower.awaitServing()
	r.await(t, last)
	if snapshots() == received && !stockEtcd { // which keeps its log for 30 s after it sent a snapshot
		t.Errorf("%s restarted and caught up without a snapshot: this test tested nothing", follower.name)
	}
	r.await(t, write(5))
	r.equals(t, history(t, client, "snapshot/", from))
}

// A watch whose client requires a leader ends when there is none; another waits.
func TestWatch_QuorumLost(t *testing.T) {
	long(t)
	t.Parallel()
	c := startCluster(t, 3)
	m := c.members[0]
	client := newClient(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	patient := client.Watch(ctx, "quorum", clientv3.WithCreatedNotify())
	requiring := client.Watch(clientv3.WithRequireLeader(ctx), "quorum", clientv3.WithCreatedNotify())
	for _, watch := range []clientv3.WatchChan{patient, requiring} {
		if r := <-watch; !r.Created {
			t.Fatalf("not created: %v", r)
		}
	}
	for _, other := range c.others(m) {
		other.kill()
	}
	next := func(watch clientv3.WatchChan) clientv3.WatchResponse {
		t.Helper()
		select {
		case r := <-watch:
			return r
		case <-time.After(answerPatience):
			t.Fatal("the watch says nothing")
		}
		return clientv3.WatchResponse{}
	}
	if r := next(requiring); !errors.Is(r.Err(), rpctypes.ErrNoLeader) {
		t.Errorf("the watch that requires a leader says: %v, %v", r, r.Err())
	}
	if r := next(client.Watch(clientv3.WithRequireLeader(ctx), "quorum")); !errors.Is(r.Err(), rpctypes.ErrNoLeader) {
		t.Errorf("a new watch that requires a leader says: %v, %v", r, r.Err())
	}
	for _, other := range c.others(m) {
		other.start()
	}
	c.awaitServing()
	again := client.Watch(clientv3.WithRequireLeader(ctx), "quorum", clientv3.WithCreatedNotify())
	if r := next(again); !r.Created {
		t.Errorf("with a leader again: %v, %v", r, r.Err())
	}
	put(t, newClient(t, c.members[1]), "quorum", "back")
	for name, watch := range map[string]clientv3.WatchChan{"patient": patient, "new": again} {
		if r := next(watch); len(r.Events) != 1 || string(r.Events[0].Kv.Value) != "back" {
			t.Errorf("the %s watch says: %v, %v", name, r, r.Err())
		}
	}
}

// Clients that open watches and read nothing cost the server no copies of what they do not read, and nobody else any time.
func TestWatch_ClientsThatDoNotRead(t *testing.T) {
	long(t)
	t.Parallel()
	const (
		slow      = 20
		puts      = 128
		valueSize = 128 << 10 // 16 MiB in all: 320 MiB if kept for each
	)
	c := startCluster(t, 1)
	m := c.members[0]
	client := newClient(t, m)
	from := headRevision(t, c) + 1
	var streams []*watchStream
	for range slow {
		s := openUnreadWatch(t, m)
		s.create(&pb.WatchCreateRequest{Key: []byte("slow/"), RangeEnd: []byte("slow0"), StartRevision: from, PrevKv: true})
		streams = append(streams, s)
	}
	reader := record(t, newClient(t, m), "slow/", from, "the client that reads")
	before := residentMemory(t, m)
	last := int64(0)
	for i := range puts {
		ctx, cancel := context.WithTimeout(t.Context(), answerPatience)
		answer, err := client.Put(ctx, fmt.Sprintf("slow/%d", i%5), strings.Repeat(fmt.Sprint(i%10), valueSize))
		cancel()
		if err != nil {
			t.Fatalf("put %d: %v", i, err)
		}
		last = answer.Header.Revision
	}
	reader.await(t, last)
	if before > 0 {
		growth := residentMemory(t, m) - before
		t.Logf("the server grew by %d MiB", growth>>20)
		if bound := int64(slow * puts * valueSize / 2); growth > bound {
			t.Errorf("the server grew by %d MiB, more than %d", growth>>20, bound>>20)
		}
	}
	// They read after all: nothing is missing.
	for n, s := range streams[:3] {
		revision := from - 1
		for revision < last {
			r, err := s.stream.Recv()
			if err != nil || r.Canceled {
				t.Fatalf("slow client %d at revision %d: %v, %v", n, revision, r, err)
			}
			for _, e := range r.Events {
				if revision++; e.Kv.ModRevision != revision {
					t.Fatalf("slow client %d: revision %d instead of %d", n, e.Kv.ModRevision, revision)
				}
			}
		}
	}
}

// residentMemory returns the size of a member's process in memory, in bytes; 0 where the system does not tell.
func residentMemory(t testing.TB, m *member) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
