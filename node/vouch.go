package node

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/port"
)

// acquaintance is what this member knows of others' pasts, for newborns who ask.
type acquaintance struct {
	*core
	writer *writer
	// propose is proposals.proposeBound: an entry of the present term, or none.
	propose func(request *pb.InternalRaftRequest, done func(Applied, error))
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
func (a *acquaintance) knows(id port.MemberID) bool {
	if a.heard[id] || a.machine.HasProposed(uint64(id)) {
		return true
	}
	for _, p := range a.machine.Members() {
		if p.ID == uint64(id) {
			return len(p.ClientURLs) > 0
		}
	}
	return false
}

// answer answers a member whose disk is empty.
func (a *acquaintance) answer(from port.MemberID, payload []byte) error {
	q, err := decodeNewbornQuestion(payload)
	if err != nil {
		return err
	}
	reply := newbornAnswer{life: q.life, knows: a.knows(from), written: a.writer.lastTerm > firstTerm, term: a.raft.BasicStatus().GetTerm()}
	if !reply.knows && a.role == Leader && !a.stopping {
		if v := a.vouch(from, q.life); v != 0 {
			reply.vouched, reply.term = v, a.term
		}
	}
	a.ports.Network.Send(from, port.Urgent, reply.encode())
	return nil
}

// vouch returns the index of the entry by which this leader vouches for a newborn; 0: it is not committed yet, and the newborn is told when it
// is. The newborn takes part in nothing before it is told, so the majority that the entry is on does without it.
func (a *acquaintance) vouch(id port.MemberID, life uint64) uint64 {
	v := a.vouching[id]
	if v != nil && v.life == life && v.term == a.term {
		return v.index
	}
	v = &voucher{life: life, term: a.term}
	if a.vouching == nil {
		a.vouching = make(map[port.MemberID]*voucher)
	}
	a.vouching[id] = v
	a.log(port.Info, "a founding member starts with an empty disk, and nobody here knows it: letting it in", "member", id)
	// The request changes nothing; it is there to be an entry of this term, of which it is known when it is applied.
	a.propose(&pb.InternalRaftRequest{LeaseCheckpoint: &pb.LeaseCheckpointRequest{}}, func(applied Applied, _ error) {
		switch {
		case a.vouching[id] != v:
		case applied.Index == 0 || a.role != Leader || a.term != v.term:
			delete(a.vouching, id) // it asks again
		case !a.knows(id):
			v.index = applied.Index
			a.ports.Network.Send(id, port.Urgent, newbornAnswer{life: life, written: true, term: v.term, vouched: v.index}.encode())
		}
	})
	return 0
}
