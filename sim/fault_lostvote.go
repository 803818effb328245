package sim

import (
	"time"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/sim/prng"
)

// lostVote is one member that asks for votes while its disk is slow, and crashes before its own vote is durable or soon after. It comes back at
// once, and the others do nothing until it asks again. If it has been elected with a vote that it now does not know of, it is elected for
// the same term once more.
type lostVote struct {
	run    *Run
	seat   *seat
	chance *prng.Source
	others []still // are held still until the member asks for votes
	deaf   bool    // nobody hears what it sends
	// crashed: it has asked, and crashed.
	crashed bool
}

// still is a life of a member that is held still.
type still struct {
	seat  *seat
	epoch uint32
}

// lostVotes restart all members, and have one of them ask for votes first.
func (r *Run) lostVotes() {
	if len(r.seats) < 3 {
		return
	}
	r.addFault("lost vote", r.setup.LostVote, r.strikeVote, func() { r.lostVote.end() })
}

func (r *Run) strikeVote(f *fault) {
	l := r.victim(f.chance)
	v := &lostVote{run: r, seat: l, chance: prng.New(f.chance.Uint64(), "lost vote")}
	for _, s := range r.seats {
		if !s.sound() {
			return
		}
	}
	if r.lostVote != nil {
		return
	}
	r.lostVote = v
	r.story.say("all members crash; %s is to ask for votes first", l.name)
	for _, s := range r.seats {
		s.crash(v.chance.Permille(300))
	}
	v.restart(l, false)
	for _, s := range r.seats {
		if s != l {
			v.restart(s, true)
		}
	}
	r.faultAfter(v.asksWithin(), v.letGo)
	r.faultAfter(3*v.asksWithin(), v.end)
}

// asksWithin is a time in which a member that hears nobody asks for votes, its start included.
func (v *lostVote) asksWithin() time.Duration {
	n := &v.run.setup.Node
	return 2*time.Duration(n.ElectionTicks+1)*n.TickInterval*11/10 + 2*restartMost
}

// restartMost is the longest time until a member is started again.
const restartMost = 100 * time.Millisecond

// restart starts a member in a moment. With hold it is held still then.
func (v *lostVote) restart(s *seat, hold bool) {
	s.comeback = true
	v.run.faultAfter(v.chance.Duration(0, restartMost), func() {
		s.boot(false)
		if hold && !v.over() {
			v.hold(s)
		}
	})
}

func (v *lostVote) hold(s *seat) {
	if s.now != nil && !s.host.Paused() {
		v.run.story.say("%s is held still until %s asks for votes", s.name, v.seat.name)
		s.host.Pause()
		v.others = append(v.others, still{s, s.host.Epoch()})
	}
}

// letGo ends the stillness of the others.
func (v *lostVote) letGo() {
	for _, o := range v.others {
		o.seat.resume(o.epoch)
	}
	v.others = nil
}

func (v *lostVote) over() bool { return v.run.lostVote != v }

// turns sees a member change its term or its role: before what it then writes is given to its disk, and before what it sends has left.
func (v *lostVote) turns(res *resident, term uint64, role node.Role) {
	if v == nil || res.seat != v.seat || role == node.Follower {
		return
	}
	v.letGo()
	switch {
	case v.crashed:
	case role == node.Leader:
		v.mute()
		v.crashSoon(res, v.chance.Duration(0, 20*time.Millisecond))
	case term > res.term:
		v.slow()
		if v.chance.Permille(200) {
			v.crashSoon(res, v.chance.Duration(0, 200*time.Millisecond))
		}
	}
}

// slow has the write of the vote take its time.
func (v *lostVote) slow() {
	percent := int(v.chance.Between(3_000, 60_000))
	v.run.story.say("%s asks for votes; its disk is %d times slower", v.seat.name, percent/100)
	v.seat.host.SetSlowness(percent)
}

// mute has nobody hear that the member leads, in most cases: who hears of a leader waits for it, and does not vote.
func (v *lostVote) mute() {
	if v.chance.Permille(700) && !v.deaf {
		v.run.story.say("nobody hears %s, who has been elected", v.seat.name)
		v.deafen(true)
	}
}

func (v *lostVote) deafen(cut bool) {
	if v.deaf == cut {
		return
	}
	v.deaf = cut
	change := v.run.world.Net().Unblock
	if cut {
		change = v.run.world.Net().Block
	}
	for _, o := range v.run.seats {
		if o != v.seat {
			change(v.seat.host, o.host)
		}
	}
}

// crashSoon crashes the member in a moment, and has it ask for votes once more.
func (v *lostVote) crashSoon(res *resident, wait time.Duration) {
	power := v.chance.Permille(600)
	v.run.faultAfter(wait, func() {
		if v.over() || v.crashed || v.seat.now != res {
			return
		}
		v.crashed = true
		v.run.counts.VotesLost++
		v.run.story.say("%s crashes, having asked for votes (power lost: %v)", v.seat.name, power)
		v.seat.crash(power)
		v.seat.host.SetSlowness(100)
		v.deafen(false)
		for _, s := range v.run.seats {
			if s != v.seat {
				v.hold(s)
			}
		}
		v.restart(v.seat, false)
		v.run.faultAfter(v.asksWithin(), v.letGo)
	})
}

// end mends what is still going on.
func (v *lostVote) end() {
	if v == nil || v.over() {
		return
	}
	v.letGo()
	v.deafen(false)
	v.seat.host.SetSlowness(100)
	v.run.lostVote = nil
}
