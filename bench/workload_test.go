package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

var testWatch = watchLoad{watchers: 6, streams: 2, writers: 2, ahead: 4, valueBytes: 30, measure: 250 * time.Millisecond}

func TestWatchLoad_CountsEventsOfAllWatchers(t *testing.T) {
	f := &fakeServer{}
	addr := serveFake(t, f)
	begun := 0
	figures, err := testWatch.runOn(t.Context(), []string{addr, addr}, &fakeMeter{}, func() { begun++ })
	if err != nil || begun != 1 {
		t.Fatalf("begun %d times, %v", begun, err)
	}
	got := values(figures)
	// A second of CPU was used while the events came, so that it tells their number; the rate is over at least the time asked for.
	events := float64(time.Second) / got["server CPU/event"]
	if events < 6 || got["events/s"] <= 0 || got["events/s"]*testWatch.measure.Seconds() > events+1 {
		t.Errorf("about %.0f events: %v", events, got)
	}
	if got["puts/s"] <= 0 || got["put-to-delivery p50"] <= 0 || got["p99"] < got["put-to-delivery p50"] {
		t.Errorf("%v", got)
	}
	if f.mu.Lock(); len(f.watchers) > 2 || f.revision < 3 {
		t.Errorf("%d streams, revision %d", len(f.watchers), f.revision)
	}
	f.mu.Unlock()
}

func TestWatchLoad_FailsWhenAWatcherDoesNotGetEveryEventOnceInOrder(t *testing.T) {
	var held []*mvccpb.Event
	for name, change := range map[string]func(revision, watcher int64, e []*mvccpb.Event) []*mvccpb.Event{
		"one left out": func(revision, watcher int64, e []*mvccpb.Event) []*mvccpb.Event {
			if revision == 4 && watcher == 2 {
				return nil
			}
			return e
		},
		"one twice": func(revision, watcher int64, e []*mvccpb.Event) []*mvccpb.Event {
			if revision == 4 && watcher == 3 {
				return append(e, e...)
			}
			return e
		},
		"two exchanged": func(revision, watcher int64, e []*mvccpb.Event) []*mvccpb.Event {
			if revision == 4 && watcher == 1 {
				held = e
				return nil
			}
			if revision == 5 && watcher == 1 {
				return append(e, held...)
			}
			return e
		},
		"made up": func(revision, watcher int64, e []*mvccpb.Event) []*mvccpb.Event {
			if revision == 4 && watcher == 1 {
				return append(e, &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte("k"), ModRevision: 1}})
			}
			return e
		},
	} {
		t.Run(name, func(t *testing.T) {
			var streams atomic.Int64
			f := &fakeServer{}
			f.events = func(watcher int64, e []*mvccpb.Event) []*mvccpb.Event {
				streams.Add(1)
				return change(e[0].Kv.ModRevision, watcher, e)
			}
			w := testWatch
			w.watchers, w.streams = 3, 1
			figures, err := w.runOn(t.Context(), []string{serveFake(t, f)}, &fakeMeter{}, func() {})
			if err == nil || !strings.Contains(err.Error(), "got an event of revision") {
				t.Errorf("%v, %v", values(figures), err)
			}
		})
	}
}

func TestWatchLoad_WaitsForWhatIsOnItsWayAndNoLonger(t *testing.T) {
	f := &fakeServer{events: func(watcher int64, e []*mvccpb.Event) []*mvccpb.Event {
		if watcher == 1 {
			return nil // the first watcher of each stream never gets anything
		}
		return e
	}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := testWatch.runOn(ctx, []string{serveFake(t, f)}, &fakeMeter{}, func() {}); err == nil {
		t.Error("no error, though a third of the watchers got nothing")
	}
}

func TestWatchStream_LowestIsWhatAllWatchersHave(t *testing.T) {
	s := &watchStream{last: []int64{5, 5, 5}}
	s.lowest.Store(5)
	for _, step := range []struct {
		watcher    int
		to, lowest int64
	}{{0, 6, 5}, {0, 9, 5}, {1, 7, 5}, {2, 6, 6}, {2, 8, 7}, {1, 9, 8}, {2, 9, 9}, {0, 10, 9}, {1, 10, 9}, {2, 12, 10}} {
		before := s.last[step.watcher]
		s.last[step.watcher] = step.to
		s.advance(before, step.to)
		if got := s.lowest.Load(); got != step.lowest {
			t.Errorf("after %+v: %d", step, got)
		}
	}
}

func testLeases() leaseLoad {
	return leaseLoad{leases: 40, streams: 4, pipeline: 3, measure: 200 * time.Millisecond, idle: 20 * time.Millisecond}
}

func TestLeaseLoad_GrantsAllAndRenewsEachInTurn(t *testing.T) {
	f := &fakeServer{}
	addr := serveFake(t, f)
	l, m := testLeases(), &fakeMeter{}
	g, err := l.grant(t.Context(), []string{addr}, m)
	if err != nil || len(f.leases) != l.leases || f.leases[leaseFirst] != leaseTTL || g.perSecond <= 0 || g.cpu != time.Second {
		t.Fatalf("%d leases, %+v, %v", len(f.leases), g, err)
	}
	counts := map[int64]int{}
	f.renewed = func(r *pb.LeaseKeepAliveResponse) *pb.LeaseKeepAliveResponse {
		f.mu.Lock()
		counts[r.ID]++
		f.mu.Unlock()
		return r
	}
	figures, err := l.runOn(t.Context(), []string{addr, addr}, m, g, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if got := values(figures); got["keepalives/s"] <= 0 || got["p50"] <= 0 || got["server CPU/keepalive"] <= 0 || got["grants/s"] != g.perSecond {
		t.Errorf("%v", got)
	}
	for i := range l.leases {
		first := leaseFirst + int64(i/10*10) // of the same stream
		if n := counts[leaseFirst+int64(i)]; n > counts[first] || n < counts[first]-1 {
			t.Errorf("lease %d was renewed %d times, the first of its stream %d times", i, n, counts[first])
		}
	}
}

func TestLeaseLoad_FailsOnAWrongAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*pb.LeaseKeepAliveResponse) *pb.LeaseKeepAliveResponse
		want   string
	}{
		"the lease is gone": {func(r *pb.LeaseKeepAliveResponse) *pb.LeaseKeepAliveResponse { r.TTL = 0; return r }, "0 seconds"},
		"another lease":     {func(r *pb.LeaseKeepAliveResponse) *pb.LeaseKeepAliveResponse { r.ID += 5; return r }, "not under way"},
		"no lease":          {func(r *pb.LeaseKeepAliveResponse) *pb.LeaseKeepAliveResponse { r.ID = 1; return r }, "not under way"},
		"none":              {func(r *pb.LeaseKeepAliveResponse) *pb.LeaseKeepAliveResponse { return nil }, "before all answers"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeServer{}
			addr := serveFake(t, f)
			l := testLeases()
			if _, err := l.grant(t.Context(), []string{addr}, &fakeMeter{}); err != nil {
				t.Fatal(err)
			}
			f.renewed = c.change
			if _, err := l.runOn(t.Context(), []string{addr}, &fakeMeter{}, grants{}, func() {}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func storedKeys(n, valueBytes int) (kvs []*mvccpb.KeyValue) {
	for i := range n {
		kvs = append(kvs, &mvccpb.KeyValue{Key: keyAt(i), Value: make([]byte, valueBytes), ModRevision: int64(i + 1)})
	}
	return kvs
}

func TestRangeLoad_ReadsAllKeysEachTime(t *testing.T) {
	for _, streamed := range []bool{false, true} {
		f := &fakeServer{stored: storedKeys(100, 500)}
		r := rangeLoad{keys: 100, valueBytes: 500, streamed: streamed, measure: time.Millisecond, scratch: new([]byte)}
		figures, err := r.runOn(t.Context(), serveFake(t, f), &fakeMeter{}, func() {})
		if err != nil {
			t.Fatalf("%s: %v", r.load(), err)
		}
		messages := 1.0
		if streamed {
			messages = 15 // of seven keys each
		}
		if got := values(figures); got["messages/range"] != messages || got["p50"] <= 0 || got["slowest"] < got["p50"] || got["idle RSS"] != 5<<20 {
			t.Errorf("%s: %v", r.load(), got)
		}
	}
}

func TestRangeLoad_FailsWhenAKeyIsMissing(t *testing.T) {
	for name, change := range map[string]func(*pb.RangeResponse){
		"one key":      func(r *pb.RangeResponse) { r.Kvs = r.Kvs[1:] },
		"values":       func(r *pb.RangeResponse) { r.Kvs = storedKeys(len(r.Kvs), 1) },
		"not all":      func(r *pb.RangeResponse) { r.More = true },
		"wrong number": func(r *pb.RangeResponse) { r.Count++ },
	} {
		for _, streamed := range []bool{false, true} {
			f := &fakeServer{stored: storedKeys(20, 500), ranged: change}
			r := rangeLoad{keys: 20, valueBytes: 500, streamed: streamed, measure: time.Millisecond, scratch: new([]byte)}
			if a, err := r.ask(t.Context(), serveFake(t, f)); err == nil || !strings.Contains(err.Error(), "came of 20 keys") {
				t.Errorf("%s, streamed %v: %+v, %v", name, streamed, a, err)
			}
		}
	}
}

func TestWorkloads_OfFlags(t *testing.T) {
	good := func() options {
		return options{ops: "put,watch,bigrange,lease,replay", watchAhead: "1,20", watch: testWatch, lease: testLeases(), bigRange: rangeLoad{keys: 1, valueBytes: 1},
			replay: replayLoad{revisions: 9, valueBytes: 2}, replayKeys: "3,4", catchUp: catchUpLoad{keys: 1, valueBytes: 1, rate: 1}}
	}
	works, others, err := good().workloads()
	if err != nil || strings.Join(others, ",") != "put" {
		t.Fatalf("others %q, %v", others, err)
	}
	var names []string
	for _, w := range works {
		names = append(names, fmt.Sprintf("%s: %s", w.kind(), w.load()))
	}
	want := []string{
		"watch: 6 watchers/2 streams, 2 writers 1 ahead", "watch: 6 watchers/2 streams, 2 writers 20 ahead",
		"bigrange: Range of 1 keys of 1 bytes", "bigrange: RangeStream of 1 keys of 1 bytes", "lease: 40 leases/4 streams, 3 under way on each",
		"replay: 9 revisions of 3 keys, values of 2 bytes", "replay: 9 revisions of 4 keys, values of 2 bytes",
	}
	if strings.Join(names, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", names)
	}
	for _, bad := range []func(*options){
		func(o *options) { o.watchAhead = "0" }, func(o *options) { o.watchAhead = "x" }, func(o *options) { o.watch.watchers = 5 },
		func(o *options) { o.watch.writers = 0 }, func(o *options) { o.lease.streams = 0 }, func(o *options) { o.lease.pipeline = 11 },
		func(o *options) { o.bigRange.keys = 0 }, func(o *options) { o.replay.revisions = 0 }, func(o *options) { o.replayKeys = "3,0" },
	} {
		o := good()
		bad(&o)
		if _, _, err := o.workloads(); err == nil {
			t.Errorf("no error for %+v", o)
		}
	}
}

func TestReplayLoad_FailsUnlessEveryRevisionComesOnceInOrder(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]*mvccpb.Event) []*mvccpb.Event // of the event at revision 5
		want   string
	}{
		"right":        {func(e []*mvccpb.Event) []*mvccpb.Event { return e }, ""},
		"one left out": {func([]*mvccpb.Event) []*mvccpb.Event { return nil }, "after one of 4"},
		"one twice":    {func(e []*mvccpb.Event) []*mvccpb.Event { return append(e, e...) }, "revision 5 came after one of 5"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeServer{}
			addr := serveFake(t, f)
			r := replayLoad{revisions: 20, keys: 3, valueBytes: 10, measure: time.Millisecond, scratch: new([]byte)}
			if err := r.prepare(t.Context(), &cluster{addrs: []string{addr}}); err != nil {
				t.Fatal(err)
			}
			f.events = func(_ int64, e []*mvccpb.Event) []*mvccpb.Event {
				if e[0].Kv.ModRevision == 5 {
					return c.change(e)
				}
				return e
			}
			figures, err := r.runOn(t.Context(), addr, &fakeMeter{}, func() {})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := values(figures); got["events/s"] <= 0 || got["responses"] != 20 || got["slowest"] < got["time p50"] {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestWorkloadTable_RatiosAreAgainstEtcdAndFailuresShow(t *testing.T) {
	w, other := testWatch, testWatch
	other.ahead = 99
	round := func(rate float64, cpu time.Duration) []figure {
		return []figure{countFigure("events/s", rate, "events/s"), cpuFigure("CPU", 10*cpu, 10, "CPU"), bytesFigure("RSS", 3<<20, "")}
	}
	rounds := func(rate float64, cpu time.Duration) [][]figure {
		return [][]figure{round(3*rate, cpu), round(rate, cpu), round(2*rate, 9*cpu)}
	}
	tables := allTables(nil, []outcome{
		newOutcome(1, w, nameDetcd, rounds(100, time.Microsecond), ""), newOutcome(1, w, nameEtcd, rounds(50, 4*time.Microsecond), ""),
		newOutcome(1, other, nameDetcd, rounds(10, time.Microsecond), "round 4 broke"), newOutcome(1, other, nameEtcd, nil, "it broke"),
	})
	if len(tables) != 1 || len(tables[0].groups) != 2 {
		t.Fatalf("%+v", tables)
	}
	var text strings.Builder
	writeTables(&text, tables)
	for _, want := range [][]string{
		{"events/s", "low-high", "CPU", "RSS", "vs etcd: events/s", "vs etcd: CPU"},
		{"detcd", "200", "100 - 300", "1 µs", "3 MiB", "2.00", "0.25"},
		{"etcd", "100", "50 - 150", "4 µs", "3 MiB"},
		{"detcd", "20", "10 - 30", "1 µs", "3 MiB"},
		{"etcd", "failed: it broke"},
	} {
		if !strings.Contains(strings.Join(strings.Fields(text.String()), " "), strings.Join(want, " ")) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
}
