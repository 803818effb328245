package call

import (
	"errors"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// contender is one call's wait for its turn. A lock and an election are no more than that. Keys under a prefix queue up in the order of their creation. Each key
// is bound to a lease and named for it. The first one holds the lock, or leads. The layout is that of etcd's client library, so clients with that library may
// contend beside these calls.
//
// A step that ran out of time is made again. That is safe: to enter is to create the key if it is not there, so a second try finds the place that the first one
// may have taken. Only cancel, or an answer that is certain, ends the call. (The network may hold an entry back until the key is gone again. Such an entry takes
// a place for nobody, and the end of the lease frees it.)
//
// A call that has waited is told that it holds only after a linearized read has shown that its key is still there: the lease may have ended during the wait
// (etcd's issue 11456).
//
// Every entry writes the key, also where the lease has a place already. (etcd leaves such a key as it is.) So the key's mod revision says which call the place is
// for. A client that lost its connection may come back with the same lease, and be told that it holds. The end of its former call must not take the key away
// from it.
//
// It belongs to its member's turns. A member that stops does not end a wait: whoever drives the member answers those who wait.
type contender struct {
	gate    *Gate
	member  Replica
	who     Caller
	prefix  []byte
	lease   int64
	value   []byte
	expired error // the answer where the key is gone while it waits
	// settle answers the call, once: with an error, or with the header of the answer that showed that the place is the first one.
	settle func(*pb.ResponseHeader, error)

	granted     bool   // the lease was granted for this call alone
	key         []byte // of the place
	create, mod int64  // of the key, as this call entered; 0: it did not, as far as it knows
	borrowed    bool   // the place was the first one already as this call entered: another may have been told so

	header      *pb.ResponseHeader // of the entry
	again       bool               // the lease had its place already, so that the entry gave its key a new value
	own, before *watch.Interest    // in the key, and in the one before it in the queue
	beforeKey   string

	proposing, reading bool // what is under way
	canceled, over     bool
	// patience is how often a cancelled call still tries to learn what came of its proposal, or to give its place back.
	patience int
}

// sessionTTL is the TTL of the lease that a call without one gets, in seconds; etcd's client library's.
const sessionTTL = 60

// withdrawals is the patience of a cancelled call.
const withdrawals = 3

// start begins the call, in a turn.
func (c *contender) start(method string, request any) (cancel func()) {
	c.patience = withdrawals
	var err error
	c.who, err = c.gate.admit(c.who, c.member, method, request)
	switch {
	case err != nil:
		c.finish(nil, err)
	case c.lease != 0:
		c.enter()
	default:
		c.grant()
	}
	return c.cancel
}

// cancel gives the place back; then the call ends with ErrGRPCCanceled. It does nothing where the call is over.
func (c *contender) cancel() {
	if c.over || c.canceled {
		return
	}
	c.canceled = true
	if !c.proposing { // else the answer to that goes on from here
		c.fail(rpctypes.ErrGRPCCanceled)
	}
}

// insist makes a request on a contender's way, again and again while nobody knows whether it was applied. Where the contender is cancelled meanwhile it still tries,
// as often as patience says, to learn what came of the request: it may have a place to give back. request makes each try anew, as a request belongs to the member.
func insist[Req, Resp any](c *contender, u *Unary[Req, Resp], request func() Req, next func(Resp)) {
	c.proposing = true
	Do(c.gate, c.member, c.who, u, request(), func(resp Resp, o *Outcome, err error) {
		c.proposing = false
		unknown := err != nil && o.Applied.Index == 0 && timedOut(err)
		if c.canceled {
			c.patience--
		}
		switch {
		case err == nil:
			next(resp)
		case unknown && (!c.canceled || c.patience > 0):
			insist(c, u, request, next)
		case c.canceled:
			c.fail(rpctypes.ErrGRPCCanceled)
		default:
			c.fail(err)
		}
	})
}

// timedOut says that an error is the end of a member's patience, not a refusal.
func timedOut(err error) bool {
	return errors.Is(err, node.ErrNotProposed) || errors.Is(err, rpctypes.ErrGRPCTimeout) || errors.Is(err, rpctypes.ErrGRPCTimeoutDueToLeaderFail) ||
		errors.Is(err, rpctypes.ErrGRPCTimeoutDueToConnectionLost)
}

// grant gets a lease for a call that has none.
func (c *contender) grant() {
	insist(c, &LeaseGrant, sessionLease, func(resp *pb.LeaseGrantResponse) {
		c.lease, c.granted = resp.GetID(), true
		if c.canceled {
			c.fail(rpctypes.ErrGRPCCanceled)
			return
		}
		c.enter()
	})
}

// enter takes a place in the queue, or the one that the lease has.
func (c *contender) enter() {
	c.key = strconv.AppendInt(c.prefix[:len(c.prefix):len(c.prefix)], c.lease, 16)
	request := func() *pb.TxnRequest {
		get, put, first := rangeOp(&pb.RangeRequest{Key: c.key}), putOp(c.key, c.value, c.lease), rangeOp(firstUnder(c.prefix))
		return &pb.TxnRequest{
			Compare: []*pb.Compare{revisionIs(pb.Compare_CREATE, c.key, 0)},
			Success: []*pb.RequestOp{put, first},
			Failure: []*pb.RequestOp{get, put, first},
		}
	}
	insist(c, &Txn, request, func(resp *pb.TxnResponse) {
		c.header = resp.GetHeader()
		ops := resp.GetResponses()
		c.create, c.mod = c.header.GetRevision(), c.header.GetRevision()
		if c.again = !resp.GetSucceeded(); c.again {
			c.create = ops[0].GetResponseRange().GetKvs()[0].GetCreateRevision()
		}
		holds := ops[len(ops)-1].GetResponseRange().GetKvs()[0].GetCreateRevision() == c.create
		c.borrowed = holds && c.again
		switch {
		case c.canceled:
			c.fail(rpctypes.ErrGRPCCanceled)
		case holds:
			c.finish(c.header, nil) // as of its place in the log
		default:
			c.look(false)
		}
	})
}

// check looks whether it is this place's turn, in the state as it is now.
func (c *contender) check() {
	if c.reading || c.over {
		return
	}
	c.reading = true
	c.member.Linearize(func(v *statemachine.View, err error) {
		c.reading = false
		if err == nil {
			v.Release() // it is only the promise that any later one is new enough
		}
		switch {
		case c.over:
		case err == nil:
			c.look(true)
		case timedOut(err):
			c.check()
		default:
			c.fail(err)
		}
	})
}

// look finds the place in the newest view: gone, the first, or behind another, for which it waits then. current says that the view
// is linearized.
func (c *contender) look(current bool) {
	// Marks are taken first: a view acquired after that holds all that made them.
	for _, i := range []*watch.Interest{c.own, c.before} {
		if i != nil {
			i.Take()
		}
	}
	v := c.member.AcquireView()
	defer v.Release()
	if kv := one(v, &pb.RangeRequest{Key: c.key}); kv.GetCreateRevision() != c.create {
		c.mod = 0 // there is nothing to give back
		c.fail(c.expired)
		return
	}
	before := one(v, &pb.RangeRequest{
		Key: c.prefix, RangeEnd: prefixEnd(c.prefix), Limit: 1, KeysOnly: true, MaxCreateRevision: c.create - 1,
		SortTarget: pb.RangeRequest_CREATE, SortOrder: pb.RangeRequest_DESCEND,
	})
	switch {
	case before != nil:
		c.await(string(before.GetKey()), v.Revision())
	case current:
		c.finish(header(c.member.Status(), v.Revision()), nil)
	default:
		c.check()
	}
}

// await has the call woken by a change, after revision seen, of its own key or of the key before it.
func (c *contender) await(before string, seen int64) {
	hub := c.member.Watch()
	if c.own == nil {
		c.own = watch.NewInterest(c.key, nil, c.check)
		hub.Attach(c.own, seen+1)
	}
	if c.before != nil && c.beforeKey == before {
		return
	}
	if c.before != nil {
		hub.Detach(c.before)
	}
	c.before, c.beforeKey = watch.NewInterest([]byte(before), nil, c.check), before
	hub.Attach(c.before, seen+1)
}

// fail gives the place back, as far as that can be done, and ends the call.
func (c *contender) fail(err error) {
	c.leave()
	c.withdraw(func() { c.finish(nil, err) })
}

// withdraw removes what only this call knows of: the lease, if that was granted for this call, or the key, if no other call has entered with the same lease since.
func (c *contender) withdraw(then func()) {
	switch {
	case c.granted:
		giveBack(c, &LeaseRevoke, func() *pb.LeaseRevokeRequest { return &pb.LeaseRevokeRequest{ID: c.lease} }, then)
	case c.mod != 0 && !c.borrowed:
		giveBack(c, &Txn, func() *pb.TxnRequest {
			return &pb.TxnRequest{
				Compare: []*pb.Compare{revisionIs(pb.Compare_MOD, c.key, c.mod)},
				Success: []*pb.RequestOp{deleteOp(c.key)},
			}
		}, then)
	default:
		then()
	}
}

// giveBack makes a request that removes something, and again while nobody knows whether it was applied and there is patience left.
func giveBack[Req, Resp any](c *contender, u *Unary[Req, Resp], request func() Req, then func()) {
	Do(c.gate, c.member, c.who, u, request(), func(_ Resp, o *Outcome, err error) {
		c.patience--
		if err != nil && o.Applied.Index == 0 && timedOut(err) && c.patience > 0 {
			giveBack(c, u, request, then)
			return
		}
		then()
	})
}

func (c *contender) finish(h *pb.ResponseHeader, err error) {
	c.leave()
	c.settle(h, err)
}

// leave has nothing wake the call any more.
func (c *contender) leave() {
	c.over = true
	for _, i := range []*watch.Interest{c.own, c.before} {
		if i != nil {
			c.member.Watch().Detach(i)
		}
	}
	c.own, c.before = nil, nil
}

// sessionLease asks for the lease of a call that has none. The member chooses its id.
func sessionLease() *pb.LeaseGrantRequest { return &pb.LeaseGrantRequest{TTL: sessionTTL} }
