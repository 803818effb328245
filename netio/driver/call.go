package driver

import (
	"context"
	"sync/atomic"

	calls "github.com/detcd/detcd/node/call"
)

// States of a call. It leaves callWaiting once. Whoever changes the state decides how the call ends: the one who answers delivers, or the caller gives up.
const (
	callWaiting uint32 = iota
	callAnswered
	callAbandoned
)

// call is one caller's wait for the member. Calls are used again. After an answer the caller gives the call back. Where the caller has given up, the late answer
// gives it back: so a late answer never reaches another caller.
type call struct {
	state    atomic.Uint32
	driver   *Driver
	need     calls.Need
	question *calls.Question // asks for the need; its answers come to answer
	// answered is written before the state becomes callAnswered.
	answered calls.Result
	done     chan struct{} // capacity 1
	// prev and next link the calls that the member holds.
	prev, next *call
	linked     bool
}

func newCall(d *Driver, need calls.Need) *call {
	c, ok := d.spare.Get().(*call)
	if !ok {
		c = &call{driver: d, done: make(chan struct{}, 1)}
		c.question = calls.NewQuestion(c.answer)
	}
	c.state.Store(callWaiting)
	c.need = need
	return c
}

// wait puts the call into the inbox and waits for its answer, or for the end of ctx.
func (c *call) wait(ctx context.Context) calls.Result {
	if !c.driver.inbox.serve(item{kind: itemCall, call: c}) {
		c.recycle()
		return calls.Result{Err: ErrStopped}
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if c.state.CompareAndSwap(callWaiting, callAbandoned) {
			return calls.Result{Err: ctx.Err()}
		}
		// The answer was there first; it is as good as it would have been a moment ago.
		<-c.done
	}
	a := c.answered
	c.recycle()
	return a
}

// answer gives the member's answer to the caller, if it still waits. It is called in a turn, once.
func (c *call) answer(a calls.Result) {
	c.driver.calls.remove(c)
	c.answered = a
	c.deliver()
}

// refuse answers a call that the member never saw.
func (c *call) refuse() {
	c.answered.Err = ErrStopped
	c.deliver()
}

func (c *call) deliver() {
	if c.state.CompareAndSwap(callWaiting, callAnswered) {
		c.done <- struct{}{}
		return
	}
	if v := c.answered.View; v != nil {
		v.Release()
	}
	c.recycle()
}

func (c *call) recycle() {
	c.need = calls.Need{}
	c.answered = calls.Result{}
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
