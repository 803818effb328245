package sim

import (
	"errors"
	"time"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/sim/prng"
)

// diskState is what the run knows of a seat's disks. No member is asked for it.
type diskState struct {
	// restore puts the disks back that a wipe has taken away. It is nil where none was taken away, or where a member has begun anew since, so that
	// the old disks are worthless.
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
func (d *diskState) unready() bool { return d.restore != nil || !d.took || d.aged.behind > 0 }

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

// wipes empty the disks of members, of a minority at a time. Such a member must not come back as if it were new. Often another member lags at
// that time and the leader goes down for a while, so that the members that are there lack what was acknowledged. Some wipes come very early, when
// no request of the member is in the log by which the others could know it.
func (r *Run) wipes() {
	if len(r.seats) < 3 {
		return
	}
	f := &fault{name: "wipe", mean: r.setup.Wipe, strike: r.strikeWipe}
	r.begin(f)
	if r.setup.Wipe > 0 && f.chance.Permille(600) {
		r.faultAfter(f.chance.Duration(time.Second, 8*time.Second), func() { r.strikeWipe(f) })
	}
}

func (r *Run) strikeWipe(f *fault) {
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

// wipe empties a seat's disks, if all that was promised is on the disks of a majority without them. It says whether it did.
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
