package sim

import "time"

// crashes kills members, one at a time: the process alone, or the machine with what its disks had not synced.
func (r *Run) crashes() {
	r.addFault("crash", r.setup.Faults.Crash, func(f *fault) {
		power, where, far := f.chance.Permille(700), f.chance.Weighted([]int{2, 3, 5, 1}), f.chance.Intn(30)
		near, named := f.chance.Weighted([]int{4, 4, 2, 1}), f.chance.Weighted([]int{1, 4, 4, 2})
		s := r.victim(f.chance)
		if s == nil {
			return
		}
		crash := func() {
			r.story.say("%s crashes (power lost: %v)", s.name, power)
			s.crash(power)
			s.bootSoon()
		}
		// Most crashes come in the middle of disk work: it is rare that work is going on, and that is when there is something to lose.
		switch where {
		case 0:
			crash()
		case 1:
			s.host.ArmFuse(named, true, crash)
		case 2:
			s.host.ArmFuse(near, false, crash)
		case 3:
			s.host.ArmFuse(far, false, crash)
		}
	}, func() {
		for _, s := range r.seats {
			s.host.Disarm()
		}
	})
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
