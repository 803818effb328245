package call

import (
	"bytes"
	"errors"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// contender is one call's wait for its turn, which is all that a lock and an election are: keys under a prefix, each bound to a lease and
// named for it, queue up in the order of their creation, and the first one holds or leads. The layout is that of etcd's client library, so
// that it may contend beside these calls.
//
// A step that ran out of time is made again: to enter is to create the key if it is not there, so a repetition finds the place
// that an unseen success took. Only cancel, or an answer that is certain, ends the call. (A repeated entry that the network holds back
// until the key is gone again would take a place for nobody; the end of the lease ends that, too.)
//
// Before a place that was waited for is said to be the first one, a linearized read shows that its key is still there: the lease may
// have ended meanwhile (etcd's issue 11456).
//
// It belongs to its member's turns. A member that stops does not end a wait: whoever drives it answers those who wait.
type contender struct {
	member  Member
	limits  Limits
	prefix  []byte
	lease   int64
	value   []byte
	renames bool // the value is given to a place that the lease had already
	expired error // the answer where the key is gone while it waits
	// settle makes the call's answer of an error, or of the header of what showed that the place is the first one. It is called once.
	settle func(*pb.ResponseHeader, error)

	granted bool   // the lease was granted for this call alone
	key     []byte // of the place
	since   int64  // a revision that the store had reached when the call began
	doubt   bool   // an entry that was not answered may have made the key
	rev     int64  // create revision of the key; 0: not known
	borrows bool   // the place is held and was so before this call: not this call's to give back

	header      *pb.ResponseHeader // of the entry
	own, before *watch.Interest    // in the key, and in the one before it in the queue
	beforeKey   string

	proposing, reading bool // what is under way
	canceled, over     bool
}

// sessionTTL is the TTL of the lease that a call without one gets, in seconds; etcd's client library's.
const sessionTTL = 60

// withdrawals is how often giving a place back is tried where the outcome is unknown.
const withdrawals = 3

// start begins the call, in a turn.
func (c *contender) start() (cancel func()) {
	v := c.member.AcquireView()
	c.since = v.Revision()
	v.Release()
	switch {
	case c.member.Status().Learner:
		c.finish(nil, rpctypes.ErrGRPCNotSupportedForLearner)
	case c.lease != 0:
		c.enter()
	default:
		c.grant()
	}
	return c.cancel
}

// cancel gives the place back; then the call ends with codes.Canceled. It does nothing where the call is over.
func (c *contender) cancel() {
	if c.over || c.canceled {
		return
	}
	c.canceled = true
	if !c.proposing { // else the answer to that goes on from here
		c.fail(rpctypes.ErrGRPCCanceled)
	}
}

// propose has a request applied, again and again while nobody knows whether it was. next gets the outcome, unless the call was
// cancelled meanwhile: then it ends.
func (c *contender) propose(request func() *pb.InternalRaftRequest, next func(node.Applied)) {
	c.proposing = true
	proposeWithin(c.member, c.limits, request(), func(a node.Applied, err error) {
		c.proposing = false
		if err == nil {
			next(a)
			return
		}
		unknown := a.Index == 0 && timedOut(err)
		c.doubt = c.doubt || unknown && c.key != nil
		switch {
		case c.canceled:
			c.fail(rpctypes.ErrGRPCCanceled)
		case unknown:
			c.propose(request, next)
		default:
			c.fail(err)
		}
	})
}

// timedOut says that an error is the end of a member's patience, not a refusal.
func timedOut(err error) bool {
	return errors.Is(err, rpctypes.ErrGRPCTimeout) || errors.Is(err, rpctypes.ErrGRPCTimeoutDueToLeaderFail) ||
		errors.Is(err, rpctypes.ErrGRPCTimeoutDueToConnectionLost)
}

// grant gets a lease for a call that has none.
func (c *contender) grant() {
	request := func() *pb.InternalRaftRequest { return sessionLease(c.limits) }
	c.propose(request, func(a node.Applied) {
		c.lease, c.granted = a.Response.(*pb.LeaseGrantResponse).GetID(), true
		if c.canceled {
			c.fail(rpctypes.ErrGRPCCanceled)
			return
		}
		c.enter()
	})
}

// enter takes a place in the queue, or finds the one that the lease has.
func (c *contender) enter() {
	c.key = strconv.AppendInt(c.prefix[:len(c.prefix):len(c.prefix)], c.lease, 16)
	request := func() *pb.InternalRaftRequest {
		get, first := rangeOp(&pb.RangeRequest{Key: c.key}), rangeOp(firstUnder(c.prefix))
		return &pb.InternalRaftRequest{Txn: &pb.TxnRequest{
			Compare: []*pb.Compare{createdAt(c.key, 0)},
			Success: []*pb.RequestOp{putOp(c.key, c.value, c.lease), first},
			Failure: []*pb.RequestOp{get, first},
		}}
	}
	if _, err := Txn.Begin(c.limits, request().Txn); err != nil {
		c.fail(err)
		return
	}
	c.propose(request, func(a node.Applied) {
		resp := a.Response.(*pb.TxnResponse)
		c.header = resp.GetHeader()
		complete(c.header, c.member.Status())
		c.rev = c.header.GetRevision()
		old := c.value
		if !resp.GetSucceeded() {
			kv := resp.GetResponses()[0].GetResponseRange().GetKvs()[0]
			c.rev, old = kv.GetCreateRevision(), kv.GetValue()
		}
		holds := resp.GetResponses()[1].GetResponseRange().GetKvs()[0].GetCreateRevision() == c.rev
		c.borrows = holds && c.rev <= c.since
		switch {
		case c.canceled:
			c.fail(rpctypes.ErrGRPCCanceled)
		case c.renames && !bytes.Equal(old, c.value):
			c.change(holds)
		default:
			c.entered(holds)
		}
	})
}

// change gives the place that the lease had already this call's value.
func (c *contender) change(holds bool) {
	request := func() *pb.InternalRaftRequest {
		return &pb.InternalRaftRequest{Txn: &pb.TxnRequest{
			Compare: []*pb.Compare{createdAt(c.key, c.rev)},
			Success: []*pb.RequestOp{putOp(c.key, c.value, c.lease)},
		}}
	}
	c.propose(request, func(a node.Applied) {
		switch {
		case c.canceled:
			c.fail(rpctypes.ErrGRPCCanceled)
		case !a.Response.(*pb.TxnResponse).GetSucceeded():
			c.fail(c.expired)
		default:
			c.entered(holds) // who was first remains so while its key exists
		}
	})
}

// entered goes on with the place that was taken: one that is the first is so as of its entry into the log.
func (c *contender) entered(holds bool) {
	if holds {
		c.finish(c.header, nil)
		return
	}
	c.look(false)
}

// check looks whether it is this place's turn, in the state as it is now.
func (c *contender) check() {
	if c.reading || c.canceled || c.over {
		return
	}
	c.reading = true
	c.member.Linearize(func(v *statemachine.View, err error) {
		c.reading = false
		if err == nil {
			v.Release() // it is only the promise that any later one is new enough
		}
		switch {
		case c.canceled || c.over:
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
	if kv := one(v, &pb.RangeRequest{Key: c.key}); kv.GetCreateRevision() != c.rev {
		c.fail(c.expired)
		return
	}
	before := one(v, &pb.RangeRequest{
		Key: c.prefix, RangeEnd: prefixEnd(c.prefix), Limit: 1, KeysOnly: true, MaxCreateRevision: c.rev - 1,
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

// await has the call woken when its own key changes or the one before it, after revision seen.
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
	c.withdraw(withdrawals, func() { c.finish(nil, err) })
}

// withdraw removes the key, if this call has made it, or the lease, if it was granted for this call: nobody else knows it.
func (c *contender) withdraw(attempts int, then func()) {
	r := &pb.InternalRaftRequest{}
	switch {
	case attempts == 0 || c.borrows:
		then()
		return
	case c.granted:
		r.LeaseRevoke = &pb.LeaseRevokeRequest{ID: c.lease}
	case c.rev != 0:
		r.Txn = &pb.TxnRequest{Compare: []*pb.Compare{createdAt(c.key, c.rev)}, Success: []*pb.RequestOp{deleteOp(c.key)}}
	case c.doubt:
		// Whether there is a key is not known. One from before this call may be a lock that is held.
		newer := createdAt(c.key, c.since)
		newer.Result = pb.Compare_GREATER
		r.Txn = &pb.TxnRequest{Compare: []*pb.Compare{newer}, Success: []*pb.RequestOp{deleteOp(c.key)}}
	default:
		then()
		return
	}
	c.member.Propose(r, func(a node.Applied, err error) {
		if err != nil && a.Index == 0 && timedOut(err) {
			c.withdraw(attempts-1, then)
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
func sessionLease(l Limits) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{TTL: max(sessionTTL, l.MinLeaseTTL)}}
}
