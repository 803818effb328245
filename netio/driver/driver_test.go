package driver

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/port"
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
	answer := func() {
		f.view.Acquire()
		done(f.view, nil)
	}
	if f.hold {
		f.held = append(f.held, answer)
		return
	}
	f.pending = append(f.pending, answer)
}

func (f *fake) TryLinearize() (*View, bool) {
	if f.local && f.view.Acquire() {
		return f.view, true
	}
	return nil, false
}
func (f *fake) AcquireView() *View          { f.view.Acquire(); return f.view }
func (f *fake) Status() Status              { return Status{Term: uint64(f.ends)} }

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
	if err := d.Do(context.Background(), func(Member) { fn() }); err != nil {
		t.Fatal(err)
	}
}

func TestDriver_AnswersEveryCallOnce(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	const callers, each = 50, 40
	var mu sync.Mutex
	var indices []uint64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				a, err := d.Propose(t.Context(), &pb.InternalRaftRequest{})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				indices = append(indices, a.Index)
				mu.Unlock()
				v, err := d.Linearize(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				v.Release()
				d.View().Release()
			}
		})
	}
	wg.Wait()
	slices.Sort(indices)
	for i, index := range indices {
		if index != uint64(i+1) {
			t.Fatalf("answer %d has index %d: one was lost or given twice", i+1, index)
		}
	}
	if len(indices) != callers*each {
		t.Fatalf("%d answers, want %d", len(indices), callers*each)
	}
	do(t, d, func() {
		if f.lent() {
			t.Error("a view is still pinned")
		}
	})
}

// What waits for one turn is handled in that turn, in order, and the turn ends once.
func TestDriver_OneTurnForAllThatWaits(t *testing.T) {
	f := newFake(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	f.onReceive = func(payload []byte) {
		if string(payload) == "first" {
			close(entered)
			<-leave
		}
	}
	d := f.start(Options{})
	d.Receive(2, []byte("first"))
	<-entered
	for _, p := range []string{"a", "b", "c"} {
		d.Receive(3, []byte(p))
	}
	before := f.ends // the member is in our hands: its turn waits for leave
	close(leave)
	do(t, d, func() {
		if !slices.Equal(f.received, []string{"first", "a", "b", "c"}) {
			t.Errorf("received %q", f.received)
		}
		if turns := f.ends - before; turns > 2 {
			t.Errorf("%d turns were ended, want one for the first message and at most one for those that waited", turns)
		}
	})
}

func TestDriver_TimersFireInOrderAndLate(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	type firing struct {
		n  int
		at port.Instant
	}
	var fired []firing
	var base port.Instant
	all := make(chan struct{})
	do(t, d, func() {
		base = f.clock.Now()
		for _, n := range []int{5, 3, 9, 0, 3, 7, 1} {
			f.clock.After(time.Duration(n)*time.Millisecond, func() {
				fired = append(fired, firing{n, f.clock.Now()})
				if len(fired) == 7 {
					close(all)
				}
			})
		}
	})
	<-all
	do(t, d, func() {
		want := []int{0, 1, 3, 3, 5, 7, 9}
		for i, g := range fired {
			if g.n != want[i] {
				t.Errorf("timer %d was that of %d ms, want %d ms", i, g.n, want[i])
			}
			if due := base.Add(time.Duration(g.n) * time.Millisecond); g.at < due {
				t.Errorf("the timer of %d ms came %v early", g.n, due.Sub(g.at))
			}
		}
	})
}

// A timer that sets itself again at once must not keep the turn from ending.
func TestDriver_TimerOfNothingLeavesTheTurn(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	n := 0
	do(t, d, func() {
		var again func()
		again = func() {
			if n++; n < 1000 {
				f.clock.After(0, again)
			}
		}
		f.clock.After(0, again)
	})
	ends := 0
	for done := false; !done; {
		do(t, d, func() { done, ends = n == 1000, f.ends })
	}
	if ends < 1000 {
		t.Errorf("1,000 timers of zero took %d turns, want one each", ends)
	}
}

func TestDriver_TheClockStandsDuringATurn(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	var before port.Instant
	do(t, d, func() {
		before = f.clock.Now()
		for deadline := time.Now().Add(3 * time.Millisecond); time.Now().Before(deadline); {
		}
		if now := f.clock.Now(); now != before {
			t.Errorf("the time went on by %v within a turn", now.Sub(before))
		}
	})
	do(t, d, func() {
		if f.clock.Now() <= before {
			t.Error("the time did not go on with the next turn")
		}
	})
}

func TestDriver_LaneKeepsTheOrder(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	var worked atomic.Int64
	var done []int
	all := make(chan struct{})
	do(t, d, func() {
		for i := range 100 {
			f.lane.Run(func() {
				if n := worked.Add(1); n != int64(i+1) {
					t.Errorf("piece %d was worked on as number %d", i+1, n)
				}
			}, func() {
				if n := worked.Load(); n <= int64(i) {
					t.Errorf("piece %d was called done, %d pieces are", i+1, n)
				}
				if done = append(done, i); len(done) == 100 {
					close(all)
				}
			})
		}
		if len(done) != 0 {
			t.Error("done was called inside of the call to Run")
		}
	})
	<-all
	if !slices.IsSorted(done) {
		t.Errorf("done was called in the order %v", done)
	}
}

// A caller that gives up must get its context's error, never another's answer, and leave no pinned view behind.
func TestDriver_CallsThatAreGivenUp(t *testing.T) {
	f := newFake(t)
	f.hold = true
	d := f.start(Options{})
	for range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := d.Propose(ctx, &pb.InternalRaftRequest{}); !errors.Is(err, context.Canceled) {
					t.Errorf("error %v, want the context's", err)
				}
			})
			wg.Go(func() {
				if _, err := d.Linearize(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("error %v, want the context's", err)
				}
			})
		}
		for held := 0; held < 10; {
			do(t, d, func() { held = len(f.held) })
		}
		cancel()
		wg.Wait()
		do(t, d, func() {
			for _, answer := range f.held {
				answer()
			}
			f.held = nil
		})
	}
	do(t, d, func() {
		f.hold = false
		if f.lent() {
			t.Error("the view of a call that was given up stays pinned")
		}
		f.index = 1000
	})
	a, err := d.Propose(context.Background(), &pb.InternalRaftRequest{})
	if err != nil || a.Index != 1001 {
		t.Errorf("index %d, error %v: an answer of old?", a.Index, err)
	}
}

// Answers and ends of contexts race here, for the race detector.
func TestDriver_GivingUpRacesWithTheAnswer(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 300 {
				ctx, cancel := context.WithCancel(context.Background())
				go cancel()
				if i%2 == 0 {
					if v, err := d.Linearize(ctx); err == nil {
						v.Release()
					}
				} else if a, err := d.Propose(ctx, &pb.InternalRaftRequest{}); err == nil && a.Index == 0 {
					t.Error("an answer without a content")
				}
			}
		})
	}
	wg.Wait()
	// All late answers have come when those of later calls have.
	for range 3 {
		if _, err := d.Propose(context.Background(), &pb.InternalRaftRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	do(t, d, func() {
		if f.lent() {
			t.Error("a view is still pinned")
		}
	})
}

func TestDriver_ReceiveWaitsForRoom(t *testing.T) {
	f := newFake(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	f.onReceive = func(payload []byte) {
		if string(payload) == "first" {
			close(entered)
			<-leave
		}
	}
	d := f.start(Options{InboxBytes: 10, InboxMessages: 3})
	d.Receive(2, []byte("first"))
	<-entered
	d.Receive(2, []byte("larger than the inbox")) // alone it fits
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range 10 {
			d.Receive(2, []byte("1234"))
		}
	}()
	d.inbox.mu.Lock()
	for d.inbox.waiting == 0 {
		d.inbox.mu.Unlock()
		runtime.Gosched()
		d.inbox.mu.Lock()
	}
	if d.inbox.messages != 1 {
		t.Errorf("%d messages wait in an inbox that one overfills", d.inbox.messages)
	}
	d.inbox.mu.Unlock()
	close(leave)
	<-sent
	do(t, d, func() {
		if len(f.received) != 12 {
			t.Errorf("%d messages were received, want 12", len(f.received))
		}
	})
}

func TestDriver_StopAnswersWhatWaits(t *testing.T) {
	f := newFake(t)
	f.hold = true
	d := f.start(Options{})
	answers := make(chan error, 2)
	go func() {
		_, err := d.Propose(context.Background(), &pb.InternalRaftRequest{})
		answers <- err
	}()
	go func() {
		_, err := d.Linearize(context.Background())
		answers <- err
	}()
	for held := 0; held < 2; {
		do(t, d, func() { held = len(f.held) })
	}
	if err := d.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-answers; !errors.Is(err, ErrStopped) {
			t.Errorf("error %v, want ErrStopped", err)
		}
	}
	if !f.stopping {
		t.Error("the member was not told to stop")
	}
	if _, err := d.Propose(context.Background(), &pb.InternalRaftRequest{}); !errors.Is(err, ErrStopped) {
		t.Errorf("after the end: error %v, want ErrStopped", err)
	}
	if _, err := d.Linearize(context.Background()); !errors.Is(err, ErrStopped) {
		t.Errorf("after the end: error %v, want ErrStopped", err)
	}
	d.Receive(2, []byte("late")) // must not block
	if d.Status().Term == 0 {
		t.Error("the last status is gone")
	}
	if err := d.Stop(context.Background()); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

// A member that is cut off still believes that it may answer reads.
func TestDriver_NoLocalReadsAfterTheEnd(t *testing.T) {
	f := newFake(t)
	f.ignoreEnd, f.local = true, true
	d := f.start(Options{StopLimit: time.Millisecond})
	v, err := d.Linearize(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	v.Release()
	if err := d.Stop(context.Background()); !errors.Is(err, ErrNotGraceful) {
		t.Errorf("error %v, want ErrNotGraceful", err)
	}
	if _, err := d.Linearize(context.Background()); !errors.Is(err, ErrStopped) {
		t.Errorf("error %v, want ErrStopped", err)
	}
	if f.lent() {
		t.Error("a view is still pinned")
	}
}

func TestDriver_StopCutsOffWhatDoesNotEnd(t *testing.T) {
	f := newFake(t)
	f.ignoreEnd = true
	d := f.start(Options{StopLimit: 20 * time.Millisecond})
	hang := make(chan struct{})
	defer close(hang)
	do(t, d, func() { f.lane.Run(func() { <-hang }, func() { t.Error("done was called after the end") }) })
	if err := d.Stop(context.Background()); !errors.Is(err, ErrNotGraceful) {
		t.Errorf("error %v, want ErrNotGraceful", err)
	}
}

// A member that could not be opened leaves a driver behind that never had turns.
func TestDriver_StopBeforeStart(t *testing.T) {
	d := New(Options{InboxMessages: 1})
	d.Lane()
	d.Receive(2, []byte("waits for a turn"))
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		d.Receive(2, []byte("waits for room"))
	}()
	for waiting := 0; waiting == 0; runtime.Gosched() {
		d.inbox.mu.Lock()
		waiting = d.inbox.waiting
		d.inbox.mu.Unlock()
	}
	if err := d.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-returned
}

func TestDriver_FailedDeliversTheFirstError(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	first := errors.New("first")
	d.Fail(first)
	d.Fail(errors.New("second"))
	if err := <-d.Failed(); !errors.Is(err, first) {
		t.Errorf("%v, want the first error", err)
	}
	select {
	case err := <-d.Failed():
		t.Errorf("a second error was delivered: %v", err)
	default:
	}
}

// An idle driver with a distant timer and one wake-up after another: no timer may get lost on the way.
func TestDriver_TimerSurvivesWakeUps(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	fired := make(chan struct{})
	do(t, d, func() {
		f.clock.After(time.Hour, func() { t.Error("an hour went by") })
		f.clock.After(30*time.Millisecond, func() { close(fired) })
	})
	for {
		select {
		case <-fired:
			return
		default:
			do(t, d, func() { f.clock.After(time.Millisecond, func() {}) })
		}
	}
}

func BenchmarkDriver_Propose(b *testing.B) {
	f := newFake(&testing.T{})
	d := New(Options{})
	f.clock, f.lane = d.Clock(), d.Lane()
	d.Start(f)
	r := &pb.InternalRaftRequest{}
	b.ReportAllocs()
	b.SetParallelism(100)
	b.RunParallel(func(p *testing.PB) {
		ctx := b.Context()
		for p.Next() {
			if _, err := d.Propose(ctx, r); err != nil {
				b.Error(err)
				return
			}
		}
	})
	_ = d.Stop(context.Background())
}

func BenchmarkDriver_Linearize(b *testing.B) {
	f := newFake(&testing.T{})
	d := New(Options{})
	f.clock, f.lane = d.Clock(), d.Lane()
	d.Start(f)
	b.ReportAllocs()
	for b.Loop() {
		v, err := d.Linearize(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		v.Release()
	}
	_ = d.Stop(context.Background())
}
