package watch_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/watch"
)

func TestProgress_OfAll(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	c.progress()
	c.expect(t) // as etcd, silent without watchers
	c.create(&pb.WatchCreateRequest{Key: []byte("a")})
	c.create(&pb.WatchCreateRequest{Key: []byte("b")})
	c.progress()
	c.progress()
	c.expect(t, created(0, 1), created(1, 1), progressed(-1, 1))
	w.put("c", "")
	w.catchUp()
	c.progress()
	c.expect(t, progressed(-1, 2))
	w.put("a", "")
	w.put("c", "")
	w.catchUp()
	c.progress()
	c.expect(t, w.told(0, 3, 3), progressed(-1, 4))
}

// TestProgress_NeverOvertakesEvents, though each step is too small for them.
func TestProgress_NeverOvertakesEvents(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{ChunkBytes: 1})
	c.create(&pb.WatchCreateRequest{Key: []byte("a")})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 1, ProgressNotify: true})
	c.drain()
	w.put("a", "")
	w.put("a", "")
	w.catchUp()
	c.progress()
	c.notify()
	c.create(&pb.WatchCreateRequest{Key: []byte("b"), StartRevision: 2, ProgressNotify: true})
	c.expect(t, created(2, 3), w.told(0, 2, 2), w.told(1, 2, 2), w.told(0, 3, 3), w.told(1, 3, 3), progressed(-1, 3))
}

// TestProgress_BeforeAttachment: what is published between a creation and its attachment is told before the progress, too.
func TestProgress_BeforeAttachment(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), ProgressNotify: true})
	c.drain()
	attach := w.waiting
	w.waiting = nil
	w.put("a", "")
	w.catchUp()
	c.progress()
	c.notify()
	c.expect(t, w.told(0, 2, 2), progressed(-1, 2))
	w.waiting = attach
	w.attach()
	c.expect(t)
}

// TestProgress_WhileTheTurnGoesOn: a view with a compaction is published, and the hub has not said yet whom its events concern. A watch that
// they do not concern is not cancelled for that.
func TestProgress_WhileTheTurnGoesOn(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), ProgressNotify: true})
	c.drain()
	w.attach()
	w.put("b", "")
	w.put("b", "")
	w.compact(3)
	w.local.BeforeCompaction(func() { w.hub.Look(w.local.Changes, w.local.Revision()) })
	for _, r := range w.log {
		applyTo(t, w.local, r)
	}
	w.applied = len(w.log)
	w.view = w.local.Publish()
	c.progress()
	c.notify()
	for range 3 {
		if got := c.step(); len(got) > 0 || !c.due {
			t.Fatalf("%v, and more to do: %v", got, c.due)
		}
	}
	w.hub.Publish(w.view, false)
	c.expect(t, progressed(0, 3), progressed(-1, 3))
}

func TestProgress_NotOfTheFuture(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 4, ProgressNotify: true})
	c.create(&pb.WatchCreateRequest{Key: []byte("b"), StartRevision: 2, ProgressNotify: true}) // the head's next: no future
	c.progress()
	c.notify()
	c.expect(t, created(0, 1), created(1, 1), progressed(1, 1))
	c.cancel(0)
	c.progress()
	c.expect(t, canceled(0, 1), progressed(-1, 1))
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 3})
	w.put("c", "")
	w.catchUp()
	c.progress()
	c.expect(t, created(2, 1), progressed(-1, 2))
}

func TestProgress_Periodic(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), ProgressNotify: true})
	c.create(&pb.WatchCreateRequest{Key: []byte("b"), ProgressNotify: true})
	c.create(&pb.WatchCreateRequest{Key: []byte("b")})
	c.drain()
	w.put("a", "")
	w.catchUp()
	c.expect(t, w.told(0, 2, 2))
	c.notify()
	c.expect(t, progressed(1, 2)) // the first was sent something
	w.put("c", "")
	w.catchUp()
	c.notify()
	c.expect(t, progressed(0, 3), progressed(1, 3))
	w.put("a", "")
	w.catchUp()
	c.notify()
	c.expect(t, w.told(0, 4, 4), progressed(1, 4)) // the events came first and stand for it
	c.notify()
	c.cancel(1)
	c.expect(t, canceled(1, 4)) // still elided for the first
	c.notify()
	c.expect(t, progressed(0, 4))
}
