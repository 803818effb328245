package watch_test

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

const benchInterests = 10_000

// benchPublish publishes batches of 100 puts; each b.N is one put. taken is the interests whose marks are taken after each publication.
func benchPublish(b *testing.B, key func(i int) []byte, attach func(h *watch.Hub) (taken []*watch.Interest)) {
	const batch = 100
	m := statemachine.New()
	var hub watch.Hub
	hub.Publish(m.Publish(), false)
	taken := attach(&hub)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		b.StopTimer()
		for i := range batch {
			applyTo(b, m, &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: key(done + i)}})
		}
		v := m.Publish()
		b.StartTimer()
		hub.Publish(v, false)
		for _, i := range taken {
			i.Take()
		}
	}
}

func benchKey(i int) []byte { return fmt.Appendf(nil, "/bench/%08d", i%benchInterests) }

func BenchmarkHubPublish_OneRange(b *testing.B) {
	benchPublish(b, benchKey, func(h *watch.Hub) (all []*watch.Interest) {
		for range benchInterests {
			all = append(all, watch.NewInterest([]byte("/bench/"), []byte("/bench0"), func() {}))
			h.Attach(all[len(all)-1], 2)
		}
		return all
	})
}

func BenchmarkHubPublish_DistinctKeys(b *testing.B) {
	benchPublish(b, benchKey, func(h *watch.Hub) (all []*watch.Interest) {
		for i := range benchInterests {
			all = append(all, watch.NewInterest(benchKey(i), nil, func() {}))
			h.Attach(all[i], 2)
		}
		return all
	})
}

// BenchmarkHubPublish_DistinctRanges has ranges that lie side by side, of which each event matches one.
func BenchmarkHubPublish_DistinctRanges(b *testing.B) {
	benchPublish(b, benchKey, func(h *watch.Hub) (all []*watch.Interest) {
		for i := range benchInterests {
			all = append(all, watch.NewInterest(benchKey(i), append(benchKey(i), 'z'), func() {}))
			h.Attach(all[i], 2)
		}
		return all
	})
}

// BenchmarkStreamStep has 100 watchers of one range on a stream; b.N is one put, so one operation makes 100 answers, each appended to a
// buffer as a door does.
func BenchmarkStreamStep(b *testing.B) {
	const watchers, batch = 100, 20
	w := &benchPort{m: statemachine.New()}
	w.publish()
	due := false
	s := watch.NewStream(w, watch.Options{Wake: func() { due = true }})
	for range watchers {
		s.Handle(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
			Key: []byte("/bench/"), RangeEnd: []byte("/bench0")}}})
	}
	s.Step()
	w.publish()
	header := make([]byte, 30)
	var buffer []byte
	value, events := make([]byte, 256), 0
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		b.StopTimer()
		for i := range batch {
			applyTo(b, w.m, &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: benchKey(done + i), Value: value}})
		}
		b.StartTimer()
		w.publish()
		for due {
			var out []watch.Response
			out, due = s.Step()
			for i := range out {
				events += out[i].EventCount
				buffer = out[i].Append(buffer[:0], header)
			}
		}
	}
	if want := (b.N + batch - 1) / batch * batch * watchers; events != want {
		b.Fatalf("%d events, want %d", events, want)
	}
}

type benchPort struct {
	m       *statemachine.Machine
	hub     watch.Hub
	waiting []func()
}

func (p *benchPort) publish() {
	p.hub.Publish(p.m.Publish(), false)
	for _, f := range p.waiting {
		f()
	}
	p.waiting = nil
}

func (p *benchPort) AcquireView() *statemachine.View {
	v := p.m.Published()
	v.Acquire()
	return v
}

func (p *benchPort) Attach(i *watch.Interest, from int64) {
	p.waiting = append(p.waiting, func() { p.hub.Attach(i, from) })
}

func (p *benchPort) Detach(i *watch.Interest) {
	p.waiting = append(p.waiting, func() { p.hub.Detach(i) })
}

// BenchmarkStreamReplay has a watcher begin at the first of 100,000 revisions; one operation is one event. Rooms are used again at once, as
// by a door whose client reads.
func BenchmarkStreamReplay(b *testing.B) {
	const revisions = 100_000
	for _, keys := range []int{100, benchInterests} {
		b.Run(fmt.Sprintf("%d keys", keys), func(b *testing.B) {
			p := &benchPort{m: statemachine.New()}
			for i := range revisions {
				applyTo(b, p.m, &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: benchKey(i % keys), Value: make([]byte, 256)}})
			}
			p.publish()
			var room []byte
			o := watch.Options{Wake: func() {}, Room: func(bytes int) []byte {
				if cap(room) < bytes {
					room = make([]byte, 0, bytes)
				}
				return room[:0]
			}}
			b.ReportAllocs()
			b.ResetTimer()
			for events := 0; events < b.N; {
				s := watch.NewStream(p, o)
				s.Handle(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
					Key: []byte("/bench/"), RangeEnd: []byte("/bench0"), StartRevision: 2}}})
				for more := true; more; {
					var out []watch.Response
					out, more = s.Step()
					for i := range out {
						events += out[i].EventCount
					}
				}
				s.Close()
				p.publish()
			}
		})
	}
}
