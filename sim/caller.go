package sim

import (
	"time"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/sim/prng"
	"github.com/detcd/detcd/sim/world"
)

// caller makes calls that are not in the history of requests: renewals of leases, and those of the lock and election services, which take
// as long as they have to.
type caller struct {
	run    *Run
	id     int
	chance *prng.Source
	at     *seat
}

// reply is what came of a call.
type reply struct {
	value any // what the member answered
	got   bool
	// refused: the call certainly reached no member.
	refused bool
}

// beginner begins a call in a turn of a member. It calls done once, in a turn, unless the member ends; cancel, which may be nil, ends the
// wait in a turn.
type beginner func(m *node.Member, done func(value any, hash uint64)) (cancel func())

// visit makes a call of the caller's member. over is told what came of it, once: after patience, at the latest, that nothing did.
func (c *caller) visit(patience time.Duration, begin beginner, over func(reply)) {
	r, s := c.run, c.at
	ended := false
	finish := func(p reply) {
		if !ended {
			ended = true
			over(p)
		}
	}
	fair := &r.setup.Fair
	there, back := c.chance.Duration(fair.DelayLeast, fair.DelayMost), c.chance.Duration(fair.DelayLeast, fair.DelayMost)
	lostThere, lostBack := c.lost(), c.lost()
	var cancel func()
	var epoch uint32
	if !lostThere {
		s.host.Visit(there, world.Request, func() {
			if s.now == nil || ended {
				return
			}
			epoch = s.host.Epoch()
			cancel = begin(s.now.member, func(value any, hash uint64) {
				r.world.Note(world.Judged, uint64(s.peer.ID), uint64(c.id), hash)
				if !lostBack {
					r.world.After(back, world.Answer, func() { finish(reply{value: value, got: true}) })
				}
			})
		}, func() {
			r.world.After(back, world.Answer, func() { finish(reply{refused: true}) })
		})
	}
	r.world.After(patience, world.Client, func() {
		if !ended && cancel != nil && s.host.Up() && s.host.Epoch() == epoch {
			s.host.Do(0, world.Request, cancel)
		}
		finish(reply{})
	})
}

func (c *caller) lost() bool {
	lost := c.chance.Permille(c.run.setup.ClientLoss)
	return lost && !c.run.healed
}

func (c *caller) move() {
	c.at = c.run.asked(c.chance)
}

// now is the true time, in nanoseconds.
func (r *Run) now() int64 { return int64(r.world.Now()) }
