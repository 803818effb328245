package node

import (
	"fmt"

	"github.com/detcd/detcd/node/port"
)

// Member is one member of the cluster. See the package comment for who may call it and when. It knows its parts and sequences them. What a part
// does is in the part's file; DESIGN.md says how they fit together.
type Member struct {
	core
	views

	// The log, and what goes into it.
	entries   *entries
	writer    writer
	relays    relays
	proposals *proposals

	// What other members say, and what this one knows of them.
	peers        peers
	acquaintance acquaintance
	newborn      *newborn // not nil: it is not decided yet how this member's log begins

	// What clients wait for, and leases.
	reads  *reads
	asks   *leaseAsks
	leases leaseLeader

	// Duties, and the list of them.
	heartbeats  heartbeats
	catchUps    catchUps
	offers      offers
	transfers   transfers
	compactions compactions
	retention   retention
	snapshots   snapshots
	stop        stop
	removed     removed
	versions    versions
	duties      duties

	peersChanged bool // and the network was not told yet
	versionAsked bool // this leader has proposed a cluster version
}

// newMember makes a member and its parts, each with the few others that it needs.
func newMember(config Config, ports Ports) *Member {
	m := &Member{core: core{config: config, ports: ports}, entries: &entries{}}
	c := &m.core
	m.halted = m.stopServing
	m.views.core = c
	m.writer = writer{core: c, entries: m.entries, deliver: m.deliver, whenClosed: m.stop.closed}
	m.relays = newRelays(c)
	m.proposals = newProposals(c, &m.relays, &m.compactions)
	m.peers = peers{core: c, writer: &m.writer, outdated: m.transfers.outdated, handleReady: m.handleReadyWithin}
	m.acquaintance = acquaintance{core: c, writer: &m.writer, propose: m.proposals.proposeBound}
	m.reads = newReads(c, &m.views)
	m.asks = newLeaseAsks(c, &m.leases)
	m.leases = leaseLeader{core: c, bound: m.proposals, proof: m.reads, own: m.asks, ending: m.relays.ends}
	m.leases.forget()
	m.heartbeats = heartbeats{core: c}
	m.catchUps = catchUps{core: c, entries: m.entries, writer: &m.writer}
	m.offers = offers{core: c, views: &m.views}
	m.transfers = transfers{core: c, views: &m.views, offers: &m.offers, saving: m.snapshots.saving, stepPeer: m.peers.stepPeer, handleReady: m.handleReadyWithin}
	m.transfers.open()
	m.compactions = compactions{core: c, views: &m.views}
	m.retention = retention{core: c, entries: m.entries, writer: &m.writer, awaited: m.transfers.awaited}
	m.snapshots = snapshots{core: c, views: &m.views, writer: &m.writer, retention: &m.retention, receiving: m.transfers.receiver.Expecting}
	m.stop = stop{core: c, writer: &m.writer, shutDown: m.shutDown}
	m.removed = removed{core: c, views: &m.views, writer: &m.writer}
	m.versions = versions{core: c, raise: m.proposals.proposeRaise}
	m.duties = m.listDuties()
	return m
}

// Receive takes a message from another member. Messages that make no sense are dropped.
func (m *Member) Receive(from port.MemberID, payload []byte) {
	if m.failed != nil || m.writer.closing || len(payload) == 0 {
		return
	}
	if err := m.receive(from, payload); err != nil {
		m.log(port.Warn, "dropped a message from a peer", "from", from, "kind", MessageKind(payload), "error", err)
	}
}

// receive handles a message by its kind.
func (m *Member) receive(from port.MemberID, payload []byte) error {
	kind, newborn := payload[0], m.newborn
	switch {
	case kind == kindNewborn:
		if newborn != nil {
			newborn.heardFrom(from)
		}
		return m.acquaintance.answer(from, payload)
	case kind == kindNewbornAnswer && newborn != nil:
		return newborn.hear(from, payload)
	case kind == kindNewbornAnswer:
		return nil // late
	}
	m.acquaintance.note(from)
	if newborn != nil {
		return nil // lost: it will be sent again
	}
	switch kind {
	case kindRaft:
		return m.peers.receive(from, payload[1:])
	case kindForward:
		m.relays.forwarded(from, payload[1:])
		return nil
	case kindChunk:
		return m.transfers.receiver.HandleChunk(from, payload)
	case kindChunkAck:
		return m.transfers.sender.HandleAck(from, payload)
	case kindLease:
		return m.leases.receive(from, payload)
	case kindLeaseAnswer:
		return m.asks.receive(payload)
	}
	return fmt.Errorf("unknown kind %d", kind)
}

// Stop ends the member's part in the cluster in good order: a leader hands leadership over if someone can take it, requests under way are
// answered with ErrStopped, the log is closed. done is called then, within about an election timeout. The member does nothing more
// after it.
func (m *Member) Stop(done func()) { m.stop.ask(done) }

// shutDown answers what waits and closes the log.
func (m *Member) shutDown() {
	m.stopAll()
	m.writer.closing = true
}

// stopServing answers all that waits: this member can't go on.
func (m *Member) stopServing() {
	m.stopAll()
	m.publish()
}

// stopAll answers all that waits.
func (m *Member) stopAll() {
	m.proposals.stop()
	m.reads.stop()
	m.asks.stop()
	m.duties.end()
}
