package sim

import (
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability/locks"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/sim/world"
)

// onlooker observes the election, at one member after the other.
type onlooker struct {
	calls    *caller
	record   *locks.ObserveRecord // nil in between
	res      *resident
	cancel   func()
	opened   time.Duration
	inFlight int
	arrives  time.Duration
}

func (o *onlooker) openSoon() {
	r := o.calls.run
	r.world.After(o.calls.chance.Duration(0, 500*time.Millisecond), world.Client, func() {
		if o.calls.chance.Permille(500) || o.calls.at.absent {
			o.calls.move()
		}
		s := o.calls.at
		if s.now == nil || s.host.Paused() {
			o.openSoon()
			return
		}
		o.open(s)
	})
}

func (o *onlooker) open(s *seat) {
	r := o.calls.run
	rec := &locks.ObserveRecord{Client: o.calls.id, Name: electionName, Call: r.stamp(), Live: true}
	r.observed = append(r.observed, rec)
	o.record, o.res, o.inFlight, o.opened = rec, s.now, 0, r.world.Now()
	deliver := func(fn func()) {
		if o.record != rec {
			return
		}
		o.inFlight++
		o.arrives = max(o.arrives, r.world.Now()+o.calls.chance.Duration(r.setup.Fair.DelayLeast, r.setup.Fair.DelayMost))
		r.world.After(o.arrives-r.world.Now(), world.Answer, func() {
			if o.record == rec {
				o.inFlight--
				fn()
			}
		})
	}
	o.cancel = nil
	s.host.Do(0, world.Request, func() {
		o.cancel = call.Observe(r.gate, o.res.member, call.Caller{}, &v3electionpb.LeaderRequest{Name: rec.Name}, func(resp *v3electionpb.LeaderResponse) {
			kv := proto.CloneOf(resp.GetKv())
			deliver(func() {
				r.world.Note(world.Judged, uint64(s.peer.ID), uint64(o.calls.id), answer{response: resp}.hash())
				rec.Told = append(rec.Told, locks.LeaderTold{Stamp: r.stamp(), KV: kv})
				r.counts.Told++
			})
		}, func(error) { deliver(o.broken) })
	})
	o.checkSoon(rec, s)
}

// checkSoon notices that the member is gone, or goes away by itself now and then.
func (o *onlooker) checkSoon(rec *locks.ObserveRecord, s *seat) {
	r := o.calls.run
	r.world.After(o.calls.chance.Duration(10*time.Millisecond, 500*time.Millisecond), world.Client, func() {
		switch {
		case o.record != rec:
		case s.now != o.res, !r.healed && o.calls.chance.Permille(10):
			o.broken()
		default:
			o.checkSoon(rec, s)
		}
	})
}

// broken ends the stream, and begins another.
func (o *onlooker) broken() {
	if s := o.calls.at; s.now == o.res && o.cancel != nil {
		s.host.Do(0, world.Request, o.cancel)
	}
	o.record.Live, o.record = false, nil
	o.openSoon()
}

// onlookerSettles is what it takes at most, without trouble, until an observer is told who leads. (Where nobody does, it is told nothing.)
const onlookerSettles = 3 * time.Second

func (o *onlooker) settled() bool {
	return o.record != nil && o.calls.at.now == o.res && o.inFlight == 0 && o.calls.run.world.Now() >= o.opened+onlookerSettles
}
