package node

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/port"
)

// acquaintance is what this member knows of others' pasts, for newborns who ask.
type acquaintance struct {
	// heard are the members that have sent anything but questions of newborns in this run: they had a log then. Looked up, never ranged over.
	heard map[port.MemberID]bool
	// vouching are the newborns that this leader vouches for. Looked up, never ranged over.
	vouching map[port.MemberID]*voucher
}

// voucher is an entry of a leader's own term that it has proposed after a newborn had asked. Once that is committed, a majority that the
// newborn is not part of has it, and whoever is elected from now on.
type voucher struct {
	life, term uint64
	index      uint64 // of the entry, once it is applied; 0: not yet
}

// note remembers that a member has a log.
func (a *acquaintance) note(from port.MemberID) {
	if !a.heard[from] {
		if a.heard == nil {
			a.heard = make(map[port.MemberID]bool)
		}
		a.heard[from] = true
	}
}

// knows says whether a member has taken part in this cluster before, as far as this one can tell: it was heard of in this run, or has made
// requests, or has published where clients find it.
func (m *Member) knows(id port.MemberID) bool {
	if m.acquaintance.heard[id] || m.machine.HasProposed(uint64(id)) {
		return true
	}
	for _, p := range m.machine.Members() {
		if p.ID == uint64(id) {
			return len(p.ClientURLs) > 0
		}
	}
	return false
}

// handleNewborn answers a member whose disk is empty.
func (m *Member) handleNewborn(from port.MemberID, payload []byte) error {
	q, err := decodeNewbornQuestion(payload)
	if err != nil {
		return err
	}
	if n := m.newborn; n != nil && !n.deciding {
		if _, told := n.told[from]; !told {
			m.askFounder(from) // who asks is there to answer
		}
	}
	a := newbornAnswer{life: q.life, knows: m.knows(from), written: m.writer.lastTerm > firstTerm, term: m.raft.BasicStatus().GetTerm()}
	if !a.knows && m.role == Leader && !m.stopping {
		if v := m.vouch(from, q.life); v != 0 {
			a.vouched, a.term = v, m.term
		}
	}
	m.ports.Network.Send(from, port.Urgent, a.encode())
	return nil
}

// vouch returns the index of the entry by which this leader vouches for a newborn; 0: it is not committed yet, and the newborn is told when it
// is. The newborn takes part in nothing before it is told, so the majority that the entry is on does without it.
func (m *Member) vouch(id port.MemberID, life uint64) uint64 {
	v := m.acquaintance.vouching[id]
	if v != nil && v.life == life && v.term == m.term {
		return v.index
	}
	v = &voucher{life: life, term: m.term}
	if m.acquaintance.vouching == nil {
		m.acquaintance.vouching = make(map[port.MemberID]*voucher)
	}
	m.acquaintance.vouching[id] = v
	m.log(port.Info, "a founding member starts with an empty disk, and nobody here knows it: letting it in", "member", id)
	// The request changes nothing; it is there to be an entry of this term, of which it is known when it is applied.
	m.proposals.proposeBound(&pb.InternalRaftRequest{LeaseCheckpoint: &pb.LeaseCheckpointRequest{}}, func(a Applied, _ error) {
		switch {
		case m.acquaintance.vouching[id] != v:
		case a.Index == 0 || m.role != Leader || m.term != v.term:
			delete(m.acquaintance.vouching, id) // it asks again
		case !m.knows(id):
			v.index = a.Index
			m.ports.Network.Send(id, port.Urgent, newbornAnswer{life: life, written: true, term: v.term, vouched: v.index}.encode())
		}
	})
	return 0
}
