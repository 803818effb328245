package watch_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

func TestStep_FiltersAndPrevKV(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT}})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE}})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), PrevKv: true})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), Filters: []pb.WatchCreateRequest_FilterType{
		pb.WatchCreateRequest_NODELETE, pb.WatchCreateRequest_NOPUT}})
	c.drain()
	w.put("a", "1")
	w.put("a", "2")
	w.del("a")
	w.catchUp()
	prev := w.told(2, 4, 2, 3, 4)
	prev.Events[1].PrevKv, prev.Events[2].PrevKv = w.history[0].event.Kv, w.history[1].event.Kv
	c.expect(t, w.told(0, 4, 4), w.told(1, 4, 2, 3), prev)
}

func TestStep_PrevKVOfACompactedRevisionIsLeftOut(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.put("a", "")
	}
	w.compact(3)
	w.catchUp()
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), PrevKv: true, StartRevision: 3})
	want := w.told(0, 4, 3, 4)
	want.Events[1].PrevKv = w.history[1].event.Kv
	c.expect(t, created(0, 4), want)
}

func TestStep_OvertakenByACompaction(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{Key: []byte("a")})                                        // slow
	c.create(&pb.WatchCreateRequest{Key: []byte("b")})                                        // nothing happens to it
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 5})                      // begins later
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 4, RangeEnd: []byte{0}}) // likewise
	c.drain()
	w.put("a", "") // 2
	w.put("c", "")
	w.turn(2)
	w.put("c", "") // 4
	w.put("a", "") // 5
	w.compact(4)
	w.turn(2)
	w.turn(1)
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 3})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 4})
	c.expect(t, created(4, 5), created(5, 5), compacted(0, 4), w.told(2, 5, 5), compacted(4, 4), w.told(3, 5, 4, 5), w.told(5, 5, 5))
	w.put("b", "")
	w.compact(6)
	w.catchUp()
	c.expect(t, w.told(1, 6, 6), w.told(3, 6, 6))
	c.cancel(0) // it is gone
	c.expect(t)
}

func TestStep_AfterARestoredSnapshot(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{Key: []byte("a")})
	c.create(&pb.WatchCreateRequest{Key: []byte("b"), StartRevision: 7})
	w.put("a", "")
	w.catchUp()
	c.expect(t, created(0, 1), created(1, 1), w.told(0, 2, 2))
	w.put("a", "")
	w.put("a", "")
	w.restore()
	c.expect(t, w.told(0, 4, 3, 4))
	w.put("a", "")
	w.put("a", "")
	w.compact(6)
	w.restore()
	c.expect(t, compacted(0, 6))
	w.put("b", "")
	w.catchUp()
	c.expect(t, w.told(1, 7, 7))
}

// TestStep_NeverSplitsARevision, however small the chunks are.
func TestStep_NeverSplitsARevision(t *testing.T) {
	w := newWorld(t)
	w.txn("a", "b", "c")
	w.txn("a", "b", "c")
	w.txn("d", "e", "f")
	w.catchUp()
	c := w.client(watch.Options{ChunkBytes: 1})
	c.create(&pb.WatchCreateRequest{RangeEnd: []byte{0}, StartRevision: 1})
	c.expect(t, created(0, 4), w.told(0, 2, 2), w.told(0, 3, 3), w.told(0, 4, 4))
}

// TestStep_PacksWholeRevisions: one response has as many revisions as the bounds allow, one at least, and none in part.
func TestStep_PacksWholeRevisions(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.put("a", strings.Repeat("v", 700))
	}
	w.txn("b", "c", "d")                  // 5
	w.put("a", strings.Repeat("v", 5000)) // 6, larger than a pack
	w.put("a", "")                        // 7
	w.put("b", "")
	w.catchUp()
	watched := func(o watch.Options) *client {
		c := w.client(o)
		c.create(&pb.WatchCreateRequest{RangeEnd: []byte{0}, StartRevision: 1})
		return c
	}
	watched(watch.Options{}).expect(t, created(0, 8), w.told(0, 8, 2, 3, 4, 5, 6, 7, 8))
	watched(watch.Options{PackBytes: 1600}).expect(t,
		created(0, 8), w.told(0, 3, 2, 3), w.told(0, 5, 4, 5), w.told(0, 6, 6), w.told(0, 8, 7, 8))
	watched(watch.Options{PackEvents: 4}).expect(t, created(0, 8), w.told(0, 5, 2, 3, 4, 5), w.told(0, 8, 6, 7, 8))
	watched(watch.Options{PackEvents: 1}).expect(t, created(0, 8),
		w.told(0, 2, 2), w.told(0, 3, 3), w.told(0, 4, 4), w.told(0, 5, 5), w.told(0, 6, 6), w.told(0, 7, 7), w.told(0, 8, 8))
	watched(watch.Options{ChunkBytes: 1000, PackBytes: 2000}).expect(t,
		created(0, 8), w.told(0, 3, 2, 3), w.told(0, 5, 4, 5), w.told(0, 6, 6), w.told(0, 8, 7, 8))

	// A live watcher that is a little behind gets a pack, too, and fragments of it where it asked for these.
	c := w.client(watch.Options{FragmentBytes: 200})
	c.create(&pb.WatchCreateRequest{Key: []byte("x"), RangeEnd: []byte("z")})
	c.create(&pb.WatchCreateRequest{Key: []byte("x"), RangeEnd: []byte("z"), Fragment: true})
	c.drain()
	w.attach()
	w.txn("x", "xx") // 9
	w.put("y", strings.Repeat("v", 50))
	w.put("x", strings.Repeat("v", 50))
	w.catchUp()
	first, second := w.told(1, 11, 9, 10), w.told(1, 11, 11)
	first.Fragment = true
	c.expect(t, w.told(0, 11, 9, 10, 11), first, second)
}

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

func TestStep_EncodesOnce(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	for range 3 {
		c.create(&pb.WatchCreateRequest{Key: []byte("a")})
	}
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 3}) // of its own mind: the last part of the same bytes
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 9})
	c.drain()
	w.put("a", "2")
	w.put("a", "3")
	w.catchUp()
	out, more := c.stream.Step()
	if len(out) != 4 || more {
		t.Fatalf("%d answers, more: %v", len(out), more)
	}
	for _, r := range out[1:3] {
		if &r.Events[0] != &out[0].Events[0] {
			t.Errorf("watch %d has bytes of its own", r.WatchID)
		}
	}
	whole, part := out[0].Events, out[3].Events
	if &part[len(part)-1] != &whole[len(whole)-1] || !proto.Equal(out[3].Message(&pb.ResponseHeader{}), w.told(3, 3, 3)) {
		t.Errorf("the watch that started later was told %v", out[3].Message(nil))
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

func TestStep_NothingToDo(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{Key: []byte("a")})
	c.drain()
	w.catchUp()
	w.put("b", "")
	w.catchUp()
	if c.wakes != 0 {
		t.Errorf("woken for another key")
	}
	if out, more := c.stream.Step(); len(out) > 0 || more {
		t.Errorf("%v, %v", out, more)
	}
}

func TestBehind_CountsThoseThatLag(t *testing.T) {
	w := newWorld(t)
	for range 4 {
		w.put("a", "")
	}
	w.catchUp()
	c := w.client(watch.Options{ChunkBytes: 1})
	for _, start := range []int64{0, 2, 2, 4} {
		c.create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: start})
	}
	if n := c.stream.Behind(); n != 3 {
		t.Errorf("%d are behind", n)
	}
	c.drain()
	w.put("a", "")
	w.put("a", "")
	w.catchUp()
	c.step()
	if n := c.stream.Behind(); n != 4 {
		t.Errorf("%d are behind after half of what is new", n)
	}
	c.drain()
	if n := c.stream.Behind(); n != 0 {
		t.Errorf("%d are behind in the end", n)
	}
}

// TestStep_ArrivesWhileOthersLag: one that has caught up joins others that have not got so far, and is told nothing twice.
func TestStep_ArrivesWhileOthersLag(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{ChunkBytes: 1})
	c.create(&pb.WatchCreateRequest{Key: []byte("a")})
	c.drain()
	for range 4 {
		w.put("a", "")
	}
	w.catchUp()
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 5})
	told := map[int64][]int64{}
	for _, m := range c.drain() {
		for _, e := range m.Events {
			told[m.WatchId] = append(told[m.WatchId], e.Kv.ModRevision)
		}
	}
	if want := map[int64][]int64{0: {2, 3, 4, 5}, 1: {5}}; !reflect.DeepEqual(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
