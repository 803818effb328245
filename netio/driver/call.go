package driver

import (
	"context"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

type callKind uint8

const (
	callPropose callKind = iota
	callLinearize
	callRenew
	callTimeToLive
	callDo
)

// States of a call. It leaves callWaiting once, and whoever takes it from there decides: the answerer delivers, the caller gives up.
const (
	callWaiting uint32 = iota
	callAnswered
	callAbandoned
)

// call is one caller's wait for the member. Calls are used again: after an answer the caller gives the call back, after giving
// up the late answer does, so that it never meets another caller's.
type call struct {
	state  atomic.Uint32
	kind   callKind
	driver *Driver
	// request, lease and do are the question.
	request *pb.InternalRaftRequest
	lease   int64
	do      func(Member)
	// answered is written before the state becomes callAnswered.
	answered answer
	done     chan struct{} // capacity 1
	// prev and next link the calls that the member holds.
	prev, next *call
	linked     bool
	// The ways to answer, as values that are made once.
	onApplied func(Applied, error)
	onView    func(*View, error)
	onRenewed func(ttl int64, err error)
	onTTL     func(LeaseTTL, error)
}

// answer is what the member answered a call: err, or the one other field that the call is about.
type answer struct {
	applied Applied
	view    *View
	ttl     LeaseTTL
	err     error
}

func newCall(d *Driver, kind callKind) *call {
	c, ok := d.spare.Get().(*call)
	if !ok {
		c = &call{driver: d, done: make(chan struct{}, 1)}
		c.onApplied = func(a Applied, err error) { c.answer(answer{applied: a, err: err}) }
		c.onView = func(v *View, err error) { c.answer(answer{view: v, err: err}) }
		c.onRenewed = func(ttl int64, err error) { c.answer(answer{ttl: LeaseTTL{Remaining: ttl}, err: err}) }
		c.onTTL = func(t LeaseTTL, err error) { c.answer(answer{ttl: t, err: err}) }
	}
	c.state.Store(callWaiting)
	c.kind = kind
	return c
}

// wait puts the call into the inbox and waits for its answer, or for the end of ctx.
func (c *call) wait(ctx context.Context) answer {
	if !c.driver.inbox.serve(item{kind: itemCall, call: c}) {
		c.recycle()
		return answer{err: ErrStopped}
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if c.state.CompareAndSwap(callWaiting, callAbandoned) {
			return answer{err: ctx.Err()}
		}
		// The answer was there first; it is as good as it would have been a moment ago.
		<-c.done
	}
	a := c.answered
	c.recycle()
	return a
}

// answer gives the member's answer to the caller, if it still waits. It is called in a turn, once.
func (c *call) answer(a answer) {
	c.driver.calls.remove(c)
	c.answered = a
	c.deliver()
}

// refuse answers a call that the member never saw.
func (c *call) refuse() {
	c.answered.err = ErrStopped
	c.deliver()
}

func (c *call) deliver() {
	if c.state.CompareAndSwap(callWaiting, callAnswered) {
		c.done <- struct{}{}
		return
	}
	if v := c.answered.view; v != nil {
		v.Release()
	}
	c.recycle()
}

func (c *call) recycle() {
	c.request, c.do = nil, nil
	c.answered = answer{}
	c.driver.spare.Put(c)
}

// callList is the calls that the member has not answered yet. It belongs to whoever takes turns.
type callList struct{ head *call }

func (l *callList) first() *call { return l.head }

func (l *callList) add(c *call) {
	c.prev, c.next, c.linked = nil, l.head, true
	if l.head != nil {
		l.head.prev = c
	}
	l.head = c
}

func (l *callList) remove(c *call) {
	if !c.linked {
		panic("driver: the member answered a call twice")
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.head = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next, c.linked = nil, nil, false
}
