package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/linearizability/watches"
)

// Watches of real processes over real connections keep all that package linearizability says is promised of them: many watchers, with all
// options, that go on after their streams break, while changes and compactions happen. Here one change follows the other without a rest, and
// clients ask for progress all the time: what is published while an answer is made must not get lost.
func TestWatchPromises_OneMember(t *testing.T) {
	p := newPromises(t, 1)
	p.writer.together, p.restless = 100, true
	p.run(2*time.Second, 20*time.Second, func(until time.Time) { time.Sleep(time.Until(until)) })
}

// The same where watchers go on at any of three members, of which one after the other is killed and comes back.
func TestWatchPromises_MembersKilled(t *testing.T) {
	long(t)
	t.Parallel()
	p := newPromises(t, 3)
	p.run(5*time.Second, 60*time.Second, func(until time.Time) {
		for {
			p.writer.load.awaitSteps(30)
			if !time.Now().Before(until) {
				return
			}
			m := p.members[rand.IntN(len(p.members))]
			m.kill()
			m.runs.Add(1)
			p.writer.load.awaitSteps(15)
			m.start()
			m.awaitServing()
			awaitRevision(t, newClient(t, m.member), m.member, p.writer.head.Load()) // or the next kill might leave no majority
		}
	})
}

// promises is a cluster, one that writes to it, and many that watch. What they see is numbered in one order.
type promises struct {
	t        testing.TB
	cluster  *cluster
	members  []*livedMember
	stamps   atomic.Uint64
	writer   *promiseWriter
	restless bool // clients do something all the time, and mostly ask for progress

	mu       sync.Mutex
	records  []*watches.Record // in the order of their requests
	seen     map[string]int    // how much of each kind
	streams  sync.WaitGroup
	ending   atomic.Bool   // streams that stand go on to the end
	end      chan struct{} // closed: streams end
	standing atomic.Int64  // streams that stand and go on to the end
}

// livedMember counts the lives of a member's process. The count grows when one life is over for sure and the next has not begun, so what
// begins and has an answer within one count is of that life.
type livedMember struct {
	*member
	runs atomic.Uint64
}

// promiseStreams is how many clients watch, each on one stream at a time.
const promiseStreams = 5

func newPromises(t testing.TB, members int) *promises {
	t.Helper()
	p := &promises{t: t, seen: map[string]int{}, end: make(chan struct{})}
	// The limit for requests is also what a response may have, with half a MiB more, before it is cut: see largeSteps.
	p.cluster = startCluster(t, members, "--watch-progress-notify-interval", "300ms", "--max-request-bytes", fmt.Sprint(requestBytesMax))
	for _, m := range p.cluster.members {
		p.members = append(p.members, &livedMember{member: m})
	}
	p.writer = newPromiseWriter(t, p)
	return p
}

// stamp numbers an event.
func (p *promises) stamp() uint64 { return p.stamps.Add(1) }

// run has all write and watch while something happens, and then judges. short and full are how long that is to go on, in either form.
func (p *promises) run(short, fullForm time.Duration, happen func(until time.Time)) {
	p.t.Helper()
	length := short
	if full {
		length = fullForm
	}
	stop := sync.OnceFunc(func() {
		p.writer.load.stop()
		close(p.end)
		p.streams.Wait()
	})
	p.t.Cleanup(stop)
	p.writer.begin()
	for client := range promiseStreams {
		p.streams.Go(func() { (&promiseClient{promises: p, name: client, kept: map[string][]byte{}}).live() })
	}
	happen(time.Now().Add(length))
	eventually(p.t, "some of everything was seen", p.unseen)
	p.writer.finish()
	p.ending.Store(true)

	truth := p.writer.truth()
	eventually(p.t, "all streams stand", func() error {
		if n := p.standing.Load(); n < promiseStreams {
			return fmt.Errorf("%d of %d", n, promiseStreams)
		}
		return nil
	})
	eventually(p.t, "all watches are told of everything", func() error {
		if v := watches.CheckCaughtUp(truth, p.snapshot(true), p.writer.head.Load()); v != nil {
			return told(v)
		}
		return nil
	})
	stop()
	p.t.Logf("%d changes up to revision %d, %d watches: %v", len(p.writer.log), truth.Revision(), len(p.records), p.seen)
	if stockEtcd {
		for _, r := range p.records {
			forgoPrevKV(r)
		}
	}
	if v := watches.Check(truth, p.records); v != nil {
		p.t.Error(told(v))
	}
}

// snapshot copies the records, all or those of watches that live, so that they can be looked at while more is told.
func (p *promises) snapshot(live bool) (records []*watches.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.records {
		if r.Live || !live {
			copied := *r
			records = append(records, &copied)
		}
	}
	return records
}

// kinds are what every run must have seen of.
var kinds = []string{"events", "fragments", "bookmarks", "canceled watches", "watches that a compaction overtook", "watches that go on"}

// count is called with the lock held.
func (p *promises) count(m *pb.WatchResponse) {
	p.seen["events"] += len(m.Events)
	switch {
	case m.Fragment:
		p.seen["fragments"]++
	case m.CompactRevision > 0:
		p.seen["watches that a compaction overtook"]++
	case m.Canceled:
		p.seen["canceled watches"]++
	case len(m.Events) == 0 && !m.Created:
		p.seen["bookmarks"]++
	}
}

// unseen names a kind that has not been seen; nil if there is none.
func (p *promises) unseen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, kind := range kinds {
		if n := p.seen[kind]; n == 0 {
			return fmt.Errorf("no %s", kind)
		}
	}
	return nil
}

// forgoPrevKV makes a watch one that did not ask for prev_kv, if a response came without any that had to have some. etcd begins to read events
// for a watch before it notes that prev_kv was asked for, so the first ones may come without.
func forgoPrevKV(r *watches.Record) {
	bare := func(told watches.Told) bool {
		some := func(has func(e *mvccpb.Event) bool) bool { return slices.ContainsFunc(told.Response.Events, has) }
		return some(func(e *mvccpb.Event) bool { return !(&clientv3.Event{Type: e.Type, Kv: e.Kv}).IsCreate() }) &&
			!some(func(e *mvccpb.Event) bool { return e.PrevKv != nil })
	}
	if !r.Request.PrevKv || !slices.ContainsFunc(r.Told, bare) {
		return
	}
	r.Request.PrevKv = false
	for _, told := range r.Told {
		for _, e := range told.Response.Events {
			e.PrevKv = nil
		}
	}
}

// told is a violation with so much of its story as one can read: values are long.
func told(v *linearizability.Violation) error {
	const most = 3000
	story := v.Error()
	if len(story) > most {
		story = story[:most] + " …"
	}
	return fmt.Errorf("%s", story)
}
