// Package driver gives a member its turns in the real world: a goroutine drains an inbox of messages, API calls, timers and
// finished work, lets the member handle all of it, and ends the turn once. While there is nothing to do it sleeps. Whoever puts something in then takes one
// turn itself, as a guest. The package also has the member's clock and lanes, and the wait of the doors for what their calls need (Wait).
//
// What a call means is node/call's. The caller builds the member: New, then node.Open with Clock and Lane, then Start. The network and the disk are other
// packages of netio.
//
// Concurrency: the methods of a Driver may be called by any goroutine, from Start on; Clock, Lane and Start itself come
// before that, from one goroutine. One goroutine at a time takes turns: the driver's, or a guest. It alone touches the member; TryLinearize and
// AcquireView are exempt. The inbox's lock hands turns over. Whatever is called from a turn may take locks: a caller of the Driver must not hold
// one of those.
package driver

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	calls "github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/node/port"
)

// Driven is what a driver drives: *node.Member. Only TryLinearize and AcquireView may be called outside of a turn.
type Driven interface {
	calls.Replica
	Receive(from port.MemberID, payload []byte)
	Greeted(from port.MemberID, f port.Formats)
	TryLinearize() (*View, bool)
	Stop(done func())
	EndTurn()
}

// Options of a driver. Zero values mean the default.
type Options struct {
	// InboxBytes and InboxMessages bound the messages of peers that wait for a turn (defaults 64 MiB and 16,384); beyond them
	// Receive blocks, and TCP slows the peer down. One message always fits.
	InboxBytes    int
	InboxMessages int
	// StopLimit bounds a graceful stop (default 1.5 s, etcd's users count on it).
	StopLimit time.Duration
	// ObserveTurn is told of each turn: how many things it handled and how long it took. Nil: nobody is.
	ObserveTurn func(items int, took time.Duration)
}

const (
	defaultInboxBytes    = 64 << 20
	defaultInboxMessages = 16384
	defaultStopLimit     = 1500 * time.Millisecond
)

// ErrNotGraceful is Stop's answer when the member had not finished when the time was up. What it acknowledged is as safe as
// after a crash.
var ErrNotGraceful = errors.New("the member did not stop in time and was cut off")

// Driver drives one member.
type Driver struct {
	options Options
	member  Driven
	inbox   inbox
	clock   clock
	lanes   []*lane
	failed  chan error
	fail    sync.Once
	stop    sync.Once
	stopped error
	ended   chan struct{} // closed when the last turn is over
	over    atomic.Bool   // the last turn has begun to be over
	spare   sync.Pool     // of *call, for use again
	status  atomic.Pointer[Status]

	// The rest belongs to whoever takes turns.
	calls    callList // in the member's hands
	finished bool     // the member has stopped
}

// New returns a driver without a member.
func New(o Options) *Driver {
	if o.InboxBytes == 0 {
		o.InboxBytes = defaultInboxBytes
	}
	if o.InboxMessages == 0 {
		o.InboxMessages = defaultInboxMessages
	}
	if o.StopLimit == 0 {
		o.StopLimit = defaultStopLimit
	}
	d := &Driver{options: o, failed: make(chan error, 1), ended: make(chan struct{})}
	d.inbox.init(o.InboxBytes, o.InboxMessages)
	d.clock.init()
	return d
}

// Clock returns the member's clock.
func (d *Driver) Clock() port.Clock { return &d.clock }

// Lane returns a new lane of the member, a goroutine of its own.
func (d *Driver) Lane() port.Lane {
	l := newLane(d)
	d.lanes = append(d.lanes, l)
	return l
}

// Start begins with the turns of m.
func (d *Driver) Start(m Driven) {
	d.member = m
	d.publish()
	d.inbox.guest = d.guest
	go d.run()
}

// Wait waits for what a call needs, whatever Kind that is. Errors are those of the member, and ctx's: then the outcome is unknown. A view comes pinned: the
// caller releases it.
func (d *Driver) Wait(ctx context.Context, need calls.Need) calls.Result {
	if need.Kind == calls.Read {
		// Where the member is alone, its answer needs no turn.
		if v, ok := d.member.TryLinearize(); ok {
			// Asked in this order: a member that was cut off does not know that it has ended, and another may be at its place.
			if d.over.Load() {
				v.Release()
				return calls.Result{Err: ErrStopped}
			}
			return calls.Result{View: v}
		}
	}
	if err := ctx.Err(); err != nil {
		return calls.Result{Err: err}
	}
	return newCall(d, need).wait(ctx)
}

// Propose has a request of this process's own, and not of a client's, put into the log and applied, and waits for that. The request belongs to the member from this
// call on. Errors are those of Wait.
func (d *Driver) Propose(ctx context.Context, r *pb.InternalRaftRequest) (Applied, error) {
	a := d.Wait(ctx, calls.Need{Kind: calls.Apply, Request: r})
	return a.Applied, a.Err
}

// View returns the newest view this member knows of, which may be old. It is pinned: the caller releases it.
func (d *Driver) View() *View { return d.member.AcquireView() }

// Status returns what the member said of itself at the end of its last turn. It does not wait.
func (d *Driver) Status() Status { return *d.status.Load() }

// Receive hands the member a message from another one. It blocks while the inbox is full. The payload belongs to the member.
func (d *Driver) Receive(from port.MemberID, payload []byte) {
	d.inbox.pushMessage(from, payload)
}

// Greeted tells the member what another one says of format versions. It does not wait.
func (d *Driver) Greeted(from port.MemberID, f port.Formats) {
	d.inbox.push(item{kind: itemGreeting, from: from, formats: f})
}

// Fail makes err what Failed delivers; the first one counts. It is for the member's observer, and does not block.
func (d *Driver) Fail(err error) {
	d.fail.Do(func() { d.failed <- err })
}

// Failed delivers the error that made the member give up, once, if that happens: its own, or a *Bug. The member then answers all calls with
// errors, until Stop.
func (d *Driver) Failed() <-chan error { return d.failed }

// Stop ends the member. The member hands leadership over, answers what waits, and finishes the work that runs. After StopLimit, or when ctx is done, it is cut
// off as by a crash, and Stop returns ErrNotGraceful. Later calls of Stop wait for the first one and return the same. A driver that was never started can be
// stopped, too.
func (d *Driver) Stop(ctx context.Context) error {
	d.stop.Do(func() { d.stopped = d.stopOnce(ctx) })
	return d.stopped
}

func (d *Driver) stopOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.options.StopLimit)
	defer cancel()
	graceful := true
	if d.member == nil {
		d.inbox.close()
	} else {
		graceful = d.stopMember(ctx)
	}
	for _, l := range d.lanes {
		if !l.close(ctx) {
			graceful = false
		}
	}
	if !graceful {
		return ErrNotGraceful
	}
	return nil
}

// stopMember has the member stop, and reports whether it did so by itself.
func (d *Driver) stopMember(ctx context.Context) bool {
	d.inbox.push(item{kind: itemStop})
	select {
	case <-d.ended:
	case <-ctx.Done():
		d.closeInbox()
		<-d.ended
	}
	return d.finished
}

// run takes turns until the member has stopped or the inbox is closed.
func (d *Driver) run() {
	defer close(d.ended)
	for !d.finished {
		// Whoever is ready to put something in goes first: under load, larger turns with fewer writes to the log took a fifth less
		// CPU per request; a lone caller loses nothing.
		runtime.Gosched()
		items, open := d.inbox.take(&d.clock)
		if !open || d.finished {
			break
		}
		d.turn(items)
		d.inbox.recycle(items)
	}
	d.over.Store(true)
	d.closeInbox()
	for c := d.calls.first(); c != nil; c = d.calls.first() {
		c.answer(calls.Result{Err: ErrStopped})
	}
}

// closeInbox refuses the calls that the member has not seen and never will.
func (d *Driver) closeInbox() {
	for _, it := range d.inbox.close() {
		if it.kind == itemCall {
			it.call.refuse()
		}
	}
}

// maxSpareItems is the largest inbox that is kept for use again.
const maxSpareItems = 1 << 14

// turn handles what has come. Messages go before timers. After a pause a heartbeat may wait here: it must be seen before the timer that would find it
// missing.
func (d *Driver) turn(items []item) {
	handled := 0
	defer d.caught(func() { d.giveUp(items[handled:]) })
	d.clock.beginTurn()
	start := d.clock.now
	for ; handled < len(items); handled++ {
		d.handle(&items[handled])
	}
	fired := d.clock.fire()
	d.member.EndTurn()
	d.publish()
	if d.options.ObserveTurn != nil {
		d.options.ObserveTurn(len(items)+fired, d.clock.read().Sub(start))
	}
}

// guest takes one turn in place of the driver's goroutine, which sleeps. It reports whether that goroutine has something to do after the turn: a timer
// that was set in the turn may be due before the alarm that the goroutine waits for.
func (d *Driver) guest(items []item) (again bool) {
	d.turn(items)
	return d.finished || d.clock.dueBeforeAlarm()
}

func (d *Driver) publish() {
	s := d.member.Status()
	d.status.Store(&s)
}

func (d *Driver) handle(it *item) {
	switch it.kind {
	case itemMessage:
		d.member.Receive(it.from, it.payload)
	case itemCall:
		d.begin(it.call)
	case itemDone:
		it.fn()
	case itemGreeting:
		d.member.Greeted(it.from, it.formats)
	case itemStop:
		d.member.Stop(func() { d.finished = true })
	}
}

// begin hands a call to the member, unless nobody waits for it any more.
func (d *Driver) begin(c *call) {
	if c.state.Load() == callAbandoned {
		c.recycle()
		return
	}
	d.calls.add(c)
	need := c.need
	c.need.Request = nil // it is the member's
	c.question.Ask(d.member, need)
}
