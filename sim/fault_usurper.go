package sim

import "time"

// usurpers crash leaders as soon as they are elected, one after the other. So terms grow, votes are given and lost, and logs come to differ.
func (r *Run) usurpers() {
	stop := func() { r.onLeader = nil }
	r.addFault("usurper", r.setup.Faults.Usurper, func(f *fault) {
		kills, cutOff := 1+f.chance.Intn(3), f.chance.Permille(600)
		if f.chance.Permille(400) {
			// It may be elected before its own vote is durable.
			slow := r.seats[f.chance.Intn(len(r.seats))]
			percent, d := int(f.chance.Between(500, 5000)), f.chance.Duration(2*time.Second, 8*time.Second)
			r.story.say("the disk of %s is %d times slower for %v", slow.name, percent/100, d)
			slow.host.SetSlowness(percent)
			r.faultAfter(d, func() { slow.host.SetSlowness(100) })
		}
		if l := r.leader(); l != nil && cutOff && len(r.seats) > 1 {
			d := f.chance.Duration(time.Second, 6*time.Second)
			r.story.say("%s, who leads, is cut off for %v", l.name, d)
			r.counts.Partitions++
			r.isolate(l, true)
			r.faultAfter(d, func() {
				r.story.say("%s is back on the network", l.name)
				r.isolate(l, false)
			})
		}
		r.onLeader = func(res *resident) {
			s, power := res.seat, f.chance.Permille(500)
			wait := f.chance.Duration(0, 20*time.Millisecond)
			if f.chance.Permille(300) {
				wait = f.chance.Duration(0, 200*time.Millisecond)
			}
			if kills--; kills == 0 {
				stop()
			}
			r.faultAfter(wait, func() {
				if s.now == res && !r.healed {
					r.story.say("%s crashes, having just been elected (power lost: %v)", s.name, power)
					s.crash(power)
					s.bootSoon()
				}
			})
		}
	}, stop)
}
