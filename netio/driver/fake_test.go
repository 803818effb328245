package driver

import (
	"context"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node"
	calls "github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/node/lessor"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// fake is a member that answers proposals after a trip through its lane, and reads at the end of the turn. It notices calls
// that overlap.
type fake struct {
	t     *testing.T
	clock port.Clock
	lane  port.Lane
	view  *View

	turning  atomic.Bool
	received []string
	pending  []func()
	index    uint64
	ends     int
	stopping bool
	// hold keeps answers back until release.
	hold bool
	held []func()
	// onReceive is called for each message.
	onReceive func(payload []byte)
	hub       watch.Hub
	ignoreEnd bool // Stop never finishes
	local     bool // reads need no turn
}

func newFake(t *testing.T) *fake {
	return &fake{t: t, view: statemachine.New().Publish()}
}

// start drives f, and stops the driver when the test ends.
func (f *fake) start(o Options) *Driver {
	d := New(o)
	f.clock, f.lane = d.Clock(), d.Lane()
	d.Start(f)
	f.t.Cleanup(func() { _ = d.Stop(context.Background()) })
	return d
}

func (f *fake) enter() func() {
	if !f.turning.CompareAndSwap(false, true) {
		f.t.Error("two calls into the member at a time")
	}
	return func() { f.turning.Store(false) }
}

func (f *fake) Greeted(port.MemberID, port.Formats) {}

func (f *fake) Receive(_ port.MemberID, payload []byte) {
	defer f.enter()()
	f.received = append(f.received, string(payload))
	if f.onReceive != nil {
		f.onReceive(payload)
	}
}

func (f *fake) Propose(_ *pb.InternalRaftRequest, done func(Applied, error)) {
	defer f.enter()()
	answer := func() {
		f.index++
		done(Applied{Index: f.index}, nil)
	}
	if f.hold {
		f.held = append(f.held, answer)
		return
	}
	f.lane.Run(func() {}, func() { f.pending = append(f.pending, answer) })
}

func (f *fake) Linearize(done func(*View, error)) {
	defer f.enter()()
	f.answer(func() {
		f.view.Acquire()
		done(f.view, nil)
	})
}

// Renew answers with the lease's id for a TTL.
func (f *fake) Renew(id int64, done func(int64, error)) {
	defer f.enter()()
	f.answer(func() { done(id, nil) })
}

func (f *fake) LeaseEnds() []lessor.End { return nil }

func (f *fake) TimeToLive(id int64, done func(LeaseTTL, error)) {
	defer f.enter()()
	f.answer(func() { done(LeaseTTL{Granted: id, Found: true}, nil) })
}

func (f *fake) answer(answer func()) {
	if f.hold {
		f.held = append(f.held, answer)
		return
	}
	f.pending = append(f.pending, answer)
}

func (f *fake) Watch() *watch.Hub { return &f.hub }

func (f *fake) TryLinearize() (*View, bool) {
	if f.local && f.view.Acquire() {
		return f.view, true
	}
	return nil, false
}
func (f *fake) AcquireView() *View { f.view.Acquire(); return f.view }
func (f *fake) Status() Status     { return Status{Standing: node.Standing{Term: uint64(f.ends)}} }

func (f *fake) Stop(done func()) {
	defer f.enter()()
	if f.ignoreEnd {
		return
	}
	f.stopping = true
	f.lane.Run(func() {}, done)
}

func (f *fake) EndTurn() {
	defer f.enter()()
	f.ends++
	pending := f.pending
	f.pending = nil
	for _, fn := range pending {
		fn()
	}
}

// lent says whether someone other than the fake holds its view.
func (f *fake) lent() bool {
	f.view.Release()
	return f.view.Acquire()
}

// do runs fn in a turn.
func do(t *testing.T, d *Driver, fn func()) {
	t.Helper()
	if err := inTurn(d, fn); err != nil {
		t.Fatal(err)
	}
}

func inTurn(d *Driver, fn func()) error {
	return d.Begin(context.Background(), func(_ calls.Replica, done func()) func() {
		fn()
		done()
		return nil
	})
}

func linearize(d *Driver, ctx context.Context) (*View, error) {
	a := d.Wait(ctx, calls.Need{Kind: calls.Read})
	return a.View, a.Err
}

func renew(d *Driver, ctx context.Context, lease int64) (ttl int64, err error) {
	a := d.Wait(ctx, calls.Need{Kind: calls.Renew, Lease: lease})
	return a.Lease.Granted, a.Err
}

func timeToLive(d *Driver, ctx context.Context, lease int64) (LeaseTTL, error) {
	a := d.Wait(ctx, calls.Need{Kind: calls.Time, Lease: lease})
	return a.Lease, a.Err
}
