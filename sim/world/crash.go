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
	h.fuse = n
	alive = survives(fn)
	h.fuse = -1
	return alive
}

// Crash ends the host's life where it is, also in the middle of what its lanes do. Without power its disks keep of the
// unsynced writes what they please; a killed process loses nothing that it wrote.
func (h *Host) Crash(power bool) {
	if !h.up {
		return
	}
	h.w.Counts.Crashes++
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

func (h *Host) end() {
	h.up, h.paused, h.member = false, false, nil
	held := h.held
	h.held = nil
	for _, e := range held {
		if e.epoch == 0 && e.kind != Message {
			h.w.schedule(h.w.now, e) // a visitor finds the door closed
		}
	}
}

// step is called before each disk operation that changes something. It returns whether the host dies in this one: the
// operation then does a part of its work and panics with died.
func (h *Host) step() (dies bool) {
	if h.fuse < 0 {
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
