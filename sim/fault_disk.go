package sim

import (
	"time"
)

// slowDisks makes disks slow for a while.
func (r *Run) slowDisks() {
	calm := func(s *seat) { s.host.SetSlowness(100) }
	r.addFault("slow disk", r.setup.Faults.SlowDisk, func(f *fault) {
		s := r.seats[f.chance.Intn(len(r.seats))]
		percent, d := int(f.chance.Between(500, 30_000)), f.chance.Duration(time.Second, 15*time.Second)
		r.story.say("the disk of %s is %d times slower for %v", s.name, percent/100, d)
		s.host.SetSlowness(percent)
		r.faultAfter(d, func() { calm(s) })
	}, func() {
		for _, s := range r.seats {
			calm(s)
		}
	})
}

// badDisks fills disks up, or has their writes or syncs fail: the member must stop, and come back unharmed once there is room.
func (r *Run) badDisks() {
	mend := func(s *seat) {
		for _, name := range diskNames {
			s.host.Disk(name).Drain()
			s.host.Disk(name).FailSyncs(0)
			s.host.Disk(name).FailWrites(0)
		}
		if s.diskFault {
			r.story.say("the disks of %s are well again", s.name)
			s.diskFault = false
		}
	}
	r.addFault("bad disk", r.setup.Faults.BadDisk, func(f *fault) {
		s := r.seats[f.chance.Intn(len(r.seats))]
		disk := s.host.Disk(diskNames[f.chance.Intn(len(diskNames))])
		kind, spare, d := f.chance.Weighted([]int{2, 1, 1}), f.chance.Between(0, 4<<10), f.chance.Duration(10*time.Second, 60*time.Second)
		if s.diskFault {
			return
		}
		s.diskFault = true
		switch kind {
		case 0:
			r.story.say("a disk of %s has %d bytes left for %v", s.name, spare, d)
			disk.Fill(spare)
		case 1:
			r.story.say("a disk of %s fails its next sync", s.name)
			disk.FailSyncs(1)
		case 2:
			r.story.say("a disk of %s fails its next write", s.name)
			disk.FailWrites(1)
		}
		r.faultAfter(d, func() { mend(s) })
	}, func() {
		for _, s := range r.seats {
			mend(s)
		}
	})
}

var diskNames = []string{"wal", "snap"}
