package sim

import (
	"time"

	"github.com/detcd/detcd/sim/world"
)

// storms gives some links, or all, foul weather: messages lost, repeated, late and out of order.
func (r *Run) storms() {
	r.addFault("storm", r.setup.Faults.Storm, func(f *fault) {
		c := f.chance
		foul := world.Weather{Loss: c.Intn(400), Repeat: c.Intn(400), Reorder: c.Intn(1000), Tail: c.Intn(300),
			DelayLeast: c.Duration(0, 20*time.Millisecond), DelayTail: c.Duration(0, 5*time.Second), BulkBytesPerSecond: 1 << 20}
		foul.DelayMost = foul.DelayLeast + c.Duration(0, 100*time.Millisecond)
		d := c.Duration(time.Second, 20*time.Second)
		everywhere := c.Permille(500)
		r.story.say("a storm of %v: lost %d, repeated %d, reordered %d, late %d permille, by up to %v",
			d, foul.Loss, foul.Repeat, foul.Reorder, foul.Tail, foul.DelayTail)
		for _, a := range r.seats {
			for _, b := range r.seats {
				if hit := c.Permille(400); a != b && (hit || everywhere) {
					r.world.Net().SetLinkWeather(a.host, b.host, foul)
				}
			}
		}
		r.faultAfter(d, func() {
			r.story.say("the storm is over")
			r.world.Net().SetWeather(r.setup.Fair)
		})
	}, nil)
}
