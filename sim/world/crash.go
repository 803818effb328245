package world

import "github.com/detcd/detcd/node/port"

// died is the panic of a disk operation in which the host dies. Only this package recovers it.
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

// BurnFuse runs fn, such as the start of a member, and has the host die in disk operation number n of it, counted from 0. It says whether fn
// came to its end before that. If not, Crash must follow.
func (h *Host) BurnFuse(n int, fn func()) (alive bool) {
	h.Disarm()
	h.fuse = n
	alive = survives(fn)
	h.Disarm()
	return alive
}

// ArmFuse has the host die while its lanes work: in disk operation number n from now, counted from 0. With names set only operations that change
// names count. In place of the rest of that work died is called, which must call Crash. The end of the life disarms the fuse.
func (h *Host) ArmFuse(n int, names bool, died func()) { h.fuse, h.fuseNames, h.died = n, names, died }

// Crash ends the host's life at once, also in the middle of what its lanes do. With power set the machine loses its power, and of what was not
// synced the disks keep whatever they happen to keep. Otherwise only the process is killed, and nothing that it wrote is lost.
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
			h.w.schedule(h.w.now, e) // a call of Visit: it is refused
		}
	}
}

// Wipe empties the disks of a host that is down, as if they were new ones. restore puts the old content back, in place of what is there by then. The
// host must be down again for that.
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
