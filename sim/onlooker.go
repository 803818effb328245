package sim

import (
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability/locks"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/sim/world"
)

// onlooker observes the election, at one member after the other.
type onlooker struct {
	connection
	stream *stream // nil in between
	record *locks.ObserveRecord
	cancel func() // once the member has the call
	opened time.Duration
}

func (o *onlooker) openSoon() {
	o.run.world.After(o.chance.Duration(0, 500*time.Millisecond), world.Client, func() {
		if o.chance.Permille(500) || o.at.absent {
			o.move()
		}
		if o.at.now == nil || o.at.host.Paused() {
			o.openSoon()
			return
		}
		o.open()
	})
}

func (o *onlooker) open() {
	r, s := o.run, o.openStream()
	rec := &locks.ObserveRecord{Client: o.id, Name: electionName, Call: r.stamp(), Live: true}
	r.observed = append(r.observed, rec)
	o.stream, o.record, o.cancel, o.opened = s, rec, nil, r.world.Now()
	answer := func(arrive func()) {
		if o.stream != s {
			return
		}
		s.answer(func() {
			if o.stream == s {
				arrive()
			}
		})
	}
	s.turn(r.world.Now(), func() {
		o.cancel = call.Observe(r.gate, s.res.member, call.Caller{}, &v3electionpb.LeaderRequest{Name: rec.Name}, func(resp *v3electionpb.LeaderResponse) {
			kv := proto.CloneOf(resp.GetKv())
			answer(func() { o.told(resp, kv) })
		}, func(error) { answer(o.broken) })
	})
	o.checkSoon(s)
}

func (o *onlooker) told(resp *v3electionpb.LeaderResponse, kv *mvccpb.KeyValue) {
	r := o.run
	r.world.Note(world.Judged, uint64(o.stream.to.peer.ID), uint64(o.id), answer{response: resp}.hash())
	o.record.Told = append(o.record.Told, locks.LeaderTold{Stamp: r.stamp(), KV: kv})
	r.counts.Told++
}

// checkSoon notices that the member is gone, or goes away by itself now and then.
func (o *onlooker) checkSoon(s *stream) {
	s.look(func() {
		switch {
		case o.stream != s:
		case !s.stands(), !o.run.healed && o.chance.Permille(10):
			o.broken()
		default:
			o.checkSoon(s)
		}
	})
}

// broken ends the stream, and begins another.
func (o *onlooker) broken() {
	if s := o.stream; s.stands() && o.cancel != nil {
		s.to.host.Do(0, world.Request, o.cancel)
	}
	o.record.Live, o.stream = false, nil
	o.openSoon()
}

// onlookerSettles is what it takes at most, without trouble, until an observer is told who leads. (Where nobody does, it is told nothing.)
const onlookerSettles = 3 * time.Second

func (o *onlooker) settled() bool {
	return o.stream != nil && o.stream.stands() && o.stream.inFlight == 0 && o.run.world.Now() >= o.opened+onlookerSettles
}
