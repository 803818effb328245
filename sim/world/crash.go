package world

import "github.com/detcd/detcd/node/port"

// died is what a disk operation panics with in which the host dies. Only this package recovers it.
type died struct{}

// survives runs fn and says whether the host came through it alive.
func survives(fn func()) (alive bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(died); !ok {
				panic(r)
			}
		}
	}()
	fn()
	return true
}

// BurnFuse runs fn (which makes a member, say) with the host due to die in its disk operation number n, counted from 0. It
// says whether fn got to its end before that. If not, Crash must follow.
func (h *Host) BurnFuse(n int, fn func()) (alive bool) {
	h.Disarm()
	h.fuse = n
	alive = survives(fn)
	h.Disarm()
	return alive
}

// ArmFuse has the host die in the middle of what its lanes do: in the disk operation number n from now, counted from 0; with names
// set only those that change names count. died is called then, in place of the rest of that work; Crash must follow there. The end of
// the life disarms it.
func (h *Host) ArmFuse(n int, names bool, died func()) { h.fuse, h.fuseNames, h.died = n, names, died }

// Crash ends the host's life where it is, also in the middle of what its lanes do. Without power its disks keep of the
// unsynced writes what they please; a killed process loses nothing that it wrote.
func (h *Host) Crash(power bool) {
	if !h.up {
		return
	}
	h.w.Counts.Crashes++
	h.Disarm()
	for _, l := range h.lanes {
		l.breakOff()
	}
	h.end()
	var lost uint64
	if power {
		lost = 1
		h.w.Counts.PowerLosses++
		for _, d := range h.disks {
			d.losePower()
		}
	}
	h.w.Note(Crash, h.id, uint64(h.epoch), lost)
}

// Leave ends the host's life as a process does that exits of its own will: what its lanes were given is not done.
func (h *Host) Leave() {
	h.end()
	h.w.Note(Crash, h.id, uint64(h.epoch), 2)
}

// Disarm takes back ArmFuse.
func (h *Host) Disarm() { h.fuse, h.fuseNames, h.died = -1, false, nil }

func (h *Host) end() {
	h.Disarm()
	h.up, h.paused, h.member = false, false, nil
	held := h.held
	h.held = nil
	for _, e := range held {
		if e.epoch == 0 && e.kind != Message {
			h.w.schedule(h.w.now, e) // a visitor finds the door closed
		}
	}
}

// Wipe empties the disks of a host that is down, as where a new disk stands in the place of one that was lost. restore puts what was there back
// in the place of what is there then; the host must be down again.
func (h *Host) Wipe() (restore func()) {
	if h.up {
		panic("world: the disks of a host that is up can't be taken away")
	}
	type content struct {
		names, durable []entry
		pending        []change
	}
	kept := make([]content, len(h.disks))
	for i, d := range h.disks {
		kept[i] = content{d.names, d.durable, d.pending}
		d.names, d.durable, d.pending = nil, nil, nil
	}
	h.w.Note(Crash, h.id, uint64(h.epoch), 3)
	return func() {
		if h.up {
			panic("world: the disks of a host that is up can't be put back")
		}
		for i, d := range h.disks[:len(kept)] {
			d.names, d.durable, d.pending = kept[i].names, kept[i].durable, kept[i].pending
		}
		h.w.Note(Crash, h.id, uint64(h.epoch), 4)
	}
}

// step is called before each disk operation that changes something. It returns whether the host dies in this one: the
// operation then does a part of its work and panics with died.
func (h *Host) step(names bool) (dies bool) {
	if h.fuse < 0 || h.fuseNames && !names {
		return false
	}
	if h.fuse == 0 {
		h.w.Counts.CrashedInDiskWork++
		return true
	}
	h.fuse--
	return false
}

var (
	_ port.Clock   = (*Clock)(nil)
	_ port.Network = (*Door)(nil)
	_ port.Disk    = (*Disk)(nil)
	_ port.File    = (*handle)(nil)
	_ port.Lane    = (*Lane)(nil)
)
