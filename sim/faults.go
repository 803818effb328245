package sim

import (
	"time"

	"github.com/detcd/detcd/sim/prng"
	"github.com/detcd/detcd/sim/world"
)

// A fault is something that goes wrong again and again while trouble lasts. strike does it once, and schedules its own end.
// mend ends whatever of it is still going on; it is called when trouble is over.
type fault struct {
	name   string
	mean   time.Duration
	strike func(f *fault)
	mend   func()
	chance *prng.Source
	// steady: it comes at about even intervals.
	steady bool
}

// addFault starts a fault, unless the set-up has it off.
func (r *Run) addFault(name string, mean time.Duration, strike func(f *fault), mend func()) {
	r.begin(&fault{name: name, mean: mean, strike: strike, mend: mend})
}

func (r *Run) begin(f *fault) {
	if f.mean == 0 {
		return
	}
	f.chance = r.world.Stream("fault " + f.name)
	r.faults = append(r.faults, f)
	r.next(f)
}

func (r *Run) next(f *fault) {
	least, most := f.mean/10, 2*f.mean
	if f.steady {
		least, most = f.mean*3/4, f.mean*5/4
	}
	r.world.After(f.chance.Duration(least, most), world.Fault, func() {
		if !r.healed {
			f.strike(f)
			r.next(f)
		}
	})
}

// heal ends all trouble: from now on nothing breaks, and everyone who is down comes back.
func (r *Run) heal() {
	r.story.say("all faults end")
	r.healed = true
	for _, f := range r.faults {
		if f.mend != nil {
			f.mend()
		}
	}
	r.world.Net().SetWeather(r.setup.Fair)
	r.leaveOut()
	r.bootAll()
}

// leaveOut keeps a minority down, in some runs: the others must serve without them.
func (r *Run) leaveOut() {
	chance := r.world.Stream("leave out")
	absent := 0
	if chance.Permille(600) {
		absent = chance.Intn((len(r.seats)+1)/2 + 1)
		absent = min(absent, (len(r.seats)-1)/2)
		// A member that has yet to get its disks back, or to begin at all, may need all the others.
		for _, s := range r.seats {
			if s.unready() {
				absent = max(0, absent-1)
			}
		}
	}
	leave := func(s *seat) {
		if absent > 0 && !s.absent {
			r.story.say("%s stays down", s.name)
			absent--
			s.absent = true
			s.crash(false)
		}
	}
	// A member that has just died may know what the others do not, so it is left out first.
	for _, s := range r.seats {
		if s.now == nil {
			leave(s)
		}
	}
	for absent > 0 {
		leave(r.seats[chance.Intn(len(r.seats))])
	}
}

// bootAll starts everyone who is down and is to come back.
func (r *Run) bootAll() {
	for _, s := range r.seats {
		if !s.host.Up() && !s.absent {
			s.comeback = false
			s.bootSoon()
		}
	}
}

// present are the members that are not left out.
func (r *Run) present() (seats []*seat) {
	for _, s := range r.seats {
		if !s.absent {
			seats = append(seats, s)
		}
	}
	return seats
}

// victim picks a member that lives: often the leader, for whom there is the most to go wrong. nil if none lives.
func (r *Run) victim(chance *prng.Source) *seat {
	preferLeader, n := chance.Permille(400), chance.Intn(len(r.seats))
	if l := r.leader(); preferLeader && l != nil {
		return l
	}
	for i := range r.seats {
		if s := r.seats[(n+i)%len(r.seats)]; s.now != nil {
			return s
		}
	}
	return nil
}

const (
	faultKind  = world.Fault
	clientKind = world.Client
)

func (r *Run) faultAfter(d time.Duration, fn func()) { r.world.After(d, faultKind, fn) }
