package call

import (
	"errors"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// observer follows one election. It belongs to its member's turns.
type observer struct {
	member Replica
	prefix []byte
	each   func(*v3electionpb.LeaderResponse)
	done   func(error)

	interest *watch.Interest
	next     int64            // first revision whose changes were not looked at
	leader   *mvccpb.KeyValue // as of the revision before; nil: nobody leads
	over     bool
}

// Observe calls each with the leader of now, and then at each change: another leader, or another value of the same leader (Election.Observe). Changes come in the
// order of revisions, none twice. Nothing is said of times without a leader. The header's revision is that of the change. Where the history was compacted before it
// was looked at, or a snapshot took its place, what was missed is left out, but never who leads now.
//
// It begins in a turn and goes on in turns; each must not block. done is called once: with ErrGRPCCanceled after cancel, or when the member can't go on. cancel is
// to be called in a turn.
func Observe(g *Gate, m Replica, who Caller, r *v3electionpb.LeaderRequest, each func(*v3electionpb.LeaderResponse), done func(error)) (cancel func()) {
	o := &observer{member: m, prefix: queuePrefix(r.GetName()), each: each, done: done}
	if _, err := g.admit(who, m, v3electionpb.Election_Observe_FullMethodName, r); err != nil {
		o.end(err)
	} else {
		o.begin()
	}
	return func() { o.end(rpctypes.ErrGRPCCanceled) }
}

func (o *observer) end(err error) {
	if o.over {
		return
	}
	o.over = true
	if o.interest != nil {
		o.member.Watch().Detach(o.interest)
	}
	o.done(err)
}

// begin finds the leader of now.
func (o *observer) begin() {
	o.member.Linearize(func(v *statemachine.View, err error) {
		if v != nil {
			defer v.Release()
		}
		switch {
		case o.over:
		case err == nil:
			head := v.Revision()
			o.see(v, head)
			o.next = head + 1
			o.interest = watch.NewInterest(o.prefix, prefixEnd(o.prefix), o.wake)
			o.member.Watch().Attach(o.interest, o.next)
		case timedOut(err):
			o.begin()
		default:
			o.end(err)
		}
	})
}

// wake is called while a view is being published, so the changes are looked at later. To be called back, it asks the member for a linearized read. What the read
// answers does not matter: the observer tells what this member knows by then, and promises nothing newer.
func (o *observer) wake() {
	if o.over {
		return
	}
	o.member.Linearize(func(v *statemachine.View, err error) {
		if v != nil {
			v.Release()
		}
		switch {
		case o.over:
		case errors.Is(err, node.ErrStopped):
			o.end(err)
		default:
			o.follow()
		}
	})
}

// follow looks at all changes up to the newest view's head.
func (o *observer) follow() {
	// The mark is taken first: a view acquired after that holds all that made it.
	from, marked := o.interest.Take()
	if !marked {
		return
	}
	v := o.member.AcquireView()
	defer v.Release()
	head := v.Revision()
	events, err := v.Events(max(from, o.next))
	if err == nil {
		o.walk(v, events)
	} else {
		o.see(v, head)
	}
	o.next = max(o.next, head+1)
}

// walk finds the leader after each revision that may have changed it. Such a revision touches the leader's key, or, while nobody leads, any key of the election. A
// key that is not the first can't come to lead by a change of its own.
func (o *observer) walk(v *statemachine.View, events statemachine.EventIterator) {
	pending := int64(0)
	for e, ok := events.Next(); ok && !o.over; e, ok = events.Next() {
		main := e.Revision().Main
		if pending != 0 && pending != main {
			o.see(v, pending)
			pending = 0
		}
		if o.concerns(e.Key()) {
			pending = main
		}
	}
	if pending != 0 && !o.over {
		o.see(v, pending)
	}
}

func (o *observer) concerns(key []byte) bool {
	if o.leader != nil {
		return string(key) == string(o.leader.GetKey())
	}
	return string(key) >= string(o.prefix) && string(key) < string(prefixEnd(o.prefix))
}

// see tells who leads at a revision, unless that is what it told last.
func (o *observer) see(v *statemachine.View, rev int64) {
	r := firstUnder(o.prefix)
	r.Revision = rev
	kv, err := oneAt(v, r)
	if err != nil {
		panic("call: a revision within the view's own history can't be read: " + err.Error())
	}
	old := o.leader
	o.leader = kv
	if kv == nil || old != nil && string(kv.GetKey()) == string(old.GetKey()) && kv.GetModRevision() == old.GetModRevision() {
		return
	}
	o.each(&v3electionpb.LeaderResponse{Header: header(o.member.Status(), rev), Kv: kv})
}
