package node

import "github.com/detcd/detcd/node/port"

// heartbeats counts late ones. A leader sends one round of heartbeats a tick. Late ones let followers think of an election.
type heartbeats struct {
	*core
	idle
	last port.Instant // when the last round left; 0: this member did not lead then
	late uint64       // see Status.LateHeartbeats
}

func (h *heartbeats) tick(now port.Instant) {
	if h.role != Leader {
		h.last = 0
		return
	}
	if h.last != 0 && now.Sub(h.last) > 2*h.config.TickInterval {
		h.late++
	}
	h.last = now
}
