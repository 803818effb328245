package world

import (
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/sim/prng"
)

// Weather is what befalls messages on a link. Chances are in permille.
type Weather struct {
	Loss, Repeat, Reorder, Tail int
	DelayLeast, DelayMost       time.Duration
	DelayTail                   time.Duration // the longest delay of messages in the tail, and of repetitions
	BulkBytesPerSecond          int64         // how much a link takes of Bulk messages; others overtake them
}

// Net is the network: a link from each host to each other one, every direction on its own.
type Net struct {
	w      *World
	links  [][]link // from, to
	chance *prng.Source
	byID   map[uint64]*Host // looked up, never ranged
}

type link struct {
	weather  Weather
	blocked  int      // how many partitions cut it now
	last     [3]int64 // when the last message of each class arrives; a later one comes after it, unless it is reordered
	bulkFree int64    // when the link has room for the next bulk message
}

func newNet(w *World) *Net {
	return &Net{w: w, chance: w.Stream("network"), byID: make(map[uint64]*Host)}
}

func (n *Net) grow(h *Host) {
	n.byID[h.id] = h
	for i := range n.links {
		n.links[i] = append(n.links[i], link{})
	}
	n.links = append(n.links, make([]link, len(n.w.hosts)))
}

// SetWeather gives all links the same weather.
func (n *Net) SetWeather(weather Weather) {
	for i := range n.links {
		for j := range n.links[i] {
			n.links[i][j].weather = weather
		}
	}
}

// SetLinkWeather gives one direction between two hosts its weather.
func (n *Net) SetLinkWeather(from, to *Host, weather Weather) {
	n.links[from.index][to.index].weather = weather
}

// Block cuts one direction between two hosts, and Unblock mends it. What arrives while it is cut is lost. A link that was cut twice is mended by
// the second Unblock.
func (n *Net) Block(from, to *Host)   { n.links[from.index][to.index].blocked++ }
func (n *Net) Unblock(from, to *Host) { n.links[from.index][to.index].blocked-- }

// Door is the network as a host sees it in one life.
type Door struct {
	host  *Host
	epoch uint32
}

// SetPeers says whom the host talks to and listens to.
func (d *Door) SetPeers(peers []port.Peer) {
	if d.epoch == d.host.epoch {
		d.host.peers = append(d.host.peers[:0:0], peers...)
	}
}

// SetFormats says what the host says in greetings.
func (d *Door) SetFormats(f port.Formats) {
	if d.epoch == d.host.epoch {
		d.host.says = f
	}
}

// heard is the greeting of another host's life.
type heard struct {
	epoch uint32
	says  port.Formats
}

// meet stands for the greetings on the connection that a message came by: the receiver is told of the sender's. A message of an earlier life of the sender
// came by a connection of that life. It says whether the receiver takes the message. Where one of the two does not read what the other may send, there is no
// connection: then the sender is told of the receiver's greeting, as whoever dials is.
func (n *Net) meet(e event, to *Host) bool {
	src := n.byID[e.from]
	if e.epochFrom == src.epoch && src.up {
		to.hear(src)
	}
	reads, says := to.says.Reads.Known().Newest, src.says.Reads.Known().Newest
	if e.needs <= reads && to.says.Needs <= says {
		return true
	}
	n.w.Counts.Outdated++
	if src.up && src.member != nil && e.epochFrom == src.epoch {
		src.Do(0, Greeting, func() { src.hear(to) })
	}
	return false
}

// hear tells the host's member of another one's greeting, unless it was told already.
func (h *Host) hear(o *Host) {
	for len(h.heard) <= o.index {
		h.heard = append(h.heard, heard{})
	}
	if said := (heard{o.epoch, o.says}); h.heard[o.index] != said {
		h.heard[o.index] = said
		h.member.Greeted(port.MemberID(o.id), o.says)
	}
}

func (h *Host) knows(id uint64) bool {
	for i := range h.peers {
		if uint64(h.peers[i].ID) == id {
			return true
		}
	}
	return false
}

// Send sends a message.
func (d *Door) Send(to port.MemberID, class port.Class, payload []byte) {
	h := d.host
	n := h.w.net
	if d.epoch != h.epoch || !h.up || len(payload) > port.MaxMessageBytes {
		return
	}
	if payload == nil {
		payload = []byte{}
	}
	sum := xxhash.Sum64(payload)
	h.w.Counts.Messages++
	h.w.Note(Sent, h.id, uint64(to), sum)
	dest := n.byID[uint64(to)]
	if dest == nil || dest == h || !h.knows(uint64(to)) {
		h.w.Counts.Lost++
		return
	}
	l := &n.links[h.index][dest.index]
	e := event{kind: Message, host: dest, from: h.id, epochFrom: h.epoch, needs: h.says.Needs, payload: payload, sum: sum}
	lost, repeated := n.chance.Permille(l.weather.Loss), n.chance.Permille(l.weather.Repeat)
	if l.blocked > 0 {
		h.w.Counts.Blocked++
		return
	}
	if lost {
		h.w.Counts.Lost++
	} else {
		h.w.schedule(n.arrival(l, class, len(payload)), e)
	}
	if repeated {
		h.w.Counts.Repeated++
		h.w.schedule(h.w.now+int64(n.chance.Duration(l.weather.DelayLeast, l.weather.DelayTail)), e)
	}
}

// arrival picks when a message comes that is sent now.
func (n *Net) arrival(l *link, class port.Class, size int) int64 {
	wt := &l.weather
	at := n.w.now + int64(n.chance.Duration(wt.DelayLeast, wt.DelayMost))
	if n.chance.Permille(wt.Tail) {
		at += int64(n.chance.Duration(0, wt.DelayTail))
	}
	if class == port.Bulk && wt.BulkBytesPerSecond > 0 {
		l.bulkFree = max(l.bulkFree, n.w.now) + scale(int64(size), int64(time.Second), wt.BulkBytesPerSecond)
		at += l.bulkFree - n.w.now
	}
	if !n.chance.Permille(wt.Reorder) {
		at = max(at, l.last[class])
		l.last[class] = at
	}
	return at
}

// delivers says whether a message that arrives is handed over.
func (n *Net) delivers(from uint64, to *Host) bool {
	src := n.byID[from]
	return n.links[src.index][to.index].blocked == 0 && to.knows(from)
}
