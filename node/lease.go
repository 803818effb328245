package node

import (
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/detcd/detcd/node/lessor"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/window"
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

// leaseAsks are this member's questions on their way to the leader. Those that come in one turn travel as one message, and are answered
// by one; it is sent again until it is answered, or takes too long.
type leaseAsks struct {
	*core
	window *window.Window[leaseItem, LeaseTTL, struct{}]
	// own answers when this member leads.
	own interface {
		take(from port.MemberID, r leaseRequest)
	}
}

type leaseFlight = window.Flight[leaseItem, LeaseTTL, struct{}]

const (
	// maxLeaseFlights is how many messages with questions may be unanswered, and maxLeaseAsks how many questions are in one.
	maxLeaseFlights = 64
	maxLeaseAsks    = 1024
	// leaseWindow is how far, in sequence numbers, a member's questions may overtake each other: the leader remembers what it answered
	// within it.
	leaseWindow = 256
)

func newLeaseAsks(c *core, own *leaseLeader) *leaseAsks {
	a := &leaseAsks{core: c, own: own}
	a.window = window.New(window.Options{
		UnderWay: maxLeaseFlights,
		Span:     leaseWindow,
		Timeout:  c.config.RequestTimeout,
		Retry:    c.electionTimeout(),
		Doubling: true,
	}, a, c.later)
	return a
}

// Renew gives a lease its full TTL again. done is called in a later turn with the TTL in seconds, 0 if there is no such lease (it has
// ended or is about to), or with an error, and then the outcome is unknown. The leader answers, wherever this is called, once a quorum has
// confirmed that it still led after the call.
func (m *Member) Renew(id int64, done func(ttl int64, err error)) {
	m.asks.ask(leaseItem{opRenew, id}, func(t LeaseTTL, err error) { done(t.Granted, err) })
}

// TimeToLive asks for a lease's TTL and what is left of it. done is called in a later turn. The answer comes from the leader, as Renew's.
func (m *Member) TimeToLive(id int64, done func(t LeaseTTL, err error)) {
	m.asks.ask(leaseItem{opTime, id}, done)
}

// LeaseEnds lists when leases end, in no order that means anything, where this member keeps that: as leader. It takes time by the number of leases; call it within
// a turn.
func (m *Member) LeaseEnds() []lessor.End { return m.leases.ends() }

func (a *leaseAsks) ask(item leaseItem, done func(LeaseTTL, error)) {
	a.wanted = true
	switch {
	case a.stopping || a.failed != nil:
		a.later(func() { done(LeaseTTL{}, ErrStopped) })
	case a.window.Count() >= a.config.MaxPendingLeaseAsks:
		a.later(func() { done(LeaseTTL{}, rpctypes.ErrGRPCRequestTooManyRequests) })
	default:
		a.window.Add(a.now(), item, 0, done)
	}
}

// gather puts what waits into messages and sends them, as far as there is room.
func (a *leaseAsks) gather() { a.window.Fill(a.now()) }

// begin sends every question to the new leader.
func (a *leaseAsks) begin() {
	if a.leader != 0 {
		a.window.SendAll(a.now())
	}
}

// tick sends again what may have been lost, and gives up what took too long.
func (a *leaseAsks) tick() { a.window.Tick(a.now()) }

// stop answers everything that waits.
func (a *leaseAsks) stop() { a.window.Stop(ErrStopped) }

// Take implements window.Carrier.
func (a *leaseAsks) Take(waiting []window.Request[leaseItem, LeaseTTL]) int {
	return min(len(waiting), maxLeaseAsks)
}

// Send implements window.Carrier: it passes questions to the leader, which may be this member; without one they wait for it.
func (a *leaseAsks) Send(f *leaseFlight) bool {
	if a.leader == 0 {
		return false
	}
	r := leaseRequest{term: a.term, incarnation: a.incarnation, sequence: f.Number, floor: a.window.Oldest()}
	r.items = make([]leaseItem, len(f.Requests))
	for i := range f.Requests {
		r.items[i] = f.Requests[i].Ask
	}
	if a.leads() {
		a.own.take(a.config.ID, r)
	} else {
		a.ports.Network.Send(a.leader, port.Normal, r.encode())
	}
	return true
}

// MayBeLost implements window.Carrier: what a leader asks itself is not lost.
func (a *leaseAsks) MayBeLost() bool { return !a.leads() }

// TooLate implements window.Carrier: it is etcd's word for a question about a lease that took too long.
func (a *leaseAsks) TooLate(port.Instant, *leaseFlight) error {
	if a.leader == 0 {
		return rpctypes.ErrGRPCNoLeader
	}
	return rpctypes.ErrGRPCTimeout
}

// receive takes what the leader answered over the network. Repeated and late answers find nothing that waits for them.
func (a *leaseAsks) receive(payload []byte) error {
	r, err := decodeLeaseAnswer(payload)
	if err != nil {
		return err
	}
	if r.incarnation == a.incarnation {
		a.answer(r.sequence, r.times)
	}
	return nil
}

// answer answers the questions of one message.
func (a *leaseAsks) answer(sequence uint64, times []LeaseTTL) {
	f := a.window.Find(sequence)
	if f == nil || len(times) != len(f.Requests) {
		return
	}
	waiters := a.window.Take(f)
	a.later(func() {
		for i := range waiters {
			waiters[i].Done(times[i], nil)
		}
	})
}

// askAgain has the questions of a message be asked again: this member, as leader, could not answer them.
func (a *leaseAsks) askAgain(sequence uint64) {
	if f := a.window.Find(sequence); f != nil {
		a.window.Unsend(f)
	}
}
