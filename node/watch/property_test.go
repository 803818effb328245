package watch_test

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/node/watch"
)

func genKey(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "aa", "b", "c", "d"}).Draw(t, "key")
}

func genCreate(t *rapid.T, head int64) *pb.WatchCreateRequest {
	r := &pb.WatchCreateRequest{
		Key:            []byte(rapid.SampledFrom([]string{"a", "a", "a", "", "b", "c"}).Draw(t, "watched")),
		RangeEnd:       []byte(rapid.SampledFrom([]string{"", "", "\x00", "d", "e"}).Draw(t, "end")),
		ProgressNotify: rapid.Bool().Draw(t, "notify"),
		PrevKv:         rapid.IntRange(0, 2).Draw(t, "prev") == 0,
		Fragment:       rapid.Bool().Draw(t, "fragment"),
	}
	if rapid.Bool().Draw(t, "started") {
		r.StartRevision = rapid.Int64Range(1, head+6).Draw(t, "start")
	}
	if f := rapid.IntRange(0, 7).Draw(t, "filter"); f > 5 {
		r.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_FilterType(f - 6)}
	}
	return r
}

func (w *world) change(t *rapid.T) {
	switch rapid.IntRange(0, 9).Draw(t, "change") {
	case 0, 1, 2, 3, 4:
		w.put(genKey(t), rapid.SampledFrom([]string{"", "value", "a value that is so long that it fills a fragment"}).Draw(t, "value"))
	case 5, 6:
		w.del(genKey(t))
	case 7, 8:
		w.txn(rapid.SliceOfNDistinct(rapid.Custom(genKey), 1, 4, rapid.ID).Draw(t, "keys")...)
	default:
		if oldest := max(w.leader.CompactRevision()+1, 1); oldest <= w.rev {
			w.compact(rapid.Int64Range(oldest, w.rev).Draw(t, "compaction"))
		}
	}
}

// TestStream_ToldAsTheHistoryIs drives a member, its hub and several streams with all that a watch has, at random speeds, and holds
// every answer against the history.
func TestStream_ToldAsTheHistoryIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		var clients []*checker
		for i := range 2 {
			c := &checker{name: fmt.Sprint("stream ", i), watches: map[int64]*observed{}}
			c.options = watch.Options{
				ChunkBytes:    rapid.SampledFrom([]int{1, 200, 1000, 0}).Draw(t, "chunk"),
				PackBytes:     rapid.SampledFrom([]int{1, 150, 400, 0}).Draw(t, "pack bytes"),
				PackEvents:    rapid.SampledFrom([]int{1, 3, 0}).Draw(t, "pack events"),
				FragmentBytes: rapid.SampledFrom([]int{100, 160, 1 << 20}).Draw(t, "fragment bytes"),
			}
			c.client = w.client(c.options)
			clients = append(clients, c)
		}
		client := func(t *rapid.T) *checker { return rapid.SampledFrom(clients).Draw(t, "stream") }
		step := func(t *rapid.T) { client(t).advance() }
		rest := func() {
			for _, c := range clients {
				c.rest()
			}
		}
		turn := func(t *rapid.T) { w.turn(rapid.IntRange(0, 8).Draw(t, "requests")); rest() }
		settle := func() {
			w.catchUp()
			rest()
			for _, c := range clients {
				for c.due {
					c.advance()
				}
				c.settled()
			}
			w.hidden = false
			if others, _ := w.local.PinnedViews(); others != 0 {
				t.Fatalf("%d views are still in use", others)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"change":  w.change,
			"change2": w.change,
			"change3": w.change,
			"turn":    turn,
			"turn2":   turn,
			"step":    step,
			"step2":   step,
			"step3":   step,
			"restore": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "sure") == 0 {
					w.restore()
					rest()
					for _, c := range clients {
						c.restored = true
					}
				}
			},
			"create": func(t *rapid.T) {
				c := client(t)
				if r := genCreate(t, w.rev); string(r.Key) < "d" || len(r.RangeEnd) == 0 {
					c.pending = append(c.pending, r)
					c.sure = c.sure && r.StartRevision <= w.view.Revision()+1
					c.create(r)
				}
			},
			"cancel":   func(t *rapid.T) { client(t).cancel(rapid.Int64Range(0, 5).Draw(t, "id")) },
			"notify":   func(t *rapid.T) { client(t).notify() },
			"progress": func(t *rapid.T) { client(t).ask() },
			"settle":   func(t *rapid.T) { settle() },
		})
		settle()
	})
}
