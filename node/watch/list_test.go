package watch_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/watch"
)

// The list that a step returns is made anew only where it was longer than what the stream's watchers usually need.
func TestStep_UsesItsListAgain(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{FragmentBytes: 65}) // every event is a fragment of its own
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), Fragment: true})
	c.drain()
	step := func(puts int) []watch.Response {
		t.Helper()
		for range puts {
			w.put("a", "1")
		}
		w.catchUp()
		out, more := c.stream.Step()
		if len(out) != puts || more {
			t.Fatalf("%d answers to %d events, more: %v", len(out), puts, more)
		}
		return out
	}
	first := step(2)
	events := first[1].Events
	kept := string(events)
	if again := step(2); &again[0] != &first[0] {
		t.Error("a short list was not used again")
	}
	if string(events) != kept {
		t.Error("the events of a step were changed by the next")
	}
	long := step(1000)
	if again := step(1); &again[0] == &long[0] {
		t.Error("a long list was kept")
	}
}
