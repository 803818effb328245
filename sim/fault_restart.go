package sim

// restarts stops members in good order and starts them again, as an upgrade does.
func (r *Run) restarts() {
	r.addFault("restart", r.setup.Faults.Restart, func(f *fault) {
		s := r.victim(f.chance)
		if s == nil || s.stopping || s.host.Paused() {
			return
		}
		r.story.say("%s is asked to stop", s.name)
		s.stopping = true
		r.counts.Stops++
		res := s.now
		s.host.Do(0, faultKind, func() {
			res.member.Stop(func() {
				r.faultAfter(0, func() {
					if s.now != res {
						return
					}
					r.story.say("%s has stopped", s.name)
					s.now, s.stopping = nil, false
					s.host.Leave()
					s.bootSoon()
				})
			})
		})
	}, nil)
}
