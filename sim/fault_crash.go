package sim

import "time"

// crashes kills members, one at a time: the process alone, or the machine with what its disks had not synced.
func (r *Run) crashes() {
	r.addFault("crash", r.setup.Faults.Crash, func(f *fault) {
		power := f.chance.Permille(700)
		s := r.victim(f.chance)
		if s == nil {
			return
		}
		r.story.say("%s crashes (power lost: %v)", s.name, power)
		s.crash(power)
		s.bootSoon()
	}, nil)
}

// blackouts crash all members, or some of them, within a moment.
func (r *Run) blackouts() {
	r.addFault("blackout", r.setup.Faults.Blackout, func(f *fault) {
		all := f.chance.Permille(600)
		for _, s := range r.seats {
			hit, power, after := f.chance.Permille(700), f.chance.Permille(900), f.chance.Duration(0, 20*time.Millisecond)
			if !all && !hit {
				continue
			}
			r.faultAfter(after, func() {
				if s.host.Up() {
					r.story.say("%s goes down in a blackout (power lost: %v)", s.name, power)
					s.crash(power)
					s.bootSoon()
				}
			})
		}
	}, nil)
}
