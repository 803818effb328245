package call

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/lessor"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
)

// Kind is a kind of thing that a call waits for.
type Kind uint8

const (
	// Nothing: the call is over, and Answer says how.
	Nothing Kind = iota
	// Work: nothing is waited for. Resume goes on, and takes as long as the answer is large.
	Work
	// Apply: Request is to be put into the log, and applied.
	Apply
	// Read: a view that holds all that was acknowledged.
	Read
	// Time: the leader's word how much is left of Lease.
	Time
	// Renew: the leader's word that Lease has its full TTL again.
	Renew
	// Ends: when leases end, as far as the member knows.
	Ends
)

// Need is what a call waits for.
type Need struct {
	Kind    Kind
	Request *pb.InternalRaftRequest // with Apply; it belongs to the member
	Lease   int64                   // with Time and Renew
}

// Result is what came of the wait: Err, or the one other field that the need was about. Where Err is the request's own, Applied is set as well.
type Result struct {
	Applied node.Applied
	View    *statemachine.View // pinned; it belongs to the call
	Lease   node.LeaseTTL      // with Renew only Granted is set, to 0 where there is no such lease
	Ends    []lessor.End
	Err     error
}

// Pending is a Unary call on its way through the gate. It never waits: Next says what for, and whoever carries the call waits and then calls Resume, again and again
// until Next says Nothing. The doors do that in the client's goroutine, Do in the member's turns.
//
// It belongs to one caller at a time.
type Pending[Req, Resp any] struct {
	gate    *Gate
	at      Local
	method  *Unary[Req, Resp]
	request Req

	step    Step
	raising bool // the space is used up: what is applied is the alarm
	need    Need
	outcome Outcome
	answer  Resp
	err     error
}

// Begin takes a call through the gate as far as the way: see Gate.
func (p *Pending[Req, Resp]) Begin(g *Gate, at Local, who Caller, u *Unary[Req, Resp], r Req) {
	p.gate, p.at, p.method, p.request = g, at, u, r
	p.outcome.Limits = g.Limits
	if p.err = g.enter(who, at, u.Method); p.err != nil {
		return
	}
	if p.step, p.err = u.Begin(g.Limits, r); p.err != nil {
		return
	}
	// A client may make requests and reset them at once, as fast as it can send. What each costs is then a goroutine, and little more.
	if p.err = Impatient(who.Gone, p.step.Way); p.err != nil {
		return
	}
	if p.err = g.know(&who, at); p.err != nil {
		return
	}
	raise, err := p.able()
	if p.err = err; err != nil {
		return
	}
	if p.err = g.may(who, at, u.Method, r); p.err != nil {
		return
	}
	p.setOut(raise)
}

// able is the gate's fourth step. raise, unless nil, is to be proposed in place of the request.
func (p *Pending[Req, Resp]) able() (raise *pb.InternalRaftRequest, err error) {
	if p.step.Way == Locally && !p.method.VotersOnly {
		return nil, nil
	}
	s := p.at.Status()
	if err := p.gate.able(&s); err != nil || p.step.Way != Proposed {
		return nil, err
	}
	return p.gate.overQuota(p.step.Request, p.at, s.ID), nil
}

// setOut is the first part of the way.
func (p *Pending[Req, Resp]) setOut(raise *pb.InternalRaftRequest) {
	switch p.step.Way {
	case Locally:
		p.need.Kind = Work
	case Linearized:
		p.need.Kind = Read
	case Proposed:
		p.need = Need{Kind: Apply, Request: p.step.Request}
		if p.raising = raise != nil; p.raising {
			p.gate.log("the space quota is used up; raising the alarm", "quota", p.gate.Limits.QuotaBytes)
			p.need.Request = raise
		}
	case Renewed, Timed:
		p.outcome.Revision = headRevision(p.at)
		p.need = Need{Kind: Time, Lease: p.step.Lease}
		if p.step.Way == Renewed {
			p.need.Kind = Renew
		}
	}
}

// Next says what the call waits for.
func (p *Pending[Req, Resp]) Next() Need { return p.need }

// Resume goes on with what came of the wait for Next. With Work, r is empty, or the error with which the client's patience has ended.
func (p *Pending[Req, Resp]) Resume(r Result) {
	had := p.need.Kind
	p.need = Need{}
	o := &p.outcome
	switch had {
	case Apply:
		if p.raising {
			r.Err = p.gate.raised(r.Err)
		}
		o.Applied = r.Applied
	case Read:
		o.View = r.View
	case Time, Renew:
		o.Lease = r.Lease
	case Ends:
		o.Ends = r.Ends
	}
	if r.Err == nil {
		if p.need = p.after(had); p.need.Kind != Nothing {
			return
		}
		if had == Work && p.step.Way == Locally {
			o.View = p.at.AcquireView()
		}
	}
	o.Status = p.at.Status()
	if p.err = Impatient(r.Err, p.step.Way); p.err == nil {
		p.answer, p.err = p.method.Finish(p.request, *o)
	}
}

// after is the next part of the way.
func (p *Pending[Req, Resp]) after(had Kind) (n Need) {
	switch {
	case had == Time && p.step.View:
		n.Kind = Read
	case had == Read && p.step.Ends:
		n.Kind = Ends
	case had == Read, had == Ends:
		// Reading a view is most of the work of a range. Where nobody waits for the answer any more, others' requests do.
		n.Kind = Work
	}
	return n
}

// Answer is the answer of a call that is over. The outcome's view stays pinned until Release.
func (p *Pending[Req, Resp]) Answer() (Resp, *Outcome, error) { return p.answer, &p.outcome, p.err }

// Release gives back what the call holds of its member.
func (p *Pending[Req, Resp]) Release() {
	if p.outcome.View != nil {
		p.outcome.View.Release()
	}
}

// overQuota is the alarm to be raised in place of a request that there is no room for; nil: there is.
func (g *Gate) overQuota(r *pb.InternalRaftRequest, at Local, self port.MemberID) *pb.InternalRaftRequest {
	if g.Limits.QuotaBytes <= 0 {
		return nil
	}
	v := at.AcquireView()
	defer v.Release()
	return overQuota(g.Limits, r, v, self)
}

// raised is the answer to a request that there was no room for, once the alarm is up, or can't be.
func (g *Gate) raised(err error) error {
	if err != nil {
		g.log("failed to raise the alarm", "error", err)
	}
	return rpctypes.ErrGRPCNoSpace
}

func (g *Gate) log(msg string, kv ...any) {
	if g.Log != nil {
		g.Log.Log(port.Warn, msg, kv...)
	}
}
