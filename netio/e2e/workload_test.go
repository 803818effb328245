package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// workload is something that clients do again and again while members fall and rise.
type workload struct {
	t      testing.TB
	name   string
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
	steps  atomic.Int64 // steps that succeeded
	failed atomic.Pointer[error]
}

// stepPatience is how long a step may take: longer than any server's own patience with a request, so that its answer tells the outcome.
const stepPatience = 20 * time.Second

// pace is the rest after a step: tests that run at the same time want their share of the machine.
const pace = 5 * time.Millisecond

func newWorkload(t testing.TB, name string) *workload {
	ctx, cancel := context.WithCancel(context.Background())
	w := &workload{t: t, name: name, ctx: ctx, cancel: cancel}
	t.Cleanup(w.stop)
	return w
}

// loop repeats step until the workload is stopped. A step that fails is one that met a fault; what must never be is for the step
// itself to report.
func (w *workload) loop(step func(ctx context.Context) error) {
	w.group.Go(func() {
		for w.ctx.Err() == nil {
			ctx, cancel := context.WithTimeout(w.ctx, stepPatience)
			err := step(ctx)
			cancel()
			rest := pace
			if err == nil {
				w.steps.Add(1)
			} else {
				w.failed.Store(&err)
				rest = 20 * time.Millisecond
			}
			select {
			case <-w.ctx.Done():
			case <-time.After(rest):
			}
		}
	})
}

// awaitSteps waits until n steps more have succeeded.
func (w *workload) awaitSteps(n int64) {
	w.t.Helper()
	want := w.steps.Load() + n
	eventually(w.t, fmt.Sprintf("%s: %d further steps", w.name, n), func() error {
		if missing := want - w.steps.Load(); missing > 0 {
			if err := w.failed.Load(); err != nil {
				return fmt.Errorf("%d are missing; last a step failed with: %w", missing, *err)
			}
			return fmt.Errorf("%d are missing", missing)
		}
		return nil
	})
}

// stop ends the steps and waits for them. It may be called again.
func (w *workload) stop() {
	w.cancel()
	w.group.Wait()
}

// killLeaders kills and restarts one leader after the other, while every workload must get on before, without the leader, and after.
func killLeaders(t testing.TB, c *cluster, rounds int, loads ...*workload) {
	t.Helper()
	const some = 5
	getOn := func(when string) {
		t.Helper()
		begin := time.Now()
		for _, w := range loads {
			w.awaitSteps(some)
		}
		t.Logf("%s: all got on within %v", when, time.Since(begin).Round(time.Millisecond))
	}
	for range rounds {
		getOn("undisturbed")
		leader := c.leader()
		leader.kill()
		getOn(leader.name + ", the leader, killed")
		leader.start()
		leader.awaitServing()
		awaitRevision(t, newClient(t, leader), leader, headRevision(t, c)) // or the next kill might leave no majority
	}
	getOn("undisturbed again")
	for _, w := range loads {
		w.stop()
		t.Logf("%s: %d steps", w.name, w.steps.Load())
	}
}

// history returns every event of the keys with a prefix, from a revision to now, as the event log of a member tells it.
func history(t testing.TB, client *clientv3.Client, prefix string, from int64) []*clientv3.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	end := prefix + "\xff end of history"
	if _, err := client.Put(ctx, end, ""); err != nil {
		t.Fatal(err)
	}
	var events []*clientv3.Event
	for response := range client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if err := response.Err(); err != nil {
			t.Fatalf("the history of %s: %v", prefix, err)
		}
		for _, event := range response.Events {
			if string(event.Kv.Key) == end {
				return events
			}
			events = append(events, event)
		}
	}
	t.Fatalf("the history of %s ends after %d events", prefix, len(events))
	return nil
}

// revisions groups events by revision and complains about any order but an ascending one.
func revisions(t testing.TB, events []*clientv3.Event) (groups [][]*clientv3.Event) {
	t.Helper()
	last := int64(0)
	for _, event := range events {
		switch revision := event.Kv.ModRevision; {
		case revision < last:
			t.Errorf("revision %d comes after %d", revision, last)
		case revision == last:
			groups[len(groups)-1] = append(groups[len(groups)-1], event)
			continue
		}
		last = event.Kv.ModRevision
		groups = append(groups, []*clientv3.Event{event})
	}
	return groups
}

// tell writes events so that two lists can be compared and read.
func tell(events []*clientv3.Event) string {
	var out strings.Builder
	for _, e := range events {
		fmt.Fprintf(&out, "%s %s=%q mod=%d create=%d version=%d", e.Type, e.Kv.Key, e.Kv.Value, e.Kv.ModRevision, e.Kv.CreateRevision, e.Kv.Version)
		if e.PrevKv != nil {
			fmt.Fprintf(&out, " before=%q mod=%d", e.PrevKv.Value, e.PrevKv.ModRevision)
		}
		out.WriteString("\n")
	}
	return out.String()
}
