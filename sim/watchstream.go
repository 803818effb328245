package sim

import (
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability/watches"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/sim/world"
	"github.com/detcd/detcd/statemachine"
)

// watchStream is a client's stream of watches to one life of a member. It is the watch.Stream that the gRPC door serves; what the door's goroutines
// do are events here.
type watchStream struct {
	*stream
	w       *watcher
	watches *watch.Stream
	closed  bool

	records []*watches.Record
	pending []*watches.Record // asked for and not yet created, in order
	byID    map[int64]*watches.Record
	ended   map[*watches.Record]bool // looked up, never ranged

	stepping  bool          // a step is scheduled
	turned    time.Duration // when the last attach or detach is carried out
	slowUntil time.Duration
}

func newWatchStream(w *watcher) *watchStream {
	s := &watchStream{stream: w.openStream(), w: w, byID: make(map[int64]*watches.Record),
		ended: make(map[*watches.Record]bool)}
	c := w.chance
	o := watch.Options{FragmentBytes: 200 + c.Intn(3000), ChunkBytes: 100 + c.Intn(8000), Wake: s.wake}
	o.PackBytes, o.PackEvents = 50+w.packs.Intn(5000), 1+w.packs.Intn(30)
	if _, err := w.run.gate.Open(call.Caller{}, s.res.member, &call.WatchStream); err != nil {
		panic("sim: the gate refuses a stream of watches, and nothing is wrong with it: " + err.Error())
	}
	s.watches = watch.NewStream(s, o)
	s.notifySoon()
	return s
}

// AcquireView implements watch.Port.
func (s *watchStream) AcquireView() *statemachine.View { return s.res.member.AcquireView() }

// Attach implements watch.Port: in a turn of its own, a little later.
func (s *watchStream) Attach(i *watch.Interest, from int64) {
	s.later(func() {
		s.res.member.Watch().Attach(i, from)
		v := s.res.member.AcquireView()
		defer v.Release()
		if v.CompactRevision() > from {
			s.unsure()
		}
	})
}

// unsure notes that the member can't know what the watches that it has now have missed.
func (s *watchStream) unsure() {
	for _, rec := range s.records {
		rec.Unsure = true
	}
}

// Detach implements watch.Port.
func (s *watchStream) Detach(i *watch.Interest) { s.later(func() { s.res.member.Watch().Detach(i) }) }

// later has fn called in a turn that comes soon.
func (s *watchStream) later(fn func()) {
	if !s.stands() {
		return
	}
	wait := s.w.chance.Duration(0, 2*time.Millisecond)
	if s.w.chance.Permille(150) {
		wait = s.w.chance.Duration(0, 100*time.Millisecond) // a member with much to do
	}
	s.turned = s.after(s.turned, wait)
	s.turn(s.turned, fn)
}

// wake is called in turns of the member.
func (s *watchStream) wake() {
	if s.stepping || s.closed || !s.stands() {
		return
	}
	s.stepping = true
	wait := s.w.chance.Duration(0, 3*time.Millisecond)
	if slow := s.slowUntil - s.w.run.world.Now(); slow > 0 && !s.w.run.healed {
		wait += slow
	}
	s.to.host.Do(wait, world.Request, s.step)
}

// step is what the door's sending goroutine does between two waits.
func (s *watchStream) step() {
	s.stepping = false
	if s.closed {
		return
	}
	out, more := s.watches.Step()
	st := s.res.member.Status()
	for i := range out {
		resp := out[i].Message(&pb.ResponseHeader{ClusterId: st.ClusterID, MemberId: uint64(st.ID), RaftTerm: st.Term})
		s.answer(func() {
			if s.w.stream == s {
				s.w.told(s, resp)
			}
		})
	}
	if more {
		s.wake()
	}
}

// send takes a request of the client's to the member. A request for progress waits for a linearizable read first, as in the door: its
// answer then holds for all that was acknowledged before.
func (s *watchStream) send(r *pb.WatchRequest) {
	s.ask(func() {
		if s.closed {
			return
		}
		handle := func() {
			if !s.closed {
				s.watches.Handle(r)
				s.wake()
			}
		}
		if r.GetProgressRequest() == nil {
			handle()
			return
		}
		s.res.member.Linearize(func(v *statemachine.View, err error) {
			if err == nil {
				v.Release()
			}
			handle()
		})
	})
}

// create asks for a watch.
func (s *watchStream) create(r *pb.WatchCreateRequest, resumes *watches.Record) *watches.Record {
	run := s.w.run
	rec := &watches.Record{Client: s.w.id, Member: uint64(s.to.peer.ID), Incarnation: uint64(s.to.host.Epoch()), Request: r,
		Call: run.stamp(), Resumes: resumes, Live: true}
	run.watches = append(run.watches, rec)
	s.records = append(s.records, rec)
	s.pending = append(s.pending, rec)
	run.story.say("watcher %d asks %s to watch %s from %d", s.w.id, s.to.name, span(r.GetKey(), r.GetRangeEnd()), r.GetStartRevision())
	s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: proto.CloneOf(r)}})
	return rec
}

// notifySoon has the periodic progress notification come.
func (s *watchStream) notifySoon() {
	s.to.host.Do(s.w.chance.Duration(300*time.Millisecond, 6*time.Second), world.Request, func() {
		if s.closed {
			return
		}
		s.watches.NotifyProgress()
		s.wake()
		s.notifySoon()
	})
}

func (s *watchStream) slowFor(d time.Duration) { s.slowUntil = s.w.run.world.Now() + d }

// close ends the stream. The member learns of it in a turn.
func (s *watchStream) close() {
	if s.stands() {
		s.to.host.Do(0, world.Request, func() {
			s.closed = true
			s.watches.Close()
		})
		return
	}
	s.closed = true
}

// live is the number of watches that stand.
func (s *watchStream) live() (n int) {
	for _, rec := range s.records {
		if rec.Live {
			n++
		}
	}
	return n
}

// pick returns a watch that stands and was created, nil if there is none.
func (s *watchStream) pick() *watches.Record {
	for _, rec := range s.records {
		if rec.Live && len(rec.Told) > 0 && s.w.chance.Permille(500) {
			return rec
		}
	}
	return nil
}

func (s *watchStream) idOf(rec *watches.Record) int64 {
	return rec.Told[0].Response.GetWatchId()
}

// settled says whether the stream stands, and nothing is on its way.
func (s *watchStream) settled() bool {
	return s.stands() && !s.stepping && s.inFlight == 0 && len(s.pending) == 0
}

// toldWatch writes a watch response as one short line.
type toldWatch struct{ r *pb.WatchResponse }

func (t toldWatch) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "watch %d revision %d", t.r.GetWatchId(), t.r.GetHeader().GetRevision())
	flag(&b, t.r.GetCreated(), "created")
	flag(&b, t.r.GetCanceled(), "canceled")
	flag(&b, t.r.GetFragment(), "fragment")
	number(&b, "compacted", t.r.GetCompactRevision())
	for _, e := range t.r.GetEvents() {
		fmt.Fprintf(&b, " %v %s@%d", e.GetType(), e.GetKv().GetKey(), e.GetKv().GetModRevision())
	}
	return b.String()
}
