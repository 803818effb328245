package world

import (
	"time"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/sim/prng"
)

// Host is a machine that one member runs on. A life goes from a start to a crash or an exit; epochs count lives. The ports of a life are dead
// after it, and no callback of one life comes in another. The disks stay.
type Host struct {
	w     *World
	id    uint64
	index int

	epoch  uint32 // of the life that is, or was last; the first is 1
	up     bool
	paused bool
	held   []event // what a paused host has yet to take, in order

	member Process
	clock  *Clock
	lanes  []*Lane
	disks  []*Disk
	peers  []port.Peer
	says   port.Formats // what this life's member says in greetings
	heard  []heard      // by the index of the host that it was told of

	unrest int64 // when the life last began or went on after a pause, or the disks' speed last changed

	drift    int64 // parts per million that the host's clock runs fast
	slowness int   // disk latency in percent of normal

	fuse      int    // disk operations until the host dies in one; negative: never
	fuseNames bool   // only operations that change names count
	died      func() // what follows when it dies in its lanes' work

	chance *prng.Source

	joined *prng.Source // draws which calls share a turn; nil: none do
	share  int          // permille of events after which the turn stays open
	open   bool         // a turn is under way
}

// Process is what runs on a host in one of its lives: a member.
type Process interface {
	// Receive takes a message from the network.
	Receive(from port.MemberID, payload []byte)
	// Greeted is told what another member says of format versions, before anything else that comes from its life.
	Greeted(from port.MemberID, f port.Formats)
	// EndTurn is called after each event that called into the member, or once after several of them (see JoinTurns).
	EndTurn()
}

// AddHost adds a machine; its name on the network is id. Its clock gains drift microseconds a second.
func (w *World) AddHost(id port.MemberID, drift int64) *Host {
	h := &Host{w: w, id: uint64(id), index: len(w.hosts), drift: drift, slowness: 100, fuse: -1,
		chance: w.Stream("host " + string(rune('A'+len(w.hosts))))}
	w.hosts = append(w.hosts, h)
	w.net.grow(h)
	return h
}

// ID returns the host's name on the network.
func (h *Host) ID() port.MemberID { return port.MemberID(h.id) }

// Index returns the host's place in World.Hosts.
func (h *Host) Index() int { return h.index }

// Up says whether a life is going on; Paused whether it is held still.
func (h *Host) Up() bool     { return h.up }
func (h *Host) Paused() bool { return h.paused }

// Epoch counts the host's lives.
func (h *Host) Epoch() uint32 { return h.epoch }

// Begin starts a new life: after it the ports may be asked for, and the member made. Attach must follow, or Crash.
func (h *Host) Begin() {
	if h.up {
		panic("world: a host that is up can't begin")
	}
	h.epoch++
	h.up, h.open = true, false
	h.w.acting = h
	h.unrest = h.w.now
	h.lanes = h.lanes[:0]
	h.peers, h.says = nil, port.Formats{}
	clear(h.heard)
	h.clock = newClock(h)
	for _, d := range h.disks {
		d.reopen()
	}
	h.w.Note(Boot, h.id, uint64(h.epoch), 0)
}

// Attach says who the member of this life is; until then messages to the host are lost.
func (h *Host) Attach(m Process) { h.member = m }

// Clock returns the clock of this life.
func (h *Host) Clock() *Clock { return h.clock }

// Network returns this life's door to the network.
func (h *Host) Network() *Door { return &Door{host: h, epoch: h.epoch} }

// Lane makes a lane for this life. Work waits for its turn for a time between the bounds (scaled by the disk's slowness)
// and for the bytes it moves.
func (h *Host) Lane(least, most time.Duration) *Lane {
	l := &Lane{host: h, epoch: h.epoch, least: least, most: most}
	h.lanes = append(h.lanes, l)
	return l
}

// Disk returns the host's disk of the given name, a new and empty one the first time.
func (h *Host) Disk(name string) *Disk {
	for _, d := range h.disks {
		if d.name == name {
			return d
		}
	}
	d := &Disk{host: h, name: name, chance: h.w.Stream("disk " + name + string(rune('A'+h.index)))}
	h.disks = append(h.disks, d)
	return d
}

// SetSlowness sets what the host's disks take for their work, in percent of the normal time.
func (h *Host) SetSlowness(percent int) { h.slowness, h.unrest = percent, h.w.now }

// Calm is for how long the host has lived without a pause, and its disks with their normal speed.
func (h *Host) Calm() time.Duration {
	if !h.up || h.paused || h.slowness != 100 {
		return 0
	}
	return time.Duration(h.w.now - h.unrest)
}

// Do has fn called in a turn of the host once d has passed, unless the life that now is has ended by then. The event is
// held while the host is paused.
func (h *Host) Do(d time.Duration, kind Kind, fn func()) {
	h.w.schedule(h.w.now+int64(d), event{kind: kind, host: h, epoch: h.epoch, fn: fn})
}

// Visit has fn called once d has passed, in a turn of the life that there is then. When the host is down, refused is called instead, outside any
// turn.
func (h *Host) Visit(d time.Duration, kind Kind, fn, refused func()) {
	h.w.schedule(h.w.now+int64(d), event{kind: kind, host: h, fn: func() {
		if h.member == nil {
			refused()
			return
		}
		fn()
	}})
}

// take makes an event of the host happen, or not.
func (h *Host) take(e event) {
	switch {
	case e.epoch != 0 && e.epoch != h.epoch:
		return // of an earlier life
	case h.paused:
		h.held = append(h.held, e)
		return
	case e.epoch != 0 && !h.up:
		return
	case e.kind == Message:
		if h.member == nil || !h.w.net.delivers(e.from, h) {
			h.w.Counts.Lost++
			return
		}
		if h.w.net.meet(e, h) {
			h.member.Receive(port.MemberID(e.from), e.payload)
		}
	default:
		e.fn()
	}
	if h.member != nil && !h.staysOpen() {
		h.member.EndTurn()
	}
}

// turnMost is the longest time for which a turn stays open.
const turnMost = 2 * time.Millisecond

// JoinTurns has a turn stay open for a moment after so many of a thousand events. What comes meanwhile belongs to it, too, as with a driver that has
// much to do.
func (h *Host) JoinTurns(permille int) {
	h.joined, h.share = h.w.Stream("turns "+string(rune('A'+h.index))), permille
}

// staysOpen says whether the turn goes on after this event. It then ends with an event of its own.
func (h *Host) staysOpen() bool {
	switch {
	case h.joined == nil:
		return false
	case h.open:
		h.w.Counts.JoinedTurns++
		return true
	case !h.joined.Permille(h.share):
		return false
	}
	h.open = true
	h.w.schedule(h.w.now+int64(h.joined.Duration(0, turnMost)), event{kind: TurnEnd, host: h, epoch: h.epoch, fn: func() { h.open = false }})
	return true
}

// Pause holds the host still: nothing that is for it happens until Resume, though the time goes on.
func (h *Host) Pause() {
	if h.up && !h.paused {
		h.paused = true
		h.w.Counts.Pauses++
	}
}

// Resume lets a paused host go on: all that was held happens now, in order.
func (h *Host) Resume() {
	h.paused, h.unrest = false, h.w.now
	for _, e := range h.held {
		h.w.schedule(h.w.now, e)
	}
	clear(h.held)
	h.held = h.held[:0]
}
