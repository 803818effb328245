package sim

import (
	"time"

	"github.com/detcd/detcd/sim/prng"
)

// damages crash a member, which finds its disks damaged when it starts again: bits have flipped in what was synced; the log was cut short or
// overwritten, is another member's, or is not there at all. Some strike a member that is at rest, and take its power, too: it must notice the damage,
// though the loss of power may take its last notes.
func (r *Run) damages() {
	r.addFault("damage", r.setup.Faults.Damage, func(f *fault) {
		h := drawHarm(f.chance)
		lull, power := f.chance.Permille(600), f.chance.Permille(600)
		d := r.restAfter() + f.chance.Duration(0, 2*time.Second)
		s := r.victim(f.chance)
		if s == nil || s.harm != nil {
			return
		}
		if !lull {
			s.harmSoon(h, power)
			return
		}
		r.story.say("clients are quiet for %v", d)
		r.lull = max(r.lull, r.now()+int64(d))
		r.faultAfter(d-time.Millisecond, func() { s.harmSoon(h, power) })
	}, func() { r.lull = 0 })
}

// restAfter is the time without a write after which a member must be at rest, with all that protects its log durable: half a second and two ticks by a slow
// clock, and three pieces of work that each wait for the disk.
func (r *Run) restAfter() time.Duration {
	return (500*time.Millisecond+2*r.setup.Node.TickInterval)*11/10 + 3*11*r.setup.DiskMost
}

// harmSoon crashes the member, and plans the harm that its next start finds.
func (s *seat) harmSoon(h *harm, power bool) {
	if s.now == nil || s.host.Paused() || s.harm != nil || s.restore != nil || s.run.healed {
		return
	}
	rest := s.run.restAfter()
	h.rested = s.host.Calm() > rest && s.host.Disk("wal").SinceSync() > rest
	// A member that wrote a moment ago and loses power may not notice the damage (see package wal). So only its process ends.
	h.power = power && h.rested
	h.owed = s.summary(s.host.Disk("wal").Durable())
	s.run.story.say("%s crashes (power lost: %v, at rest: %v), and what it will find is damaged", s.name, h.power, h.rested)
	s.harm = h
	s.crash(h.power)
	s.bootSoon()
}

// harmKind is a way in which data is damaged.
type harmKind int

const (
	flipLast   harmKind = iota // a bit of the last batch
	flipAny                    // a bit of any record
	cutShort                   // a segment ends early
	zeroed                     // a segment is zero from somewhere on
	garbled                    // a segment is garbage from somewhere on
	logGone                    // no segment is there
	logOthers                  // the log of another member
	logOlder                   // the log as it was some time ago
	flipBeside                 // a bit of a file beside the log
	besideGone                 // no file is there beside the log
)

// harm is damage that a member is to find.
type harm struct {
	kind          harmKind
	power, rested bool
	owed          *logState // what the log held, durably, when the member crashed
	chance        *prng.Source
}

func drawHarm(chance *prng.Source) *harm {
	return &harm{kind: harmKind(chance.Weighted([]int{8, 3, 3, 3, 3, 2, 1, 2, 2, 1})), chance: prng.New(chance.Uint64(), "harm")}
}
