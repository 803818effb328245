package node

import (
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/lessor"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
)

// leaseLeader is what a member does about leases while it leads: it keeps their deadlines by its clock, proposes the end of those that
// pass it, writes down what remains of the long-lived, and answers questions. All of it is of one term: nothing here outlives that, and
// nothing that it proposes is proposed in another (see bound).
type leaseLeader struct {
	// lessor holds the deadlines, once an entry of the term is applied; nil otherwise. Everything that former leaders had done about leases
	// and that will ever count is applied then.
	lessor *lessor.Lessor
	// queue are questions that came since the last turn; they are answered after a round of reads has shown that this member still leads.
	queue []*leaseWork
	// askers are the members that asked in this term.
	askers map[port.MemberID]*leaseAsker // looked up, never ranged over
	// clearing are the questions that wait for a checkpoint of 0 to be applied, by lease.
	clearing map[int64][]leaseSlot // looked up, never ranged over
	// toClear are those checkpoints that this turn is to propose.
	toClear []clearance
	// again are leases for which that failed. The next tick goes on with them.
	again []int64
}

// clearance is a checkpoint of 0 to be made, as the lessor names it.
type clearance struct {
	id    int64
	token uint64
}

// leaseAsker is what the leader remembers of one member's questions, to answer a repeated message alike and renew nothing by it.
type leaseAsker struct {
	incarnation uint64
	floor       uint64
	// work is by sequence, from floor on: in progress, or answered.
	work map[uint64]*leaseWork
}

// leaseWork is one message's questions on their way to an answer.
type leaseWork struct {
	from                  port.MemberID
	incarnation, sequence uint64
	items                 []leaseItem
	times                 []LeaseTTL
	left                  int // questions without an answer
}

// leaseSlot is one question of a message.
type leaseSlot struct {
	work *leaseWork
	at   int
}

const (
	// maxExpiredPerTick bounds how many leases end in one tick: a leader that finds many expired still has time for others.
	maxExpiredPerTick = 512
	// maxCheckpointsPerTick bounds how many leases' rests are written down in one tick, and maxCheckpointsPerRequest how many by one request.
	maxCheckpointsPerTick    = 5000
	maxCheckpointsPerRequest = 1000
)

// resetLeases drops everything: this member leads no more, or in another term.
func (m *Member) resetLeases() {
	m.leases = leaseLeader{
		askers:   make(map[port.MemberID]*leaseAsker),
		clearing: make(map[int64][]leaseSlot),
	}
}

// maybeLoadLeases begins to keep deadlines when this member leads and knows all that former leaders did. Leases get an election timeout more
// than what was left of them: for that long there may have been nobody to renew them.
func (m *Member) maybeLoadLeases() {
	if m.leases.lessor != nil || m.role != Leader {
		return
	}
	if _, term := m.machine.Applied(); term != m.term {
		return
	}
	m.leases.lessor = lessor.New(lessor.Options{CheckpointInterval: m.config.LeaseCheckpointInterval, Retry: m.electionTimeout()})
	view := m.machine.Published()
	m.leases.lessor.Load(m.now(), m.electionTimeout(), view.LeaseCount(), view.Leases)
	m.wanted = m.wanted || len(m.leases.queue) > 0
}

// noteLeases follows what the requests of an applied batch did to leases.
func (m *Member) noteLeases(requests []*pb.InternalRaftRequest, results []statemachine.Result) {
	l := m.leases.lessor
	for i, r := range requests {
		if results[i].Err != nil {
			continue
		}
		switch {
		case r.GetLeaseGrant() != nil:
			m.leaseCounts.Granted++
			if l != nil {
				l.Add(m.now(), r.GetLeaseGrant().GetID(), r.GetLeaseGrant().GetTTL())
			}
		case r.GetLeaseRevoke() != nil:
			m.leaseCounts.Revoked++
			if l != nil {
				l.Drop(r.GetLeaseRevoke().GetID())
			}
		}
	}
}

// concernsLeases says whether what came of a batch is to be known for the sake of leases.
func concernsLeases(requests []*pb.InternalRaftRequest) bool {
	for _, r := range requests {
		if r.GetLeaseGrant() != nil || r.GetLeaseRevoke() != nil {
			return true
		}
	}
	return false
}

// handleLeaseRequest takes another member's questions.
func (m *Member) handleLeaseRequest(from port.MemberID, payload []byte) error {
	r, err := decodeLeaseRequest(payload)
	if err != nil {
		return err
	}
	m.takeLeaseRequest(from, r)
	return nil
}

// takeLeaseRequest queues questions, unless they are of the past, for another leader, or here already.
func (m *Member) takeLeaseRequest(from port.MemberID, r leaseRequest) {
	l := &m.leases
	if m.role != Leader || r.term != m.term || m.stopping {
		return // sent again, to whoever leads then
	}
	a := l.askers[from]
	if a == nil || a.incarnation < r.incarnation {
		a = &leaseAsker{incarnation: r.incarnation, work: make(map[uint64]*leaseWork)}
		l.askers[from] = a
	}
	if r.incarnation < a.incarnation || r.sequence < a.floor || r.sequence >= r.floor+leaseWindow {
		return
	}
	for ; a.floor < r.floor && len(a.work) > 0; a.floor++ {
		delete(a.work, a.floor)
	}
	a.floor = max(a.floor, r.floor)
	w := a.work[r.sequence]
	switch {
	case w == nil:
		w = &leaseWork{from: from, incarnation: r.incarnation, sequence: r.sequence, items: r.items, left: len(r.items)}
		w.times = make([]LeaseTTL, len(r.items))
		a.work[r.sequence] = w
		l.queue = append(l.queue, w)
	case w.left == 0:
		m.sendLeaseAnswer(w) // the answer was lost
	}
}

// proveLeases begins to answer what was asked: once a round of reads that begins now is confirmed, this member is known to have led after
// all these questions were asked. (A leader that may be deposed must not acknowledge a renewal: its successor knows nothing of it.)
func (m *Member) proveLeases() {
	l := &m.leases
	if l.lessor == nil || len(l.queue) == 0 || m.stopping {
		return
	}
	work, term := l.queue, m.term
	l.queue = nil
	m.linearize(math.MaxInt, func(v *statemachine.View, err error) {
		if v != nil {
			v.Release()
		}
		if m.leases.lessor == nil || m.term != term || !m.leadsFor(term) {
			return // asked again of the next leader
		}
		for _, w := range work {
			if err != nil {
				m.forgetWork(w)
				continue
			}
			for i := range w.items {
				m.answerItem(leaseSlot{w, i})
			}
		}
	})
}

// answerItem answers one question, if it can be at once. The member is proved to lead.
func (m *Member) answerItem(s leaseSlot) {
	item, now := s.work.items[s.at], m.now()
	if item.op == opTime {
		granted, remaining, found := m.leases.lessor.Time(now, item.id)
		m.answerSlot(s, LeaseTTL{Granted: granted, Remaining: remaining, Found: found})
		return
	}
	ttl, renewal := m.leases.lessor.Renew(now, item.id)
	switch renewal {
	case lessor.Unknown:
		m.answerSlot(s, LeaseTTL{})
	case lessor.Renewed:
		m.leaseCounts.Renewed++
		m.answerSlot(s, LeaseTTL{Granted: ttl, Found: true})
	case lessor.Clear:
		// A leader after this one would go on from the checkpoint: it has to be undone before the client is told that it has the full
		// TTL.
		m.leases.clearing[item.id] = append(m.leases.clearing[item.id], s)
		m.maybeClear(item.id)
	}
}

// maybeClear has a checkpoint of 0 proposed, which means the full TTL, unless one is on its way.
func (m *Member) maybeClear(id int64) {
	if token := m.leases.lessor.Clearing(id); token != 0 {
		m.leases.toClear = append(m.leases.toClear, clearance{id, token})
		m.wanted = true
	}
}

// clearLeases proposes the checkpoints of 0 that came up since the last turn, many in one request: where all leases are renewed at once,
// they take no room from what clients propose.
func (m *Member) clearLeases() {
	l := m.leases.lessor
	for len(m.leases.toClear) > 0 {
		n := min(len(m.leases.toClear), maxCheckpointsPerRequest)
		part := m.leases.toClear[:n:n]
		m.leases.toClear = m.leases.toClear[n:]
		request := &pb.LeaseCheckpointRequest{Checkpoints: make([]*pb.LeaseCheckpoint, n)}
		for i, c := range part {
			request.Checkpoints[i] = &pb.LeaseCheckpoint{ID: c.id}
		}
		m.proposals.proposeBound(&pb.InternalRaftRequest{LeaseCheckpoint: request}, func(_ Applied, err error) {
			if m.leases.lessor != l {
				return // of another term
			}
			for _, c := range part {
				l.Cleared(m.now(), c.id, c.token, err == nil)
				if err != nil {
					// Raft may take no proposals for a while, as when leadership is handed over.
					m.leases.again = append(m.leases.again, c.id)
				} else {
					m.answerCleared(c.id)
				}
			}
		})
	}
	m.leases.toClear = nil
}

// answerCleared goes on with the questions that waited for a checkpoint of 0.
func (m *Member) answerCleared(id int64) {
	slots := m.leases.clearing[id]
	delete(m.leases.clearing, id)
	for _, s := range slots {
		m.answerItem(s)
	}
}

func (m *Member) answerSlot(s leaseSlot, t LeaseTTL) {
	w := s.work
	w.times[s.at] = t
	if w.left--; w.left == 0 {
		w.items = nil // only the answer is remembered
		m.sendLeaseAnswer(w)
	}
}

func (m *Member) sendLeaseAnswer(w *leaseWork) {
	if w.from == m.config.ID {
		m.answerAsks(w.sequence, w.times)
		return
	}
	reply := leaseReply{incarnation: w.incarnation, sequence: w.sequence, times: w.times}
	m.ports.Network.Send(w.from, port.Normal, reply.encode())
}

// forgetWork lets questions be asked again: this leader could not prove itself in time.
func (m *Member) forgetWork(w *leaseWork) {
	if a := m.leases.askers[w.from]; a != nil && a.work[w.sequence] == w {
		delete(a.work, w.sequence)
	}
	if w.from != m.config.ID {
		return
	}
	for _, f := range m.asks.flights {
		if f.sequence == w.sequence {
			f.term = 0
		}
	}
}

// tickLeases proposes what the time makes due: the end of leases, and checkpoints.
func (m *Member) tickLeases() {
	l := m.leases.lessor
	if l == nil || m.stopping || !m.leadsFor(m.term) || m.proposals.boundWait() {
		return
	}
	again := m.leases.again
	m.leases.again = nil
	for _, id := range again {
		m.answerCleared(id)
	}
	now := m.now()
	// The expiry of a lease waits for requests that end it: by then the id may be that of another lease, which must not be ended for the deadline
	// of the old one.
	for _, id := range l.Expired(now, maxExpiredPerTick, m.relays.ends) {
		request := &pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: id}}
		m.proposals.proposeBound(request, func(_ Applied, err error) {
			if err == nil {
				m.leaseCounts.Expired++
			}
		})
	}
	due := l.Checkpoints(now, maxCheckpointsPerTick)
	for len(due) > 0 {
		n := min(len(due), maxCheckpointsPerRequest)
		request := &pb.LeaseCheckpointRequest{Checkpoints: make([]*pb.LeaseCheckpoint, n)}
		for i, c := range due[:n] {
			request.Checkpoints[i] = &pb.LeaseCheckpoint{ID: c.ID, Remaining_TTL: c.Remaining}
		}
		due = due[n:]
		m.proposals.proposeBound(&pb.InternalRaftRequest{LeaseCheckpoint: request}, func(Applied, error) {})
	}
}
