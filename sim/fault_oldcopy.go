package sim

import (
	"errors"
	"strings"
	"time"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/sim/prng"
	"github.com/detcd/detcd/sim/world"
)

// oldCopy is what the disks of a seat held at one time.
type oldCopy struct {
	seat   *seat
	wiped  uint64 // how often the seat had lost its disks then
	images []*world.Image
}

// aged is what is known of a seat whose disks were replaced by an old copy.
type aged struct {
	// lost is the newest incarnation of which the copy knows nothing. A run with this number or a lower one is one that was lived before.
	lost uint64
	// behind is where the others' logs ended when the copy was put there. Until the member has the log up to there, it lacks what it had
	// acknowledged. 0: it lacks nothing.
	behind uint64
}

// messagesGone is the longest time that messages are under way. An old copy is put back only after it. Otherwise a late message of a run that the copy
// knows nothing of would reach the run that takes its place: members do not tell two runs of one incarnation apart, and do not promise to.
const messagesGone = 6 * time.Second

// oldCopies copy a member's disks while it is down, and put the copy back later, while all members are down. No member remembers then what that
// one had acknowledged. The others are level at that time, so nothing that the copy has forgotten was promised by this member alone, neither entries
// nor votes: see fits. What is left is for the member to find out: that it lives a part of its life twice. It may end because of that, and is then
// started again with what it has, as the others have sent it the log.
func (r *Run) oldCopies() {
	if len(r.seats) < 3 {
		return
	}
	r.addFault("old copy", r.setup.OldCopy, r.strikeCopy, func() { r.lull = 0 })
}

func (r *Run) strikeCopy(f *fault) {
	s, later := r.seats[f.chance.Intn(len(r.seats))], f.chance.Duration(2*time.Second, 15*time.Second)
	course := prng.New(f.chance.Uint64(), "old copy")
	if !s.sound() {
		return
	}
	r.story.say("%s is stopped, and its disks are copied", s.name)
	s.crash(false)
	c := s.copyDisks()
	s.bootSoon()
	r.faultAfter(later, func() { r.returnTo(c, course) })
}

// sound says whether a member lives, and nothing is wrong with it or with its disks.
func (s *seat) sound() bool {
	return s.now != nil && !s.now.failed && !s.host.Paused() && !s.stopping && !s.diskFault && s.harm == nil && !s.unready()
}

func (s *seat) copyDisks() *oldCopy {
	c := &oldCopy{seat: s, wiped: s.wiped}
	for _, name := range diskNames {
		c.images = append(c.images, s.host.Disk(name).Image())
	}
	return c
}

// levelTries and levelPause bound the wait until all members are level, while clients are quiet.
const (
	levelTries = 20
	levelPause = 200 * time.Millisecond
)

// returnTo waits until all members are level, stops them all, and puts a copy back.
func (r *Run) returnTo(c *oldCopy, chance *prng.Source) {
	r.lull = max(r.lull, r.now()+int64(levelTries*levelPause))
	tries := levelTries
	var wait func()
	wait = func() {
		tries--
		switch {
		case r.healed || c.wiped != c.seat.wiped:
		case r.allLevel():
			r.stopAll(chance)
			r.faultAfter(messagesGone+chance.Duration(0, 3*time.Second), func() { r.putBack(c, chance) })
		case tries > 0:
			r.faultAfter(levelPause, wait)
		}
	}
	r.faultAfter(2*levelPause, wait)
}

// allLevel says whether all members live and know of the same, as far as they say.
func (r *Run) allLevel() bool {
	var first node.Status
	for i, s := range r.seats {
		if !s.sound() {
			return false
		}
		st := s.now.member.Status()
		if i == 0 {
			first = st
		}
		if st.Leader == 0 || st.Term != first.Term || st.Applied != first.Applied || st.Committed != st.Applied {
			return false
		}
	}
	return true
}

// stopAll ends all members. They stay down until putBack.
func (r *Run) stopAll(chance *prng.Source) {
	r.story.say("all members are stopped, for an old copy to be put back")
	for _, s := range r.seats {
		s.crash(chance.Permille(500))
		s.comeback = true
	}
}

// putBack puts a copy in the place of what its member has, where that fits, and starts all members. Its member comes first, and is asked for
// something before it hears of a leader. What it had may be put back later in the same way, as from an operator who sees the mistake.
func (r *Run) putBack(c *oldCopy, chance *prng.Source) {
	again, later := chance.Permille(400), chance.Duration(2*time.Second, 15*time.Second)
	if r.healed {
		return // all come back anyway
	}
	if at := r.fits(c.seat); at != nil {
		s := c.seat
		r.story.say("the disks of %s are an old copy now, what it did up to incarnation %d is forgotten", s.name, at.lost)
		r.counts.Aged++
		newest := s.copyDisks()
		for i, name := range diskNames {
			s.host.Disk(name).Restore(c.images[i])
		}
		s.aged, s.older = aged{lost: max(s.aged.lost, at.lost), behind: at.behind}, nil
		if again {
			r.faultAfter(later, func() { r.returnTo(newest, chance) })
		}
	}
	c.seat.comeback = false
	c.seat.boot(false)
	for _, s := range r.seats {
		if s != c.seat {
			s.comeback = false
			s.bootSoon()
		}
	}
}

// fits says whether an old copy may take the place of a seat's disks, so that raft can still keep all that was promised; nil: it may not.
//
// Entries: all other members have the same log, durably. A majority has one of them in it, so whatever may be committed is in all of them, and the
// seat is one that lags. Votes: all members are in the same term, durably, and the others' logs end with an entry of it. So nobody campaigns in
// that term or an earlier one but the seat, which gets no vote in it with a log that ends before that term.
func (r *Run) fits(s *seat) *aged {
	var first *wal.Summary
	var at aged
	for _, o := range r.seats {
		if o.host.Up() || o.unready() || o.harm != nil {
			return nil
		}
		sum, err := wal.Verify(o.host.Disk("wal").Durable())
		if err != nil {
			return nil
		}
		if first == nil {
			first = sum
		}
		if sum.Term != first.Term {
			return nil
		}
		if o == s {
			at.lost = sum.Incarnation
			continue
		}
		if at.behind == 0 {
			at.behind = sum.LastIndex
		}
		if sum.LastTerm != sum.Term || sum.LastIndex != at.behind || sum.LastIndex+1 < r.checks.next {
			return nil
		}
	}
	return &at
}

// outdated says whether a member may end with this error: its disks are an old copy, and this run of it is one that was lived before.
func (s *seat) outdated(err error) bool {
	if s.aged.lost == 0 || !errors.Is(err, node.ErrDataLost) || !strings.Contains(err.Error(), "its data directory is an old copy") {
		return false
	}
	sum, unread := wal.Verify(s.host.Disk("wal").Durable())
	return unread == nil && sum.Incarnation <= s.aged.lost
}
