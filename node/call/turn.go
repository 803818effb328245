package call

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/lessor"
	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// Replica is what a call sees of the member that carries it. *node.Member is one, within its turns.
type Replica interface {
	Local
	Propose(*pb.InternalRaftRequest, func(node.Applied, error))
	Linearize(func(*statemachine.View, error))
	Renew(id int64, done func(ttl int64, err error))
	TimeToLive(id int64, done func(t node.LeaseTTL, err error))
	LeaseEnds() []lessor.End
	Watch() *watch.Hub
}

var _ Replica = (*node.Member)(nil)

// Do makes a call. It begins in one of the member's turns and goes on in turns; done is called once, in one of them, in this very one if the call is
// refused at once. The outcome is valid until done returns.
func Do[Req, Resp any](g *Gate, m Replica, who Caller, u *Unary[Req, Resp], r Req, done func(Resp, *Outcome, error)) {
	t := &inTurns[Req, Resp]{member: m, done: done}
	t.call.Begin(g, m, who, u, r)
	t.goOn()
}

// inTurns is a call that a member's turns carry.
type inTurns[Req, Resp any] struct {
	member Replica
	call   Pending[Req, Resp]
	asking *Question // made when it is needed
	done   func(Resp, *Outcome, error)
}

func (t *inTurns[Req, Resp]) goOn() {
	for {
		switch need := t.call.Next(); need.Kind {
		case Nothing:
			t.done(t.call.Answer())
			t.call.Release()
			return
		case Work:
			t.call.Resume(Result{})
		default:
			if t.asking == nil {
				t.asking = NewQuestion(func(r Result) {
					t.call.Resume(r)
					t.goOn()
				})
			}
			t.asking.Ask(t.member, need)
			return
		}
	}
}

// Question asks a member for what a call needs. It is for one wait at a time, and may be used again: its callbacks are made once.
type Question struct {
	done     func(Result)
	applied  func(node.Applied, error)
	viewed   func(*statemachine.View, error)
	renewed  func(ttl int64, err error)
	timeLeft func(node.LeaseTTL, error)
}

// NewQuestion returns a question whose answers go to done.
func NewQuestion(done func(Result)) *Question {
	return &Question{
		done:     done,
		applied:  func(a node.Applied, err error) { done(Result{Applied: a, Err: err}) },
		viewed:   func(v *statemachine.View, err error) { done(Result{View: v, Err: err}) },
		renewed:  func(ttl int64, err error) { done(Result{Lease: node.LeaseTTL{Granted: ttl}, Err: err}) },
		timeLeft: func(t node.LeaseTTL, err error) { done(Result{Lease: t, Err: err}) },
	}
}

// Ask asks m, in a turn. The answer comes in this turn or a later one.
func (q *Question) Ask(m Replica, need Need) {
	switch need.Kind {
	case Apply:
		m.Propose(need.Request, q.applied)
	case Read:
		m.Linearize(q.viewed)
	case Time:
		m.TimeToLive(need.Lease, q.timeLeft)
	case Renew:
		m.Renew(need.Lease, q.renewed)
	case Ends:
		q.done(Result{Ends: m.LeaseEnds()})
	default:
		panic("call: a call was waited for that waits for nothing")
	}
}
