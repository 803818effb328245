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
	// request and do are the question.
	request *pb.InternalRaftRequest
	do      func(Member)
	// applied, view and err are the answer. They are written before the state becomes callAnswered.
	applied Applied
	view    *View
	err     error
	done    chan struct{} // capacity 1
	// prev and next link the calls that the member holds.
	prev, next *call
	linked     bool
	// onApplied and onView are the methods of this call as values, made once.
	onApplied func(Applied, error)
	onView    func(*View, error)
}

func newCall(d *Driver, kind callKind) *call {
	c, ok := d.spare.Get().(*call)
	if !ok {
		c = &call{driver: d, done: make(chan struct{}, 1)}
		c.onApplied = func(a Applied, err error) { c.answer(a, nil, err) }
		c.onView = func(v *View, err error) { c.answer(Applied{}, v, err) }
	}
	c.state.Store(callWaiting)
	c.kind = kind
	return c
}

// wait puts the call into the inbox and waits for its answer, or for the end of ctx.
func (c *call) wait(ctx context.Context) (Applied, *View, error) {
	if !c.driver.inbox.push(item{kind: itemCall, call: c}) {
		c.recycle()
		return Applied{}, nil, ErrStopped
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if c.state.CompareAndSwap(callWaiting, callAbandoned) {
			return Applied{}, nil, ctx.Err()
		}
		// The answer was there first; it is as good as it would have been a moment ago.
		<-c.done
	}
	applied, view, err := c.applied, c.view, c.err
	c.recycle()
	return applied, view, err
}

// answer gives the member's answer to the caller, if it still waits. It is called in a turn, once.
func (c *call) answer(a Applied, v *View, err error) {
	c.driver.calls.remove(c)
	c.applied, c.view, c.err = a, v, err
	c.deliver()
}

// refuse answers a call that the member never saw.
func (c *call) refuse() {
	c.err = ErrStopped
	c.deliver()
}

func (c *call) deliver() {
	if c.state.CompareAndSwap(callWaiting, callAnswered) {
		c.done <- struct{}{}
		return
	}
	if c.view != nil {
		c.view.Release()
	}
	c.recycle()
}

func (c *call) recycle() {
	c.request, c.do = nil, nil
	c.applied, c.view, c.err = Applied{}, nil, nil
	c.driver.spare.Put(c)
}

// callList is the calls that the member has not answered yet. It belongs to the driver's goroutine.
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
