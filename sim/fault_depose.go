package sim

import "time"

// deposals depose the leader at even intervals, in runs where nothing else goes wrong. Each leader has the time to do what it owes; what it did not
// write down is lost with it. It crashes, or is held still until there is another leader.
func (r *Run) deposals() {
	r.begin(&fault{name: "depose", mean: r.setup.Faults.Depose, steady: true, strike: func(f *fault) {
		still, d := f.chance.Permille(400), f.chance.Duration(2*time.Second, 5*time.Second)
		l := r.leader()
		for _, s := range r.seats {
			if s.now == nil || s.host.Paused() {
				return
			}
		}
		switch {
		case l == nil:
		case still:
			r.story.say("%s, who leads, is held still for %v", l.name, d)
			l.host.Pause()
			epoch := l.host.Epoch()
			r.faultAfter(d, func() { l.resume(epoch) })
		default:
			r.story.say("%s, who leads, crashes", l.name)
			l.crash(false)
			l.bootSoon()
		}
	}, mend: r.resumeAll})
}
