package node

import (
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/detcd/detcd/node/lessor"
	"github.com/detcd/detcd/node/port"
)

// LeaseTTL is what the leader knows of a lease's time.
type LeaseTTL struct {
	Granted   int64 // seconds
	Remaining int64 // seconds, rounded down, never negative; 0 also while the lease is ending
	Found     bool  // there is such a lease
}

// LeaseCounts counts what happened to leases since this member was opened.
type LeaseCounts struct {
	// Granted and Revoked were applied here; expired leases are revoked, too.
	Granted, Revoked uint64
	// Renewed and Expired were so by this member as leader.
	Renewed, Expired uint64
}

// leaseOp is what is asked of the leader about a lease.
type leaseOp uint8

const (
	opRenew leaseOp = iota
	opTime
)

// leaseAsk is one question about a lease that this member was asked.
type leaseAsk struct {
	op    leaseOp
	id    int64
	start port.Instant
	done  func(LeaseTTL, error)
}

// leaseAsks are this member's questions on their way to the leader. Those that come in one turn travel as one message, and are answered
// by one; it is sent again until it is answered, or takes too long.
type leaseAsks struct {
	waiting []leaseAsk
	// flights were not answered yet, oldest first.
	flights []*leaseFlight
	// sequence is that of the newest flight.
	sequence uint64
	count    int
}

type leaseFlight struct {
	sequence uint64
	asks     []leaseAsk
	// term is the leader's term for which it was sent; 0: not sent.
	term    uint64
	sentAt  port.Instant
	backoff time.Duration
}

const (
	// maxLeaseFlights is how many messages with questions may be unanswered, and maxLeaseAsks how many questions are in one.
	maxLeaseFlights = 64
	maxLeaseAsks    = 1024
	// leaseWindow is how far, in sequence numbers, a member's questions may overtake each other: the leader remembers what it answered
	// within it.
	leaseWindow = 256
)

// Renew gives a lease its full TTL again. done is called in a later turn with the TTL in seconds, 0 if there is no such lease (it has
// ended or is about to), or with an error, and then the outcome is unknown. The leader answers, wherever this is called, once a quorum has
// confirmed that it still led after the call.
func (m *Member) Renew(id int64, done func(ttl int64, err error)) {
	m.askLease(leaseAsk{op: opRenew, id: id, done: func(t LeaseTTL, err error) { done(t.Granted, err) }})
}

// TimeToLive asks for a lease's TTL and what is left of it. done is called in a later turn. The answer comes from the leader, as Renew's.
func (m *Member) TimeToLive(id int64, done func(t LeaseTTL, err error)) {
	m.askLease(leaseAsk{op: opTime, id: id, done: done})
}

// LeaseEnds lists when leases end, in no order that means anything, where this member keeps that: as leader. It takes time by the number of leases; call it within
// a turn.
func (m *Member) LeaseEnds() []lessor.End {
	if m.leases.lessor == nil {
		return nil
	}
	return m.leases.lessor.Ends()
}

func (m *Member) askLease(a leaseAsk) {
	m.wanted = true
	switch {
	case m.stopping || m.failed != nil:
		m.later(func() { a.done(LeaseTTL{}, ErrStopped) })
	case m.asks.count >= m.config.MaxPendingLeaseAsks:
		m.later(func() { a.done(LeaseTTL{}, rpctypes.ErrGRPCRequestTooManyRequests) })
	default:
		a.start = m.now()
		m.asks.count++
		m.asks.waiting = append(m.asks.waiting, a)
	}
}

// gatherAsks puts waiting questions into messages and sends them, as far as the window allows.
func (m *Member) gatherAsks() {
	a := &m.asks
	for len(a.waiting) > 0 && len(a.flights) < maxLeaseFlights &&
		(len(a.flights) == 0 || a.sequence+1-a.flights[0].sequence < leaseWindow) {
		n := min(len(a.waiting), maxLeaseAsks)
		a.sequence++
		f := &leaseFlight{sequence: a.sequence, asks: a.waiting[:n:n]}
		a.waiting = a.waiting[n:]
		a.flights = append(a.flights, f)
		m.sendAsks(f)
	}
	if len(a.waiting) == 0 {
		a.waiting = nil
	}
}

// sendAsks passes questions to the leader, which may be this member; without one they wait for it.
func (m *Member) sendAsks(f *leaseFlight) {
	if m.leader == 0 {
		return
	}
	f.term, f.sentAt = m.term, m.now()
	if f.backoff == 0 {
		f.backoff = m.electionTimeout()
	}
	r := leaseRequest{term: m.term, incarnation: m.incarnation, sequence: f.sequence, floor: m.asks.flights[0].sequence}
	r.items = make([]leaseItem, len(f.asks))
	for i := range f.asks {
		r.items[i] = leaseItem{op: f.asks[i].op, id: f.asks[i].id}
	}
	if m.leader == m.config.ID {
		m.takeLeaseRequest(m.config.ID, r)
		return
	}
	m.ports.Network.Send(m.leader, port.Normal, r.encode())
}

// resendAsks sends every unanswered question to a new leader.
func (m *Member) resendAsks() {
	for _, f := range m.asks.flights {
		f.backoff = 0
		m.sendAsks(f)
	}
}

// handleLeaseAnswer takes what the leader answered over the network. Repeated and late answers find nothing that waits for them.
func (m *Member) handleLeaseAnswer(payload []byte) error {
	a, err := decodeLeaseAnswer(payload)
	if err != nil {
		return err
	}
	if a.incarnation == m.incarnation {
		m.answerAsks(a.sequence, a.times)
	}
	return nil
}

// answerAsks answers the questions of one message.
func (m *Member) answerAsks(sequence uint64, times []LeaseTTL) {
	a := &m.asks
	for i, f := range a.flights {
		if f.sequence != sequence {
			continue
		}
		if len(times) != len(f.asks) {
			return
		}
		a.flights = append(a.flights[:i], a.flights[i+1:]...)
		a.count -= len(f.asks)
		m.later(func() {
			for i := range f.asks {
				f.asks[i].done(times[i], nil)
			}
		})
		return
	}
}

// tickAsks sends again what may have been lost, and gives up what took too long.
func (m *Member) tickAsks() {
	a := &m.asks
	now := m.now()
	keep := a.flights[:0]
	for _, f := range a.flights {
		if now.Sub(f.asks[0].start) >= m.config.RequestTimeout {
			a.count -= len(f.asks)
			m.refuseAsks(f.asks, m.askTimeout())
			continue
		}
		keep = append(keep, f)
	}
	clear(a.flights[len(keep):])
	a.flights = keep
	n := 0
	for n < len(a.waiting) && now.Sub(a.waiting[n].start) >= m.config.RequestTimeout {
		n++
	}
	if n > 0 {
		a.count -= n
		m.refuseAsks(a.waiting[:n:n], m.askTimeout())
		a.waiting = a.waiting[n:]
	}
	for _, f := range a.flights {
		switch {
		case f.term == 0:
			m.sendAsks(f)
		case m.leader != m.config.ID && now.Sub(f.sentAt) >= f.backoff:
			f.backoff *= 2
			m.sendAsks(f)
		}
	}
}

// askTimeout is etcd's word for a question about a lease that took too long.
func (m *Member) askTimeout() error {
	if m.leader == 0 {
		return rpctypes.ErrGRPCNoLeader
	}
	return rpctypes.ErrGRPCTimeout
}

func (m *Member) refuseAsks(asks []leaseAsk, err error) {
	m.later(func() {
		for i := range asks {
			asks[i].done(LeaseTTL{}, err)
		}
	})
}

// stopAsks answers everything that waits.
func (m *Member) stopAsks() {
	for _, f := range m.asks.flights {
		m.refuseAsks(f.asks, ErrStopped)
	}
	m.refuseAsks(m.asks.waiting, ErrStopped)
	m.asks = leaseAsks{sequence: m.asks.sequence}
}
