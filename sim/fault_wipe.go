package sim

import (
	"errors"
	"time"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/sim/prng"
)

// estate is what is known of a seat's disks, apart from what its members say.
type estate struct {
	// restore puts the disks back that a wipe has taken away; nil: none was, or a member has begun anew since, and the old ones are worthless.
	restore func()
	// known: when its disks were emptied, a request of this seat was in the log, so that every later leader knows it.
	known bool
	// took: a member has applied an entry beyond those that found the cluster, from the present disks.
	took bool
	// late: its first start comes later than the others'.
	late time.Duration
	// wiped is how often its disks were lost.
	wiped uint64
	aged  aged
}

// unready says that a seat's disks may hold less than its members have promised, or hold nothing yet.
func (e *estate) unready() bool { return e.restore != nil || !e.took || e.aged.behind > 0 }

// pickLate has a minority of the members start for the first time when the others have begun, in some runs: soon after, or much later.
func (r *Run) pickLate() {
	chance := r.world.Stream("late starts")
	n := chance.Intn((len(r.seats)+1)/2 + 1)
	if !chance.Permille(200) {
		return
	}
	n = min(n, (len(r.seats)-1)/2)
	first := chance.Intn(len(r.seats))
	for i := range n {
		wait := chance.Duration(0, 3*time.Second)
		if chance.Permille(500) {
			wait = chance.Duration(3*time.Second, 60*time.Second)
		}
		s := r.seats[(first+i)%len(r.seats)]
		s.late = wait
		r.counts.Late++
		r.story.say("%s is to start %v late", s.name, wait)
	}
}

// wipes empty the disks of members, a minority of them at a time: the member must not come back as if it were new. Often there is more to it:
// another member lags, and the leader is down for a while, so that those who are there do not have what was acknowledged. Some come very
// early, when nobody remembers the member by its requests.
func (r *Run) wipes() {
	if len(r.seats) < 3 {
		return
	}
	f := &fault{name: "wipe", mean: r.setup.Wipe, strike: r.strikeDisks}
	r.begin(f)
	if r.setup.Wipe > 0 && f.chance.Permille(600) {
		r.faultAfter(f.chance.Duration(time.Second, 8*time.Second), func() { r.strikeDisks(f) })
	}
}

// asked is the member that a client goes to: any, or, in a run with strangers, one of the few that clients know of.
func (r *Run) asked(chance *prng.Source) *seat {
	n := chance.Intn(len(r.seats))
	if r.setup.Asked > 0 {
		n %= r.setup.Asked
	}
	return r.seats[n]
}

func (r *Run) strikeDisks(f *fault) {
	power, alone, stranger := f.chance.Permille(700), f.chance.Permille(400), f.chance.Permille(500)
	lag, away := f.chance.Duration(200*time.Millisecond, 4*time.Second), f.chance.Duration(time.Second, 15*time.Second)
	n, next := f.chance.Intn(len(r.seats)), f.chance.Intn(len(r.seats)-1)
	if stranger || r.setup.Asked > 0 {
		n = r.stranger(n)
	}
	s, laggard := r.seats[n], r.seats[(n+1+next)%len(r.seats)]
	if alone {
		r.wipe(s, power)
		return
	}
	r.story.say("%s is cut off, and then %s is to lose its disks", laggard.name, s.name)
	r.isolate(laggard, true)
	r.faultAfter(lag, func() {
		if l := r.leader(); l != nil && l != s && l != laggard && !r.healed && r.wipe(s, power) {
			r.story.say("%s, who leads, is down for %v", l.name, away)
			l.crash(power)
			l.comeback = true
			r.faultAfter(away, func() { l.boot(false) })
		}
		r.isolate(laggard, false)
	})
}

// stranger returns the first member from n on of whom no request is in the log, n if there is none.
func (r *Run) stranger(n int) int {
	for i := range r.seats {
		if at := (n + i) % len(r.seats); r.checks.newest[uint64(r.seats[at].peer.ID)] == 0 {
			return at
		}
	}
	return n
}

// isolate cuts a member off from all others, or ends that.
func (r *Run) isolate(s *seat, cut bool) {
	change := r.world.Net().Unblock
	if cut {
		change = r.world.Net().Block
	}
	for _, o := range r.seats {
		if o != s {
			change(s.host, o.host)
			change(o.host, s.host)
		}
	}
}

// wipe empties a seat's disks, if all that was promised still stands on the disks of a majority.
func (r *Run) wipe(s *seat, power bool) bool {
	unready := 1
	for _, o := range r.seats {
		if o != s && o.unready() {
			unready++
		}
	}
	if unready > (len(r.seats)-1)/2 || s.restore != nil || s.lives == 0 || s.diskFault {
		return false
	}
	r.story.say("%s loses its disks", s.name)
	r.counts.Wiped++
	s.crash(power)
	s.harm, s.older = nil, nil
	s.wiped++
	s.restore, s.took, s.known = s.host.Wipe(), false, r.checks.newest[uint64(s.peer.ID)] != 0
	s.bootSoon()
	return true
}

// refused is what follows when a member does not start because others know it: its operator tries again with the empty disks, or puts back
// the old ones.
func (s *seat) refused(chance *prng.Source) {
	s.run.counts.Barred++
	often := 300
	if s.run.setup.Asked > 0 {
		often = 850 // until nobody remembers
	}
	again := chance.Permille(often)
	if again && !s.run.healed {
		return
	}
	s.run.story.say("%s gets its disks back", s.name)
	s.restore()
	s.restore, s.took, s.known = nil, true, false
}

// applies notes that a member of this seat applies an entry.
func (s *seat) applies(index uint64) {
	if s.restore != nil {
		s.run.story.say("%s has begun anew", s.name)
		s.run.counts.LetIn++
		if s.known {
			s.run.fail(&Failure{Promise: "no member comes back without its data", Story: s.name +
				" has lost its disks, and serves again as if it were new, though the others know it"})
		}
		s.restore = nil
	}
	s.took = s.took || index > uint64(len(s.run.seats))
	if index >= s.aged.behind {
		s.aged.behind = 0
	}
}

// forgetful says whether a member may end like this because its disks were emptied.
func (s *seat) forgetful(err error) bool {
	return s.restore != nil && errors.Is(err, node.ErrBootstrapped)
}
