package sim

import (
	"strings"
	"time"
)

// partitions cuts links between members: one member off, a minority from the rest, or single directions.
func (r *Run) partitions() {
	type cut struct{ from, to *seat }
	var open [][]cut
	mend := func(cuts []cut) {
		for i := range open {
			if len(open[i]) > 0 && &open[i][0] == &cuts[0] {
				open = append(open[:i:i], open[i+1:]...)
				r.story.say("links are mended")
				for _, c := range cuts {
					r.world.Net().Unblock(c.from.host, c.to.host)
				}
				return
			}
		}
	}
	r.addFault("partition", r.setup.Faults.Partition, func(f *fault) {
		if len(r.seats) < 2 {
			return
		}
		var cuts []cut
		var side []bool
		oneWay, reversed, scattered := f.chance.Permille(300), f.chance.Permille(500), f.chance.Permille(200)
		lone := f.chance.Permille(500)
		victim := r.victim(f.chance)
		d := f.chance.Duration(200*time.Millisecond, 15*time.Second)
		for _, s := range r.seats {
			draw := f.chance.Permille(500)
			side = append(side, lone && s == victim || !lone && draw)
		}
		for i, a := range r.seats {
			for j, b := range r.seats {
				draw := f.chance.Permille(300)
				split := side[i] && !side[j]
				if reversed {
					split = !side[i] && side[j]
				}
				if i != j && (scattered && draw || !scattered && (split || !oneWay && side[i] != side[j])) {
					cuts = append(cuts, cut{a, b})
				}
			}
		}
		if len(cuts) == 0 {
			return
		}
		r.counts.Partitions++
		for _, c := range cuts {
			r.world.Net().Block(c.from.host, c.to.host)
		}
		if r.story.telling {
			var names []string
			for _, c := range cuts {
				names = append(names, c.from.name+">"+c.to.name)
			}
			r.story.say("links are cut for %v: %s", d, strings.Join(names, " "))
		}
		open = append(open, cuts)
		r.faultAfter(d, func() { mend(cuts) })
	}, func() {
		for len(open) > 0 {
			mend(open[0])
		}
	})
}

// isolate cuts a member off from all others, or ends that.
func (r *Run) isolate(s *seat, cut bool) {
	change := r.world.Net().Unblock
	if cut {
		change = r.world.Net().Block
	}
	for _, o := range r.seats {
		if o != s {
			change(s.host, o.host)
			change(o.host, s.host)
		}
	}
}
