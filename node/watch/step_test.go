package watch_test

import (
	"fmt"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// TestStep_ASearchInVainIsNotRepeated: whoever lags behind in many changes of few keys does not look for them by key in each step.
func TestStep_ASearchInVainIsNotRepeated(t *testing.T) {
	p := &benchPort{m: statemachine.New()}
	const revisions = 40_000
	for i := range revisions {
		applyTo(t, p.m, &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("k"), Value: fmt.Append(nil, i)}})
	}
	p.publish()
	v := p.AcquireView()
	defer v.Release()
	events, err := v.EventsIn([]byte("k"), nil, 2, v.Revision())
	if err != nil || events.Vain() == 0 || events.Remaining() != revisions {
		t.Fatalf("%d looks in vain, %d events, %v", events.Vain(), events.Remaining(), err)
	}
	s := watch.NewStream(p, watch.Options{ChunkBytes: 10_000, Wake: func() {}})
	s.Handle(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k"), StartRevision: 2}}})
	var most, told int
	for more := true; more; {
		var out []watch.Response
		out, more = s.Step()
		for _, r := range out {
			told += r.EventCount
		}
		most = max(most, s.SearchesInVain())
	}
	if told != revisions || most > 2 {
		t.Errorf("%d events, %d searches in vain", told, most)
	}
}

// TestStep_GathersAChunk: the size of a step does not grow with what waits, and no view is held between steps.
func TestStep_GathersAChunk(t *testing.T) {
	w := newWorld(t)
	const chunk, value, puts = 10_000, 1000, 200
	for range puts {
		w.put("a", strings.Repeat("v", value))
	}
	w.catchUp()
	c := w.client(watch.Options{ChunkBytes: chunk})
	for range 5 { // they share what is gathered
		c.create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 2})
	}
	events := map[int64]int{}
	steps := 0
	for ; c.due; steps++ {
		distinct := map[*byte]int{}
		out, more := c.stream.Step()
		c.due = more
		for _, r := range out {
			events[r.WatchID] += r.EventCount
			if len(r.Events) > 0 {
				distinct[&r.Events[0]] = len(r.Events)
			}
		}
		for _, n := range distinct {
			if len(distinct) > 1 || n > chunk+2*value {
				t.Fatalf("%d bytes in one of %d groups", n, len(distinct))
			}
		}
		if others, _ := w.local.PinnedViews(); others != 0 {
			t.Fatalf("%d views are still in use", others)
		}
	}
	if steps < puts*value/(chunk+2*value) || steps > 2*puts*value/chunk {
		t.Errorf("%d steps", steps)
	}
	if len(events) != 5 || events[3] != puts {
		t.Errorf("events by watch: %v", events)
	}
}

// TestStep_TakesTurns: one that reads the whole past does not keep others from what happens now, nor the other way round.
func TestStep_TakesTurns(t *testing.T) {
	w := newWorld(t)
	for range 100 {
		w.put("old", strings.Repeat("v", 100))
	}
	w.catchUp()
	c := w.client(watch.Options{ChunkBytes: 1000})
	c.create(&pb.WatchCreateRequest{Key: []byte("old"), StartRevision: 2})
	c.create(&pb.WatchCreateRequest{Key: []byte("now")})
	var past, now int
	for step := 0; c.due && step < 1000; step++ {
		w.put("now", strings.Repeat("v", 2000)) // more than a chunk in each step
		w.catchUp()
		for _, m := range c.step() {
			if m.WatchId == 0 {
				past += len(m.Events)
			} else {
				now += len(m.Events)
			}
		}
		if past == 100 {
			if now < step/2 {
				t.Errorf("%d events of now in %d steps", now, step)
			}
			return
		}
	}
	t.Errorf("only %d events of the past were told, %d of now", past, now)
}
