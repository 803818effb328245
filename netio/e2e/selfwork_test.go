package e2e

import (
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// complaints is a testing.TB that counts errors instead of failing with them.
type complaints struct {
	testing.TB
	errors []string
}

func (c *complaints) Errorf(format string, arguments ...any) {
	c.errors = append(c.errors, fmt.Sprintf(format, arguments...))
}

// What the tests of watches, locks and elections compare with notices what it is for.
func TestChecks_NoticeWhatMustNotBe(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	client := newClient(t, c.members...)
	from := headRevision(t, c) + 1
	first := put(t, client, "office/1", "a")
	second := put(t, client, "office/2", "b") // after the leader, so it waits
	put(t, client, "office/1", "a2")
	del(t, client, "office/1")
	third := put(t, client, "office/2", "b2")
	count := func(check func(testing.TB)) int {
		t.Helper()
		heard := &complaints{TB: t}
		check(heard)
		return len(heard.errors)
	}
	for _, one := range []struct {
		what       string
		proclaimed map[int64]string
		complaints int
	}{
		{"the leaders of the time", map[int64]string{first: "office/1", third: "office/2"}, 0},
		{"one who waited", map[int64]string{first: "office/1", second: "office/2"}, 1},
		{"one who no longer led", map[int64]string{third: "office/1"}, 1},
		{"a proclamation that is lost", map[int64]string{first: "office/1", third + 1000: "office/2"}, 1},
	} {
		if got := count(func(t testing.TB) { checkElection(t, client, "office/", from, one.proclaimed) }); got != one.complaints {
			t.Errorf("%s proclaimed: %d complaints, want %d", one.what, got, one.complaints)
		}
	}

	events := history(t, client, "office/", from)
	recorded := record(t, client, "office/", from, "the recording")
	recorded.await(t, events[len(events)-1].Kv.ModRevision)
	saw := func(seen ...*clientv3.Event) func(testing.TB) {
		r := &recording{name: "a recording", events: seen}
		r.last.Store(events[len(events)-1].Kv.ModRevision)
		return func(t testing.TB) { r.equals(t, events) }
	}
	right := recorded.events[:len(events)]
	for what, seen := range map[string][]*clientv3.Event{
		"an event less":         append(append([]*clientv3.Event{}, right[:2]...), right[3:]...),
		"an event twice":        append(append([]*clientv3.Event{}, right[:2]...), right[1:]...),
		"two in another order":  append([]*clientv3.Event{right[1], right[0]}, right[2:]...),
		"an end that is missed": right[:len(right)-1],
		"an end that is twice":  append(right[:len(right):len(right)], right[len(right)-1]),
	} {
		if got := count(saw(seen...)); got == 0 {
			t.Errorf("%s: no complaint", what)
		}
	}
	if got := count(saw(right...)); got != 0 {
		t.Errorf("all as it was: %d complaints", got)
	}
	if got := count(func(t testing.TB) { revisions(t, []*clientv3.Event{events[1], events[0]}) }); got == 0 {
		t.Error("revisions that go back: no complaint")
	}
}
