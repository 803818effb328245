package node

import (
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/lessor"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
)

// leaseLeader is the duty of a leader towards leases: it keeps their deadlines by its clock, proposes the end of those that pass it, writes down
// what remains of the long-lived, and answers questions. What it knows is of one term: nothing of that outlives the term, and nothing that it
// proposes is proposed in another (see bound).
type leaseLeader struct {
	*core
	// bound is the log, for what only the leader of this term may say.
	bound interface {
		proposeBound(request *pb.InternalRaftRequest, done func(Applied, error))
		boundWait() bool
	}
	// proof shows that this member still leads.
	proof interface {
		linearize(limit int, done func(*statemachine.View, error))
	}
	// own are this member's own questions.
	own interface {
		answer(sequence uint64, times []LeaseTTL)
		askAgain(sequence uint64)
	}
	// ending says whether a request that ends a lease is in this leader's log and not applied yet. The lease's expiry waits for it: by
	// then the id may be that of another lease, which must not be ended for the deadline of the old one.
	ending func(lease int64) bool
	counts LeaseCounts
	leaseTerm
}

var _ duty = (*leaseLeader)(nil)

// leaseTerm is what a leader knows about leases in its term.
type leaseTerm struct {
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

// begin drops what was known in another term, or under another leader.
func (l *leaseLeader) begin(uint64) { l.forget() }

// end implements duty.
func (l *leaseLeader) end() { l.forget() }

func (l *leaseLeader) forget() {
	l.leaseTerm = leaseTerm{askers: make(map[port.MemberID]*leaseAsker), clearing: make(map[int64][]leaseSlot)}
}

// applied begins to keep deadlines when this member leads and knows all that former leaders did. Leases get an election timeout more
// than what was left of them: for that long there may have been nobody to renew them.
func (l *leaseLeader) applied(uint64) {
	if l.lessor != nil || l.role != Leader || !l.appliedOwnTerm() {
		return
	}
	l.lessor = lessor.New(lessor.Options{CheckpointInterval: l.config.LeaseCheckpointInterval, Retry: l.electionTimeout()})
	view := l.machine.Published()
	l.lessor.Load(l.now(), l.electionTimeout(), view.LeaseCount(), view.Leases)
	l.wanted = l.wanted || len(l.queue) > 0
}

// held is how many leases' deadlines are kept here.
func (l *leaseLeader) held() int {
	if l.lessor == nil {
		return 0
	}
	return l.lessor.Len()
}

// ends lists the deadlines that are kept here.
func (l *leaseLeader) ends() []lessor.End {
	if l.lessor == nil {
		return nil
	}
	return l.lessor.Ends()
}

// note follows what the requests of an applied batch did to leases.
func (l *leaseLeader) note(requests []*pb.InternalRaftRequest, results []statemachine.Result) {
	for i, r := range requests {
		if results[i].Err != nil {
			continue
		}
		switch {
		case r.GetLeaseGrant() != nil:
			l.counts.Granted++
			if l.lessor != nil {
				l.lessor.Add(l.now(), r.GetLeaseGrant().GetID(), r.GetLeaseGrant().GetTTL())
			}
		case r.GetLeaseRevoke() != nil:
			l.counts.Revoked++
			if l.lessor != nil {
				l.lessor.Drop(r.GetLeaseRevoke().GetID())
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

// receive takes another member's questions.
func (l *leaseLeader) receive(from port.MemberID, payload []byte) error {
	r, err := decodeLeaseRequest(payload)
	if err != nil {
		return err
	}
	l.take(from, r)
	return nil
}

// take queues questions, unless they are of the past, for another leader, or here already.
func (l *leaseLeader) take(from port.MemberID, r leaseRequest) {
	if l.role != Leader || r.term != l.term || l.stopping {
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
		l.send(w) // the answer was lost
	}
}

// prove begins to answer what was asked: once a round of reads that begins now is confirmed, this member is known to have led after
// all these questions were asked. (A leader that may be deposed must not acknowledge a renewal: its successor knows nothing of it.)
func (l *leaseLeader) prove() {
	if l.lessor == nil || len(l.queue) == 0 || l.stopping {
		return
	}
	work, term := l.queue, l.term
	l.queue = nil
	l.proof.linearize(math.MaxInt, func(v *statemachine.View, err error) {
		if v != nil {
			v.Release()
		}
		if l.lessor == nil || l.term != term || !l.leadsFor(term) {
			return // asked again of the next leader
		}
		for _, w := range work {
			if err != nil {
				l.forgetWork(w)
				continue
			}
			for i := range w.items {
				l.answerItem(leaseSlot{w, i})
			}
		}
	})
}

// answerItem answers one question, if it can be at once. The member is proved to lead.
func (l *leaseLeader) answerItem(s leaseSlot) {
	item, now := s.work.items[s.at], l.now()
	if item.op == opTime {
		granted, remaining, found := l.lessor.Time(now, item.id)
		l.answerSlot(s, LeaseTTL{Granted: granted, Remaining: remaining, Found: found})
		return
	}
	ttl, renewal := l.lessor.Renew(now, item.id)
	switch renewal {
	case lessor.Unknown:
		l.answerSlot(s, LeaseTTL{})
	case lessor.Renewed:
		l.counts.Renewed++
		l.answerSlot(s, LeaseTTL{Granted: ttl, Found: true})
	case lessor.Clear:
		// A leader after this one would go on from the checkpoint: it has to be undone before the client is told that it has the full
		// TTL.
		l.clearing[item.id] = append(l.clearing[item.id], s)
		l.maybeClear(item.id)
	}
}

// maybeClear has a checkpoint of 0 proposed, which means the full TTL, unless one is on its way.
func (l *leaseLeader) maybeClear(id int64) {
	if token := l.lessor.Clearing(id); token != 0 {
		l.toClear = append(l.toClear, clearance{id, token})
		l.wanted = true
	}
}

// clear proposes the checkpoints of 0 that came up since the last turn, many in one request: where all leases are renewed at once,
// they take no room from what clients propose.
func (l *leaseLeader) clear() {
	of := l.lessor
	for len(l.toClear) > 0 {
		n := min(len(l.toClear), maxCheckpointsPerRequest)
		part := l.toClear[:n:n]
		l.toClear = l.toClear[n:]
		request := &pb.LeaseCheckpointRequest{Checkpoints: make([]*pb.LeaseCheckpoint, n)}
		for i, c := range part {
			request.Checkpoints[i] = &pb.LeaseCheckpoint{ID: c.id}
		}
		l.bound.proposeBound(&pb.InternalRaftRequest{LeaseCheckpoint: request}, func(_ Applied, err error) {
			if l.lessor != of {
				return // of another term
			}
			for _, c := range part {
				of.Cleared(l.now(), c.id, c.token, err == nil)
				if err != nil {
					// Raft may take no proposals for a while, as when leadership is handed over.
					l.again = append(l.again, c.id)
				} else {
					l.answerCleared(c.id)
				}
			}
		})
	}
	l.toClear = nil
}

// answerCleared goes on with the questions that waited for a checkpoint of 0.
func (l *leaseLeader) answerCleared(id int64) {
	slots := l.clearing[id]
	delete(l.clearing, id)
	for _, s := range slots {
		l.answerItem(s)
	}
}

func (l *leaseLeader) answerSlot(s leaseSlot, t LeaseTTL) {
	w := s.work
	w.times[s.at] = t
	if w.left--; w.left == 0 {
		w.items = nil // only the answer is remembered
		l.send(w)
	}
}

func (l *leaseLeader) send(w *leaseWork) {
	if w.from == l.config.ID {
		l.own.answer(w.sequence, w.times)
		return
	}
	reply := leaseReply{incarnation: w.incarnation, sequence: w.sequence, times: w.times}
	l.ports.Network.Send(w.from, port.Normal, reply.encode())
}

// forgetWork lets questions be asked again: this leader could not prove itself in time.
func (l *leaseLeader) forgetWork(w *leaseWork) {
	if a := l.askers[w.from]; a != nil && a.work[w.sequence] == w {
		delete(a.work, w.sequence)
	}
	if w.from == l.config.ID {
		l.own.askAgain(w.sequence)
	}
}

// tick proposes what the time makes due: the end of leases, and checkpoints.
func (l *leaseLeader) tick(now port.Instant) {
	if l.lessor == nil || l.stopping || !l.leadsFor(l.term) || l.bound.boundWait() {
		return
	}
	again := l.again
	l.again = nil
	for _, id := range again {
		l.answerCleared(id)
	}
	for _, id := range l.lessor.Expired(now, maxExpiredPerTick, l.ending) {
		request := &pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: id}}
		l.bound.proposeBound(request, func(_ Applied, err error) {
			if err == nil {
				l.counts.Expired++
			}
		})
	}
	due := l.lessor.Checkpoints(now, maxCheckpointsPerTick)
	for len(due) > 0 {
		n := min(len(due), maxCheckpointsPerRequest)
		request := &pb.LeaseCheckpointRequest{Checkpoints: make([]*pb.LeaseCheckpoint, n)}
		for i, c := range due[:n] {
			request.Checkpoints[i] = &pb.LeaseCheckpoint{ID: c.ID, Remaining_TTL: c.Remaining}
		}
		due = due[n:]
		l.bound.proposeBound(&pb.InternalRaftRequest{LeaseCheckpoint: request}, func(Applied, error) {})
	}
}
