package node

import (
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/raft/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
)

// Applied is the answer to a proposal that was applied.
type Applied struct {
	// Response is the request's answer; its header holds the revision only. Nil when the request was refused.
	Response proto.Message
	// Index is the log index at which the request was applied, and Position its place within that entry. Index zero: the request
	// was not seen to be applied, and the error says why.
	Index    uint64
	Position uint32
	// Term is the member's term when it answers.
	Term uint64
}

// ErrStopped is the answer to requests that are under way when a member stops: their outcome is unknown.
var ErrStopped = rpctypes.ErrGRPCStopped

// ErrNotProposed is the answer to a request that found no leader as long as a member waits for one: it has not left this member, and never will. The words are
// etcd's in that case. Its clients make such a request again while their own time lasts, which is safe for this one only.
var ErrNotProposed = status.Error(codes.DeadlineExceeded, "context deadline exceeded")

// CertainlyNotApplied says of an error of Propose, with Applied.Index zero, that the request had no effect and never will.
func CertainlyNotApplied(err error) bool {
	return errors.Is(err, rpctypes.ErrGRPCRequestTooManyRequests) || errors.Is(err, ErrNotProposed)
}

// proposals are this member's own requests on their way to the log.
type proposals struct {
	// waiting were not yet put into a batch.
	waiting []proposal
	// flight are the batches that were sent and not yet seen to be applied, by sequence. Batches that ran out of time stay, without
	// waiters, until the window moves past them.
	flight []*flight
	// sequence is that of the newest batch.
	sequence uint64
	// bound wait to be put into the log in boundTerm; see proposeBound.
	bound     []proposal
	boundTerm uint64
	requests  int // waiting or in flight with a waiter
	bytes     int
	// failed counts requests whose outcome is unknown to those who asked, since this member was opened.
	failed uint64
	// relayed are the batches of any member that this member, as leader of its term, has put into its log and not applied yet: a
	// repeated forward is not appended again. (Should one be, it is not applied again.) With each are the leases that it ends.
	relayed map[batchKey][]int64
}

type batchKey struct{ proposer, incarnation, sequence uint64 }

type proposal struct {
	request *pb.InternalRaftRequest
	size    int
	done    func(Applied, error)
	start   port.Instant
}

type flight struct {
	sequence uint64
	// term is the only one in which this batch may be put into the log; 0: any.
	term     uint64
	encoded  []byte
	batch    *statemachine.Batch
	members  []proposal // nil once answered
	bytes    int
	sent     bool   // to the present leader
	left     bool   // sent to any leader: it may be in the log one day
	since    uint64 // the term in which it was first sent to one; no entry of an earlier term has it
	sentAt   port.Instant
	backoff  time.Duration
	resolved bool
}

// Propose asks for a request to be put into the log and applied. done is called in a later turn: with Applied.Index set, and the
// request's own error if it was refused there; or with an error alone, and then the outcome is unknown unless CertainlyNotApplied.
// Where a LeaseGrant leaves the choice of the id to the server, it is made here. The request belongs to the member from this call on.
func (m *Member) Propose(request *pb.InternalRaftRequest, done func(Applied, error)) {
	p := &m.proposals
	if m.stopping || m.failed != nil {
		m.later(func() { done(Applied{}, ErrStopped) })
		return
	}
	if g := request.GetLeaseGrant(); g != nil && g.GetID() == 0 {
		g.ID = m.newLeaseID()
	}
	size := proto.Size(request)
	if p.requests >= m.config.MaxPendingRequests || p.bytes+size > m.config.MaxPendingBytes && p.requests > 0 {
		m.later(func() { done(Applied{}, rpctypes.ErrGRPCRequestTooManyRequests) })
		return
	}
	m.wanted = true
	p.requests++
	p.bytes += size
	p.waiting = append(p.waiting, proposal{request: request, size: size, done: done, start: m.now()})
}

// gather puts waiting requests into batches and sends them, as far as the window allows.
func (m *Member) gather() {
	p := &m.proposals
	for len(p.waiting) > 0 && len(p.flight) < maxFlights {
		n, size := 0, 0 // bytes
		for n < len(p.waiting) && n < m.config.MaxBatchRequests {
			size += p.waiting[n].size
			if n > 0 && size > m.config.MaxBatchBytes {
				size -= p.waiting[n].size
				break
			}
			n++
		}
		f := m.newFlight(p.waiting[:n:n])
		p.waiting = p.waiting[n:]
		m.send(f)
	}
	if len(p.waiting) == 0 {
		p.waiting = nil
	}
}

// newFlight makes a batch of requests, the newest in flight.
func (m *Member) newFlight(members []proposal) *flight {
	p := &m.proposals
	p.sequence++
	f := &flight{sequence: p.sequence, members: members}
	f.batch = &statemachine.Batch{Proposer: uint64(m.config.ID), Incarnation: m.incarnation, Sequence: p.sequence}
	f.batch.Requests = make([]*pb.InternalRaftRequest, len(members))
	for i := range members {
		f.batch.Requests[i] = members[i].request
		f.bytes += members[i].size
	}
	f.encoded = f.batch.Encode()
	p.flight = append(p.flight, f)
	return f
}

// maxFlights is how many batches of one member may be unresolved at a time. It must stay below the window in which the state
// machine tells batches apart, so that no batch still under way is ever taken for an old one.
const maxFlights = statemachine.SessionWindow / 2

// send proposes a batch if this member leads, else passes it to the leader; without a leader it waits for one.
func (m *Member) send(f *flight) {
	if f.term != 0 {
		m.sendBound(f)
		return
	}
	leader := m.leader
	if leader == 0 {
		return
	}
	if leader == m.config.ID {
		if f.sent = m.relay(f.batch, f.encoded); !f.sent {
			return
		}
	} else {
		m.ports.Network.Send(leader, port.Normal, append([]byte{kindForward}, f.encoded...))
		f.sent = true
	}
	if !f.left {
		f.left, f.since = true, m.term
	}
	f.sentAt = m.now()
	if f.backoff == 0 {
		f.backoff = m.electionTimeout()
	}
}

// relay appends an encoded batch to the log of this leader, unless it is there already. It reports whether it is there.
func (m *Member) relay(b *statemachine.Batch, encoded []byte) bool {
	key := batchKey{b.Proposer, b.Incarnation, b.Sequence}
	if _, ok := m.proposals.relayed[key]; ok {
		return true
	}
	if err := m.raft.Propose(encoded); err != nil {
		// Dropped: raft is handing leadership over, or the log has too much that is not committed. It is sent again later.
		if !errors.Is(err, raft.ErrProposalDropped) {
			m.log(port.Warn, "raft refused a proposal", "error", err)
		}
		return false
	}
	ends := endsLeases(b.Requests)
	for _, id := range ends {
		m.leases.revoking[id]++
	}
	m.proposals.relayed[key] = ends
	return true
}

// relayedNoMore notes that a batch is no longer one that is in the log and not applied.
func (m *Member) relayedNoMore(b *statemachine.Batch) {
	key := batchKey{b.Proposer, b.Incarnation, b.Sequence}
	for _, id := range m.proposals.relayed[key] {
		if m.leases.revoking[id]--; m.leases.revoking[id] == 0 {
			delete(m.leases.revoking, id)
		}
	}
	delete(m.proposals.relayed, key)
}

// handleForward proposes a follower's batch.
func (m *Member) handleForward(from port.MemberID, encoded []byte) {
	if m.leader != m.config.ID || m.stopping {
		return // the follower sends it again, to whoever leads then
	}
	b, err := statemachine.DecodeBatch(encoded)
	if err != nil || b.Proposer != uint64(from) {
		m.log(port.Warn, "dropped a forwarded request that can't be read", "from", from, "error", err)
		return
	}
	m.relay(b, encoded)
}

// answerBatch resolves an own batch that was applied at index.
func (m *Member) answerBatch(sequence, index uint64, results []statemachine.Result) {
	f := m.proposals.find(sequence)
	if f == nil || f.resolved {
		return
	}
	waiters := m.proposals.resolve(f)
	m.proposals.settle()
	term := m.term
	m.later(func() {
		for i := range waiters {
			done, err := waiters[i].done, results[i].Err
			a := Applied{Response: results[i].Response, Index: index, Position: uint32(i), Term: term}
			if c := waiters[i].request.GetCompaction(); c.GetPhysical() && err == nil {
				m.compactions.await(c.GetRevision(), func() { done(a, err) })
				continue
			}
			done(a, err)
		}
	})
}

// find returns the batch in flight of that sequence, nil if there is none. Sequences in flight are consecutive.
func (p *proposals) find(sequence uint64) *flight {
	if len(p.flight) == 0 || sequence < p.flight[0].sequence {
		return nil
	}
	i := sequence - p.flight[0].sequence
	if i >= uint64(len(p.flight)) {
		return nil
	}
	return p.flight[i]
}

// resolve takes the waiters of a batch, which is then over for this member.
func (p *proposals) resolve(f *flight) []proposal {
	waiters := f.members
	p.requests -= len(waiters)
	p.bytes -= f.bytes
	*f = flight{sequence: f.sequence, resolved: true}
	return waiters
}

// settle forgets the resolved batches at the front of the window.
func (p *proposals) settle() {
	n := 0
	for n < len(p.flight) && p.flight[n].resolved {
		p.flight[n] = nil
		n++
	}
	p.flight = p.flight[n:]
}

// resend sends every unresolved batch to a new leader.
func (m *Member) resend() {
	for _, f := range m.proposals.flight {
		if !f.resolved {
			f.sent, f.backoff = false, 0
			m.send(f)
		}
	}
}

// tickProposals sends again what may have been lost, and gives up what took too long.
func (m *Member) tickProposals() {
	p := &m.proposals
	now := m.now()
	for _, f := range p.flight {
		switch {
		case f.resolved:
		case now.Sub(f.members[0].start) >= m.config.RequestTimeout:
			err := ErrNotProposed
			if f.left {
				err = m.timeoutError(f.members[0].start)
			}
			m.giveUp(f, err)
		case !f.sent:
			m.send(f)
		case m.leader != m.config.ID && now.Sub(f.sentAt) >= f.backoff:
			f.backoff *= 2
			m.send(f)
		}
	}
	n := 0
	for n < len(p.waiting) && now.Sub(p.waiting[n].start) >= m.config.RequestTimeout {
		w := p.waiting[n]
		p.requests--
		p.bytes -= w.size
		p.failed++
		m.later(func() { w.done(Applied{}, ErrNotProposed) })
		n++
	}
	p.waiting = p.waiting[n:]
	p.settle()
}

// giveUp answers the waiters of a batch that its outcome is unknown.
func (m *Member) giveUp(f *flight, err error) {
	waiters := m.proposals.resolve(f)
	m.proposals.failed += uint64(len(waiters))
	m.later(func() {
		for i := range waiters {
			waiters[i].done(Applied{}, err)
		}
	})
}

// timeoutError is etcd's word for a request that began at start, was sent to a leader and took too long.
func (m *Member) timeoutError(start port.Instant) error {
	if m.leader == 0 || m.leaderLostAt >= start {
		return rpctypes.ErrGRPCTimeoutDueToLeaderFail
	}
	return rpctypes.ErrGRPCTimeout
}

// stopProposals answers everything that waits.
func (m *Member) stopProposals() {
	p := &m.proposals
	for _, f := range p.flight {
		if !f.resolved {
			m.giveUp(f, ErrStopped)
		}
	}
	for _, w := range append(p.waiting, p.bound...) {
		m.later(func() { w.done(Applied{}, ErrStopped) })
	}
	p.flight, p.waiting, p.bound, p.requests, p.bytes = nil, nil, nil, 0, 0
}

// reconcileProposals resolves the own batches that a snapshot from another member already holds: they were applied, but what they
// answered is not known here.
func (m *Member) reconcileProposals() {
	for _, f := range m.proposals.flight {
		if !f.resolved && m.machine.Seen(uint64(m.config.ID), m.incarnation, f.sequence) {
			m.giveUp(f, rpctypes.ErrGRPCTimeout)
		}
	}
	m.proposals.settle()
}
