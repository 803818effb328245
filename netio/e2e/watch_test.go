package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What a watch answers, asked of each kind of member where it could differ.
func TestWatch(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, "--watch-progress-notify-interval", "500ms")
	leader := c.leader()
	follower := c.others(leader)[0]
	for who, m := range map[string]*member{"leader": leader, "follower": follower} {
		t.Run("PastNowFuture/"+who, func(t *testing.T) { watchFromAnyRevision(t, m) })
		t.Run("Progress/"+who, func(t *testing.T) { watchProgress(t, c, m) })
	}
	t.Run("PrevKVAndFilters", func(t *testing.T) { watchPrevKVAndFilters(t, follower) })
	t.Run("IDsAndRanges", func(t *testing.T) { watchIDsAndRanges(t, follower) })
	t.Run("Fragments", func(t *testing.T) { watchFragments(t, follower) })
	t.Run("ProgressNotify", func(t *testing.T) { watchProgressNotify(t, follower) })
	t.Run("ManyWatchers", func(t *testing.T) { manyWatchers(t, c, follower) })
	t.Run("Compacted", func(t *testing.T) { watchCompacted(t, c) }) // last, for it takes the past away
}

// must returns what a call answered.
func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(answer T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

func put(t testing.TB, client *clientv3.Client, key, value string, options ...clientv3.OpOption) (revision int64) {
	t.Helper()
	return must[*clientv3.PutResponse](t)(client.Put(t.Context(), key, value, options...)).Header.Revision
}

func del(t testing.TB, client *clientv3.Client, key string, options ...clientv3.OpOption) (revision int64) {
	t.Helper()
	return must[*clientv3.DeleteResponse](t)(client.Delete(t.Context(), key, options...)).Header.Revision
}

func watchFromAnyRevision(t *testing.T, m *member) {
	client := newClient(t, m)
	first := put(t, client, "w/a", "1")
	put(t, client, "w/b", "2")
	second := put(t, client, "w/a", "3")
	del(t, client, "w/b")
	past := []string{"PUT w/a=1", "PUT w/b=2", "PUT w/a=3", "DELETE w/b"}

	s := openWatch(t, m)
	watch := func(id, from int64) {
		s.created(&pb.WatchCreateRequest{WatchId: id, Key: []byte("w/"), RangeEnd: []byte("w0"), StartRevision: from})
	}
	expect := func(id int64, want ...string) {
		t.Helper()
		for i := range want {
			want[i] = fmt.Sprintf("%d: %s", id, want[i])
		}
		if got := s.events(len(want)); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	watch(1, first)
	expect(1, past...)
	watch(2, second)
	expect(2, "PUT w/a=3", "DELETE w/b")
	s.cancel(1)
	s.cancel(2)
	for range 2 {
		if r := s.next(); !r.Canceled || r.CancelReason != "" || r.CompactRevision != 0 {
			t.Errorf("the answer to a cancel request is %v", r)
		}
	}
	watch(3, 0)
	now := put(t, client, "w/c", "now")
	expect(3, "PUT w/c=now")
	watch(4, now+3)
	put(t, client, "w/d", "1")
	put(t, client, "w/d", "2")
	expect(3, "PUT w/d=1", "PUT w/d=2")
	s.cancel(3)
	s.next()
	put(t, client, "w/d", "3")
	put(t, client, "w/d", "4")
	expect(4, "PUT w/d=3", "PUT w/d=4")
	del(t, client, "w/", clientv3.WithPrefix())
}

func watchPrevKVAndFilters(t *testing.T, m *member) {
	client := newClient(t, m)
	s := openWatch(t, m)
	create := func(id int64, prevKV bool, filters ...pb.WatchCreateRequest_FilterType) {
		s.created(&pb.WatchCreateRequest{WatchId: id, Key: []byte("p"), PrevKv: prevKV, Filters: filters})
	}
	create(1, true)
	create(2, false)
	create(3, true, pb.WatchCreateRequest_NOPUT)
	create(4, true, pb.WatchCreateRequest_NODELETE)
	put(t, client, "p", "1")
	put(t, client, "p", "2")
	del(t, client, "p")
	del(t, client, "p") // nothing there: no event
	put(t, client, "p", "3")
	want := []string{
		"1: DELETE p before 2", "1: PUT p=1", "1: PUT p=2 before 1", "1: PUT p=3",
		"2: DELETE p", "2: PUT p=1", "2: PUT p=2", "2: PUT p=3",
		"3: DELETE p before 2",
		"4: PUT p=1", "4: PUT p=2 before 1", "4: PUT p=3",
	}
	got := s.events(len(want))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func watchIDsAndRanges(t *testing.T, m *member) {
	client := newClient(t, m)
	s := openWatch(t, m)
	ranges := []struct{ key, end, sees string }{ // given ids 0 to 3
		{"r/b", "", "b"},
		{"r/b", "r/d", "bc"},
		{"r/c", "\x00", "cde"},
		{"r/", "r0", "abcde"},
	}
	for i, r := range ranges {
		if a := s.created(&pb.WatchCreateRequest{Key: []byte(r.key), RangeEnd: []byte(r.end)}); a.Canceled || a.WatchId != int64(i) {
			t.Errorf("watcher %d: %v", i, a)
		}
	}
	if a := s.created(&pb.WatchCreateRequest{WatchId: 77, Key: []byte("none")}); a.Canceled || a.WatchId != 77 {
		t.Errorf("a chosen id: %v", a)
	}
	if a := s.created(&pb.WatchCreateRequest{WatchId: 77, Key: []byte("none")}); !a.Canceled || a.WatchId != -1 || a.CancelReason == "" {
		t.Errorf("an id that is in use: %v", a)
	}
	if a := s.created(&pb.WatchCreateRequest{Key: []byte("r/"), StartRevision: -1}); !a.Canceled || a.WatchId != -1 {
		t.Errorf("a negative revision: %v", a)
	}
	var ops []clientv3.Op
	for _, name := range "abcde" {
		ops = append(ops, clientv3.OpPut("r/"+string(name), "x"))
	}
	revision := must[*clientv3.TxnResponse](t)(client.Txn(t.Context()).Then(ops...).Commit()).Header.Revision
	seen := map[int64]string{}
	for range ranges { // one response each: a revision is not cut
		r := s.next()
		for _, e := range r.Events {
			seen[r.WatchId] += strings.TrimPrefix(string(e.Kv.Key), "r/")
			if e.Kv.ModRevision != revision || r.Header.Revision < revision {
				t.Errorf("an event of revision %d, in a response of revision %d, of a transaction at %d", e.Kv.ModRevision, r.Header.Revision, revision)
			}
		}
	}
	for i, r := range ranges {
		if seen[int64(i)] != r.sees {
			t.Errorf("the watcher of [%q, %q) saw %q, want %q", r.key, r.end, seen[int64(i)], r.sees)
		}
	}
	s.cancel(12345) // unknown: no answer
	s.cancel(3)
	if r := s.next(); !r.Canceled || r.WatchId != 3 {
		t.Errorf("the answer to a cancel request is %v", r)
	}
	put(t, client, "r/b", "y")
	if got := s.events(2); !slices.Contains(got, "0: PUT r/b=y") || !slices.Contains(got, "1: PUT r/b=y") {
		t.Errorf("after one of three was cancelled: %q", got)
	}
}

// A response that is too long for one message is cut for a watcher that allows it, and only for such a one.
func watchFragments(t *testing.T, m *member) {
	const keys, size = 12, 256 << 10 // one revision of 3 MiB: etcd's limit for a request is 1.5 MiB, and for a fragment 2 MiB
	client := newClient(t, m)
	for i := range keys {
		put(t, client, fmt.Sprintf("f/%02d", i), strings.Repeat("v", size))
	}
	s := openWatch(t, m)
	s.created(&pb.WatchCreateRequest{WatchId: 1, Key: []byte("f/"), RangeEnd: []byte("f0"), PrevKv: true, Fragment: true})
	s.created(&pb.WatchCreateRequest{WatchId: 2, Key: []byte("f/"), RangeEnd: []byte("f0"), PrevKv: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	merged := client.Watch(ctx, "f/", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithFragment(), clientv3.WithCreatedNotify())
	<-merged
	revision := del(t, client, "f/", clientv3.WithPrefix())

	fragments, events := 0, map[int64]int{}
	for events[1] < keys || events[2] < keys {
		r := s.next()
		for _, e := range r.Events {
			if want := fmt.Sprintf("f/%02d", events[r.WatchId]); string(e.Kv.Key) != want || e.Kv.ModRevision != revision || len(e.PrevKv.GetValue()) != size {
				t.Fatalf("watcher %d: %s at %d with %d bytes before, want %s at %d", r.WatchId, e.Kv.Key, e.Kv.ModRevision, len(e.PrevKv.GetValue()), want, revision)
			}
			events[r.WatchId]++
		}
		last := events[r.WatchId] == keys
		switch {
		case r.WatchId == 1 && r.Fragment == last:
			t.Errorf("fragment is %v after %d of %d events", r.Fragment, events[1], keys)
		case r.WatchId == 1 && len(r.Events)*size > 2<<20:
			t.Errorf("a fragment of %d events", len(r.Events))
		case r.WatchId == 2 && (r.Fragment || !last):
			t.Errorf("a watcher that allows no fragments got %d of %d events, fragment is %v", events[2], keys, r.Fragment)
		}
		if r.WatchId == 1 {
			fragments++
		}
	}
	if fragments < 2 {
		t.Errorf("3 MiB came in %d fragments", fragments)
	}
	select {
	case r := <-merged:
		if len(r.Events) != keys {
			t.Errorf("the client put %d events together", len(r.Events))
		}
	case <-time.After(answerPatience):
		t.Error("the client got no response")
	}
}

// Every one of many watchers sees the same, and each event once.
func manyWatchers(t *testing.T, c *cluster, m *member) {
	streams, watchers, events := 5, 40, 25
	if full {
		streams, watchers = 20, 500
	}
	client := newClient(t, c.members...)
	var all []*watchStream
	for range streams {
		s := openWatch(t, m)
		for range watchers {
			s.created(&pb.WatchCreateRequest{Key: []byte("many/"), RangeEnd: []byte("many0"), PrevKv: true})
		}
		all = append(all, s)
	}
	var want []string
	before := ""
	for i := range events {
		value := fmt.Sprint(i)
		put(t, client, "many/k", value)
		want = append(want, strings.TrimSuffix("PUT many/k="+value+" before "+before, " before "))
		before = value
	}
	for n, s := range all {
		seen := map[int64][]string{}
		for total := 0; total < watchers*events; {
			r := s.next()
			for _, e := range r.Events {
				seen[r.WatchId] = append(seen[r.WatchId], short(e))
			}
			total += len(r.Events)
		}
		for id, got := range seen {
			if !slices.Equal(got, want) {
				t.Fatalf("stream %d, watcher %d saw %q", n, id, got)
			}
		}
		if len(seen) != watchers {
			t.Errorf("stream %d: %d of %d watchers saw anything", n, len(seen), watchers)
		}
	}
}

func watchCompacted(t *testing.T, c *cluster) {
	client := newClient(t, c.members...)
	first := put(t, client, "c/a", "1")
	put(t, client, "c/b", "2")
	at := del(t, client, "c/b")
	last := put(t, client, "c/a", "3")
	must[*clientv3.CompactResponse](t)(client.Compact(t.Context(), at))
	for _, m := range c.members {
		awaitRevision(t, newClient(t, m), m, last)
		s := openWatch(t, m)
		s.create(&pb.WatchCreateRequest{WatchId: 5, Key: []byte("c/"), RangeEnd: []byte("c0"), StartRevision: first})
		if r := s.next(); !r.Created || r.Canceled || r.CompactRevision != 0 || r.WatchId != 5 || r.Header.Revision < at {
			t.Errorf("a watch from a compacted revision is created alone: %v", r)
		}
		// As with stock etcd, the end names no revision of the store and no reason.
		r := s.next()
		if !r.Canceled || r.CompactRevision != at || r.WatchId != 5 || r.Header.Revision != 0 || r.CancelReason != "" {
			t.Errorf("a watch from a compacted revision: %v, compacted is %d", r, at)
		}
		s.created(&pb.WatchCreateRequest{WatchId: 6, Key: []byte("c/"), RangeEnd: []byte("c0"), StartRevision: at})
		if got, want := s.events(2), []string{"6: DELETE c/b", "6: PUT c/a=3"}; !slices.Equal(got, want) {
			t.Errorf("from the compacted revision itself: got %q, want %q", got, want)
		}
		var err error
		for r := range newClient(t, m).Watch(t.Context(), "c/", clientv3.WithPrefix(), clientv3.WithRev(first)) {
			err = r.Err()
		}
		if !errors.Is(err, rpctypes.ErrCompacted) {
			t.Errorf("the client says: %v", err)
		}
	}
}
