package sim

import (
	"time"

	"github.com/cespare/xxhash/v2"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability/watches"
	"github.com/detcd/detcd/sim/prng"
	"github.com/detcd/detcd/sim/world"
)

// watcher is a client that watches: it has one stream at a time, with some watches on it, and when the stream breaks it goes on from where
// each of them was, at this member or another.
type watcher struct {
	connection
	packs  *prng.Source // draws the bounds of packs
	stream *watchStream // nil in between
	seen   int64        // the newest revision it was told of
	// resume are the watches of the last stream that are to go on.
	resume []*watches.Record
}

func (r *Run) addWatchers() {
	for id := range r.setup.Watchers {
		name := string(rune('A' + id))
		w := &watcher{connection: connection{run: r, id: watcherIDs + id, chance: r.world.Stream("watcher " + name)},
			packs: r.world.Stream("packs " + name)}
		r.watchers = append(r.watchers, w)
		w.at = r.seats[w.chance.Intn(len(r.seats))]
		w.openSoon()
		w.actSoon()
	}
}

// Clients that are not in the history of requests have numbers of their own.
const (
	watcherIDs   = 1000
	sessionIDs   = 2000
	candidateIDs = 3000
	observerIDs  = 4000
)

// openSoon has the client connect, to the same member or another one.
func (w *watcher) openSoon() {
	wait := w.chance.Duration(0, time.Second)
	if w.run.healed {
		wait = w.chance.Duration(0, 200*time.Millisecond)
	}
	w.run.world.After(wait, world.Client, func() {
		if w.chance.Permille(500) || w.at.absent {
			w.at = w.run.seats[w.chance.Intn(len(w.run.seats))]
		}
		if w.at.now == nil || w.at.host.Paused() {
			w.openSoon()
			return
		}
		w.open()
	})
}

// open opens a stream, with the watches that the last one had, or new ones.
func (w *watcher) open() {
	w.stream = newWatchStream(w)
	w.run.story.say("watcher %d connects to %s", w.id, w.at.name)
	w.checkSoon(w.stream)
	resume := w.resume
	w.resume = nil
	for _, old := range resume {
		r := proto.CloneOf(old.Request)
		r.StartRevision, r.WatchId = old.Next(), 0
		w.create(r, old)
	}
	if len(resume) == 0 {
		w.createNew()
	}
}

// checkSoon notices, some time after, that the member is gone.
func (w *watcher) checkSoon(s *watchStream) {
	s.look(func() {
		switch {
		case w.stream != s:
		case !s.stands():
			w.hangUp()
		default:
			w.checkSoon(s)
		}
	})
}

// hangUp ends the stream, from the client's side or because there is no other side any more.
func (w *watcher) hangUp() {
	s := w.stream
	w.stream = nil
	s.close()
	for _, rec := range s.records {
		rec.Live = false
		if rec.CancelCall == 0 && !rec.Refusable && !s.ended[rec] && w.chance.Permille(800) {
			w.resume = append(w.resume, rec)
		}
	}
	w.run.story.say("watcher %d hangs up", w.id)
	w.openSoon()
}

// actSoon has the client do something about its watches, again and again while there is trouble.
func (w *watcher) actSoon() {
	w.run.world.After(w.chance.Duration(0, 3*time.Second), world.Client, func() {
		if w.run.healed {
			return
		}
		if w.stream != nil {
			w.act()
		}
		w.actSoon()
	})
}

func (w *watcher) act() {
	s := w.stream
	switch w.chance.Weighted([]int{4, 2, 4, 3, 2, 1}) {
	case 0:
		if s.live() < 6 {
			w.createNew()
			if w.chance.Permille(300) { // as soon as that: its answer must not pass over what the watch has yet to see
				s.send(progressRequest())
			}
		}
	case 1:
		if rec := s.pick(); rec != nil {
			rec.CancelCall, rec.Live = w.run.stamp(), false
			s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
				CancelRequest: &pb.WatchCancelRequest{WatchId: s.idOf(rec)}}})
		}
	case 2:
		s.send(progressRequest())
	case 3:
		w.hangUp()
	case 4:
		// The client reads nothing for a while.
		s.slowFor(w.chance.Duration(100*time.Millisecond, 15*time.Second))
	case 5:
		w.refused()
	}
}

func progressRequest() *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
}

// createNew begins a watch of any kind.
func (w *watcher) createNew() {
	c := w.chance
	r := &pb.WatchCreateRequest{PrevKv: c.Permille(500), ProgressNotify: c.Permille(400), Fragment: c.Permille(300)}
	mix := &w.run.setup.Mix
	group := byte('a' + c.Intn(mix.Groups))
	switch c.Weighted([]int{4, 2, 3, 1}) {
	case 0:
		r.Key, r.RangeEnd = []byte{group, '/'}, []byte{group, '0'}
	case 1:
		r.Key, r.RangeEnd = []byte{0}, []byte{0}
	case 2:
		r.Key = []byte{group, '/', byte('0' + c.Intn(mix.Keys))}
	case 3:
		r.Key, r.RangeEnd = []byte{group, '/', '1'}, []byte{group, '/', '4'}
	}
	switch c.Weighted([]int{5, 4, 2}) {
	case 1:
		r.StartRevision = max(1, w.seen-c.Between(0, 60))
	case 2:
		r.StartRevision = w.seen + c.Between(1, 40)
	}
	if c.Permille(150) {
		r.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_FilterType(c.Intn(2))}
	}
	w.create(r, nil)
}

// refused asks for what must be refused.
func (w *watcher) refused() {
	rec := w.stream.create(&pb.WatchCreateRequest{Key: []byte("b"), RangeEnd: []byte("a")}, nil)
	rec.Refusable = true
}

func (w *watcher) create(r *pb.WatchCreateRequest, resumes *watches.Record) {
	w.stream.create(r, resumes)
}

// told takes one response, on a stream that still stands.
func (w *watcher) told(s *watchStream, resp *pb.WatchResponse) {
	r := w.run
	told := watches.Told{Stamp: r.stamp(), Response: resp}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(resp)
	if err != nil {
		panic("sim: a watch response can't be encoded: " + err.Error())
	}
	r.world.Note(world.Judged, uint64(s.to.peer.ID), uint64(resp.GetWatchId()), xxhash.Sum64(b))
	r.story.say("watcher %d is told by %s: %v", w.id, s.to.name, toldWatch{resp})
	w.seen = max(w.seen, resp.GetHeader().GetRevision())
	r.counts.Told += uint64(len(resp.GetEvents()))
	s.countPacks(resp)
	if resp.GetCreated() {
		rec := s.pending[0]
		s.pending = s.pending[1:]
		rec.Told = append(rec.Told, told)
		if resp.GetCanceled() {
			rec.Live, s.ended[rec] = false, true
			return
		}
		s.byID[resp.GetWatchId()] = rec
		return
	}
	if resp.GetWatchId() == -1 {
		for _, rec := range s.records {
			if len(rec.Told) > 0 && !s.ended[rec] {
				rec.Told = append(rec.Told, told)
			}
		}
		return
	}
	rec := s.byID[resp.GetWatchId()]
	if rec == nil || s.ended[rec] {
		r.fail(&Failure{Promise: "watch: a response has its watch", Story: "there is no watch " + toldWatch{resp}.String()})
		return
	}
	rec.Told = append(rec.Told, told)
	if resp.GetCanceled() {
		rec.Live, s.ended[rec] = false, true
		if resp.GetCompactRevision() > 0 {
			r.counts.Overtaken++
			if len(rec.Told) > 2 && len(rec.Told[len(rec.Told)-2].Response.GetEvents()) > 0 {
				r.counts.OvertakenWithin++
			}
		}
		if resp.GetCompactRevision() > 0 && w.chance.Permille(700) && !r.quiet {
			again := proto.CloneOf(rec.Request)
			again.StartRevision, again.WatchId = resp.GetCompactRevision(), 0
			w.create(again, nil)
		}
	}
}

// countPacks notes what kinds of packs a run reaches.
func (s *watchStream) countPacks(resp *pb.WatchResponse) {
	e, counts := resp.GetEvents(), &s.w.run.counts
	if len(e) == 0 || e[0].GetKv().GetModRevision() == e[len(e)-1].GetKv().GetModRevision() {
		return
	}
	counts.Packs++
	if resp.GetFragment() {
		counts.PackFragments++
	}
}
