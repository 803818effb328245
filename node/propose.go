package node

import (
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/window"
	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
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

// proposals are this member's own requests on their way to the log. Requests of one turn become one batch. A leader puts it into its log, a
// follower sends it to the leader, again and again until it sees it applied.
type proposals struct {
	*core
	window      *window.Window[proposal, Applied, parcel]
	relays      *relays
	leaseIDs    leaseIDs
	compactions *compactions
}

type proposal struct {
	request *pb.InternalRaftRequest // nil: there is a raise
	raise   format.Version          // of the cluster's format version; 0: none
	// term is the only one in which it may be put into the log; 0: any. See proposeBound.
	term uint64
}

// parcel is the envelope of a flight: encoded once, however often it is sent.
type parcel struct {
	envelope *statemachine.Envelope
	encoded  []byte
	term     uint64 // as proposal.term, which its requests have in common
	left     bool   // sent to any leader: it may be in the log one day
	since    uint64 // the term in which it was first sent to one; no entry of an earlier term has it
}

type (
	batchFlight = window.Flight[proposal, Applied, parcel]
	proposed    = window.Request[proposal, Applied]
)

// maxFlights is how many batches of one member may be under way at a time. It must stay below the window in which the state
// machine tells batches apart, so that no batch still under way is ever taken for an old one.
const maxFlights = statemachine.SessionWindow / 2

func newProposals(c *core, r *relays, compactions *compactions) *proposals {
	p := &proposals{core: c, relays: r, leaseIDs: leaseIDs{core: c}, compactions: compactions}
	p.window = window.New(window.Options{
		UnderWay: maxFlights,
		Span:     maxFlights,
		Timeout:  c.config.RequestTimeout,
		Retry:    c.electionTimeout(),
		Doubling: true,
	}, p, c.later)
	return p
}

// Propose asks for a request to be put into the log and applied. done is called in a later turn: with Applied.Index set, and the
// request's own error if it was refused there; or with an error alone, and then the outcome is unknown unless CertainlyNotApplied.
// Where a LeaseGrant leaves the choice of the id to the server, it is made here. The request belongs to the member from this call on.
func (m *Member) Propose(request *pb.InternalRaftRequest, done func(Applied, error)) {
	m.proposals.propose(request, done)
}

func (p *proposals) propose(request *pb.InternalRaftRequest, done func(Applied, error)) {
	if p.stopping || p.failed != nil {
		p.later(func() { done(Applied{}, ErrStopped) })
		return
	}
	if g := request.GetLeaseGrant(); g != nil && g.GetID() == 0 {
		g.ID = p.leaseIDs.next()
	}
	size, waiting := proto.Size(request), p.window.Count()
	if waiting >= p.config.MaxPendingRequests || waiting > 0 && p.window.Bytes()+size > p.config.MaxPendingBytes {
		p.later(func() { done(Applied{}, rpctypes.ErrGRPCRequestTooManyRequests) })
		return
	}
	p.wanted = true
	p.window.Add(p.now(), proposal{request: request}, size, done)
}

// gather puts what waits into batches and sends them, as far as there is room.
func (p *proposals) gather() { p.window.Fill(p.now()) }

// begin lets what waits for a leader go on, and gives up what was bound to another term.
func (p *proposals) begin() {
	p.window.GiveUpFirst(errTermOver)
	if p.leader != 0 {
		p.window.SendAll(p.now())
	}
}

// tick sends again what may have been lost, and gives up what took too long.
func (p *proposals) tick() { p.window.Tick(p.now()) }

// stop answers everything that waits.
func (p *proposals) stop() { p.window.Stop(ErrStopped) }

// Take implements window.Carrier: a batch is bounded by its requests and its bytes.
func (p *proposals) Take(waiting []proposed) int {
	size := 0 // bytes
	for n := range waiting {
		size += waiting[n].Bytes
		full := n == p.config.MaxBatchRequests || size > p.config.MaxBatchBytes
		alone := waiting[n].Ask.raise != 0 || waiting[0].Ask.raise != 0
		if n > 0 && (full || alone || waiting[n].Ask.term != waiting[0].Ask.term) {
			return n
		}
	}
	return len(waiting)
}

// Send implements window.Carrier: it proposes a batch if this member leads, else passes it to the leader; without a leader it waits for one.
func (p *proposals) Send(f *batchFlight) bool {
	if f.Load.envelope == nil {
		p.pack(f)
	}
	switch {
	case f.First:
		return p.sendBound(f)
	case p.leader == 0:
		return false
	case !p.leads():
		p.ports.Network.Send(p.leader, port.Normal, append([]byte{kindForward}, f.Load.encoded...))
	case !p.relays.add(f.Load.envelope, f.Load.encoded):
		return false
	}
	if !f.Load.left {
		f.Load.left, f.Load.since = true, p.term
	}
	return true
}

// pack makes the envelope of a flight.
func (p *proposals) pack(f *batchFlight) {
	e := &statemachine.Envelope{Origin: statemachine.Origin{Proposer: uint64(p.config.ID), Incarnation: p.incarnation, Sequence: f.Number}}
	if e.Raise = f.Requests[0].Ask.raise; e.Raise == 0 {
		e.Requests = make([]*pb.InternalRaftRequest, len(f.Requests))
		for i := range f.Requests {
			e.Requests[i] = f.Requests[i].Ask.request
		}
	}
	f.Load = parcel{envelope: e, encoded: e.Encode(p.machine.Format()), term: f.Requests[0].Ask.term}
}

// MayBeLost implements window.Carrier: what a leader has put into its own log is not lost on the way there.
func (p *proposals) MayBeLost() bool { return !p.leads() }

// TooLate implements window.Carrier: what never left this member certainly was not applied.
func (p *proposals) TooLate(start port.Instant, f *batchFlight) error {
	switch {
	case f == nil || !f.Load.left:
		return ErrNotProposed
	case p.leader == 0 || p.leaderLostAt >= start:
		return rpctypes.ErrGRPCTimeoutDueToLeaderFail
	}
	return rpctypes.ErrGRPCTimeout
}

// answer answers an own batch that was applied at index.
func (p *proposals) answer(sequence, index uint64, results []statemachine.Result) {
	f := p.window.Find(sequence)
	if f == nil {
		return
	}
	waiters, term := p.window.Take(f), p.term
	p.later(func() {
		for i := range waiters {
			done, err := waiters[i].Done, results[i].Err
			a := Applied{Response: results[i].Response, Index: index, Position: uint32(i), Term: term}
			if c := waiters[i].Ask.request.GetCompaction(); c.GetPhysical() && err == nil {
				p.compactions.await(c.GetRevision(), func() { done(a, err) })
				continue
			}
			done(a, err)
		}
	})
}

// reconcile gives up the own batches that a snapshot from another member already holds: they were applied, but what they answered is not
// known here.
func (p *proposals) reconcile() {
	for f := range p.window.UnderWay {
		if p.machine.Seen(uint64(p.config.ID), p.incarnation, f.Number) {
			p.window.GiveUp(f, rpctypes.ErrGRPCTimeout)
		}
	}
}
