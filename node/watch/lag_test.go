package watch_test

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// Watchers of one stream that all lag look for what happened to each, not each at all that happened. Steps are of a bounded price.
func TestStep_ManyThatLagTakeFewSteps(t *testing.T) {
	const watchers, rounds = 400, 20
	for _, c := range []struct {
		name         string
		ranges, past bool
	}{{"keys", false, false}, {"ranges", true, false}, {"keys from the past", false, true}, {"ranges from the past", true, true}} {
		p := &benchPort{m: statemachine.New()}
		p.publish()
		s := watch.NewStream(p, watch.Options{Wake: func() {}})
		create := func(start int64) {
			for i := range watchers {
				r := &pb.WatchCreateRequest{Key: benchKey(i), StartRevision: start}
				if c.ranges {
					r.RangeEnd = append(benchKey(i), 'z')
				}
				s.Handle(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}})
			}
		}
		if !c.past {
			create(0)
			s.Step()
			p.publish()
		}
		for i := range watchers * rounds {
			put := &pb.PutRequest{Key: benchKey(i % watchers), Value: fmt.Append(nil, i)}
			applyTo(t, p.m, &pb.InternalRaftRequest{Put: put})
			if i%100 == 99 {
				p.publish()
			}
		}
		if c.past {
			create(2)
		}
		told := make([]int, watchers)
		steps := 0
		for more := true; more; steps++ {
			var out []watch.Response
			out, more = s.Step()
			for i := range out {
				for _, e := range out[i].Message(nil).Events {
					id := out[i].WatchID
					if want := fmt.Sprint(told[id]*watchers + int(id)); string(e.Kv.Value) != want {
						t.Fatalf("%s: watcher %d was told %q, want %q", c.name, id, e.Kv.Value, want)
					}
					told[id]++
				}
			}
		}
		for id, n := range told {
			if n != rounds {
				t.Fatalf("%s: watcher %d was told %d events, want %d", c.name, id, n, rounds)
			}
		}
		if steps > 5 {
			t.Errorf("%s: %d steps", c.name, steps)
		}
	}
}
