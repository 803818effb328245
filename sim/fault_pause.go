package sim

import "time"

// pauses holds members still for a while: they keep all they know, and learn late how old it is.
func (r *Run) pauses() {
	r.addFault("pause", r.setup.Faults.Pause, func(f *fault) {
		d := f.chance.Duration(50*time.Millisecond, 3*time.Second)
		if f.chance.Permille(200) {
			d = f.chance.Duration(3*time.Second, 20*time.Second)
		}
		s := r.victim(f.chance)
		if s == nil || s.host.Paused() {
			return
		}
		r.story.say("%s is held still for %v", s.name, d)
		s.host.Pause()
		epoch := s.host.Epoch()
		r.faultAfter(d, func() { s.resume(epoch) })
	}, r.resumeAll)
}

// resume lets a member go on that is held still, unless another life of it has begun since.
func (s *seat) resume(epoch uint32) {
	if s.host.Paused() && s.host.Epoch() == epoch {
		s.run.story.say("%s goes on", s.name)
		s.host.Resume()
	}
}

func (r *Run) resumeAll() {
	for _, s := range r.seats {
		s.resume(s.host.Epoch())
	}
}
