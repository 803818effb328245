package node

import "github.com/detcd/detcd/node/port"

// A duty is what a member does beyond answering those who ask: keep leases, take snapshots, remove what compactions left, and so on. The
// member goes through all its duties, in the order of its list (see listDuties). A duty has a file and a type of its own. The type holds the core and
// the few other parts that it needs.
//
// A newborn's duties get ticks only: there is no state yet.
type duty interface {
	// begin tells of a new term, or of another leader in the same term. What was done for the former one is over. core.leads says
	// whether this member leads now.
	begin(term uint64)
	// tick tells that Config.TickInterval has passed.
	tick(now port.Instant)
	// applied is called near the end of each turn: the published state holds all entries up to index. The index may be that of the turn before.
	applied(index uint64)
	// end tells that the member stops, or can't go on: whoever waits is answered, and what is held is given back. Ticks may follow.
	end()
}

// idle does nothing. A duty that embeds it writes only the methods that it needs.
type idle struct{}

var _ duty = idle{}

func (idle) begin(uint64)      {}
func (idle) tick(port.Instant) {}
func (idle) applied(uint64)    {}
func (idle) end()              {}

// duties are a member's, in their order.
type duties []duty

func (l duties) begin(term uint64) {
	for _, d := range l {
		d.begin(term)
	}
}

func (l duties) tick(now port.Instant) {
	for _, d := range l {
		d.tick(now)
	}
}

func (l duties) applied(index uint64) {
	for _, d := range l {
		d.applied(index)
	}
}

func (l duties) end() {
	for _, d := range l {
		d.end()
	}
}

// listDuties lists the member's duties. A new duty is a file of its own, a field of Member, and a line here. The order matters where a line says so.
func (m *Member) listDuties() duties {
	return duties{
		&m.leases,
		&m.heartbeats,
		&m.catchUps,
		&m.offers,
		&m.transfers,
		&m.compactions, // after offers: a view that is in use holds on to what is to be removed
		&m.retention,   // after transfers, which may have given up followers that the log is kept for
		&m.snapshots,
		&m.stop,
		&m.removed,
		&m.versions,
	}
}
