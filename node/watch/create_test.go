package watch_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/watch"
)

func TestCreate_ChoosesTheNextFreeID(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	for _, id := range []int64{0, 5, 1, 0, 0, -1, 7} {
		c.create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: id})
	}
	c.expect(t, created(0, 1), created(5, 1), created(1, 1), created(2, 1), created(3, 1), created(-1, 1), created(7, 1))
	c.cancel(2)
	c.create(&pb.WatchCreateRequest{Key: []byte("a")})
	c.create(&pb.WatchCreateRequest{Key: []byte("a")})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 2})
	c.expect(t, canceled(2, 1), created(4, 1), created(6, 1), created(2, 1))
	if n := c.stream.Watchers(); n != 9 {
		t.Errorf("%d watchers", n)
	}
}

func TestCreate_RefusesAsEtcdDoes(t *testing.T) {
	w := newWorld(t)
	w.put("a", "1")
	w.catchUp()
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 3})
	c.expect(t, created(3, 2))
	for _, r := range []struct {
		request *pb.WatchCreateRequest
		reason  string
	}{
		{&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 3}, "mvcc: duplicate watch ID provided on the WatchStream"},
		{&pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("a")}, "mvcc: watcher range is empty"},
		{&pb.WatchCreateRequest{Key: []byte("b"), RangeEnd: []byte("a")}, "mvcc: watcher range is empty"},
		{&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: -1}, "etcdserver: mvcc: required revision has been compacted"},
	} {
		c.create(r.request)
		c.expect(t, refused(2, r.reason))
	}
	if n := c.stream.Watchers(); n != 1 {
		t.Errorf("%d watchers", n)
	}
}

func TestCreate_FormsOfRanges(t *testing.T) {
	w := newWorld(t)
	keys := []string{"\x00", "a", "a\x00", "ab", "b", "c"} // put at revisions 2, 3, ...
	for _, key := range keys {
		w.put(key, "")
	}
	w.catchUp()
	for name, test := range map[string]struct {
		key, end string
		want     []int64
	}{
		"one":              {"a", "", []int64{3}},
		"empty key":        {"", "", []int64{2}},
		"all":              {"", "\x00", []int64{2, 3, 4, 5, 6, 7}},
		"from the first":   {"\x00", "\x00", []int64{2, 3, 4, 5, 6, 7}},
		"from a key on":    {"ab", "\x00", []int64{5, 6, 7}},
		"prefix":           {"a", "b", []int64{3, 4, 5}},
		"up to a key":      {"", "b", []int64{2, 3, 4, 5}},
		"one, as a range":  {"a", "a\x00", []int64{3}},
		"nothing is there": {"d", "e", nil},
	} {
		t.Run(name, func(t *testing.T) {
			past := w.client(watch.Options{})
			past.create(&pb.WatchCreateRequest{Key: []byte(test.key), RangeEnd: []byte(test.end), StartRevision: 1})
			want := []*pb.WatchResponse{created(0, 7)}
			if test.want != nil {
				want = append(want, w.told(0, 7, test.want...))
			}
			past.expect(t, want...)
			past.stream.Close()
			w.attach()
		})
	}
}

func TestCreate_StartRevisions(t *testing.T) {
	w := newWorld(t)
	w.put("a", "2")
	w.put("a", "3")
	w.catchUp()
	c := w.client(watch.Options{})
	for _, start := range []int64{0, 3, 4, 6} {
		c.create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: start})
	}
	c.expect(t, created(0, 3), created(1, 3), created(2, 3), created(3, 3), w.told(1, 3, 3))
	w.put("a", "4")
	w.catchUp()
	c.expect(t, w.told(0, 4, 4), w.told(2, 4, 4), w.told(1, 4, 4))
	w.put("a", "5")
	w.put("a", "6")
	w.catchUp()
	c.expect(t, w.told(0, 6, 5, 6), w.told(2, 6, 5, 6), w.told(3, 6, 6), w.told(1, 6, 5, 6))
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("b")})
	c.create(&pb.WatchCreateRequest{Key: []byte("a")})
	c.cancel(9)
	c.expect(t, created(0, 1), created(1, 1))
	w.catchUp()
	if got, want := w.hub.Stats(), (watch.HubStats{Interests: 2, Keys: 1, Ranges: 1, Revision: 1}); got != want {
		t.Errorf("%+v", got)
	}
	w.put("a", "")
	w.catchUp()
	c.cancel(0)
	c.cancel(0)
	c.expect(t, canceled(0, 2), w.told(1, 2, 2))
	c.cancel(1)
	w.attach()
	if got, want := w.hub.Stats(), (watch.HubStats{Revision: 2}); got != want {
		t.Errorf("%+v", got)
	}
	w.put("a", "")
	w.catchUp()
	c.expect(t, canceled(1, 2))
	if c.wakes != 2 {
		t.Errorf("woken %d times", c.wakes)
	}
}

func TestHandle_IgnoresWhatItDoesNotKnow(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	for _, r := range []*pb.WatchRequest{nil, {}, {RequestUnion: &pb.WatchRequest_CreateRequest{}}, {RequestUnion: &pb.WatchRequest_CancelRequest{}},
		{RequestUnion: &pb.WatchRequest_ProgressRequest{}}} {
		c.stream.Handle(r)
		c.due = true
	}
	c.expect(t)
}

func TestClose_EndsEverything(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{Key: []byte("a")})
	c.create(&pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("c")})
	w.catchUp()
	c.stream.Close()
	c.stream.Close()
	w.put("a", "")
	w.catchUp() // the detachment was asked for, but is carried out after this publication
	c.create(&pb.WatchCreateRequest{Key: []byte("a")})
	c.progress()
	c.notify()
	c.expect(t)
	if got := w.hub.Stats(); got.Interests != 0 || c.stream.Watchers() != 0 {
		t.Errorf("%+v, %d watchers", got, c.stream.Watchers())
	}
}
