package driver

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	calls "github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/node/watch"
)

func TestDriver_AsksAboutLeases(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	var wg sync.WaitGroup
	for id := range int64(50) {
		wg.Go(func() {
			if ttl, err := renew(d, t.Context(), id); ttl != id || err != nil {
				t.Errorf("lease %d: ttl %d, error %v: another's answer?", id, ttl, err)
			}
			if left, err := timeToLive(d, t.Context(), id); left.Granted != id || !left.Found || err != nil {
				t.Errorf("lease %d: %+v, error %v: another's answer?", id, left, err)
			}
		})
	}
	wg.Wait()
	if err := d.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := renew(d, context.Background(), 1); !errors.Is(err, ErrStopped) {
		t.Errorf("after the end: error %v, want ErrStopped", err)
	}
}

func TestDriver_BeginWaitsForDone(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	var answer int64
	for _, atOnce := range []bool{true, false} {
		err := d.Begin(t.Context(), func(m calls.Replica, done func()) func() {
			if atOnce {
				answer++
				done()
				return nil
			}
			m.Renew(5, func(ttl int64, _ error) {
				answer += ttl
				done()
			})
			return func() { t.Error("a call that nobody gave up was cancelled") }
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if answer != 6 {
		t.Errorf("the answers sum up to %d, want 6", answer)
	}
}

func TestDriver_TurnDoesNotWait(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	entered, leave, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	f.onReceive = func([]byte) {
		close(entered)
		<-leave
	}
	go d.Receive(2, []byte("a long turn"))
	<-entered
	if !d.Turn(func(m calls.Replica) { m.Renew(1, func(int64, error) { close(done) }) }) {
		t.Error("refused")
	}
	close(leave)
	<-done
	if err := d.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d.Turn(func(calls.Replica) { t.Error("run after the end") }) {
		t.Error("accepted after the end")
	}
}

// A caller that gives up does not wait, its call is cancelled in a turn, and what the call answers then hurts nobody.
func TestDriver_BeginIsCancelled(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	ctx, giveUp := context.WithCancel(context.Background())
	cancelled := make(chan struct{})
	err := d.Begin(ctx, func(_ calls.Replica, done func()) func() {
		giveUp()
		return func() {
			defer f.enter()() // not while the member is at something else
			done()
			done()
			close(cancelled)
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	<-cancelled
	if err := d.Begin(ctx, func(calls.Replica, func()) func() { t.Error("begun for nobody"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestDriver_BeginEndsWithTheMember(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	begun := make(chan struct{})
	answer := make(chan error)
	go func() {
		answer <- d.Begin(context.Background(), func(calls.Replica, func()) func() { close(begun); return nil })
	}()
	<-begun
	if err := d.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; !errors.Is(err, ErrStopped) {
		t.Errorf("error %v, want ErrStopped", err)
	}
	if err := d.Begin(context.Background(), func(calls.Replica, func()) func() { t.Error("begun after the end"); return nil }); !errors.Is(err, ErrStopped) {
		t.Errorf("after the end: error %v, want ErrStopped", err)
	}
}

// Ends of contexts and answers race here, for the race detector.
func TestDriver_BeginRaces(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				ctx, cancel := context.WithCancel(context.Background())
				go cancel()
				answer, cancels := int64(0), 0
				err := d.Begin(ctx, func(m calls.Replica, done func()) func() {
					m.Renew(3, func(ttl int64, _ error) {
						answer = ttl
						done()
					})
					return func() {
						if cancels++; cancels > 1 {
							t.Error("cancelled twice")
						}
					}
				})
				if err == nil && answer != 3 {
					t.Errorf("answer %d, want 3", answer)
				}
			}
		})
	}
	wg.Wait()
}

// Attachments do not wait, even for a turn that takes long, keep their order, and are carried out in turns.
func TestDriver_AttachKeepsTheOrder(t *testing.T) {
	f := newFake(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	f.onReceive = func([]byte) {
		close(entered)
		<-leave
	}
	d := f.start(Options{})
	go d.Receive(2, []byte("a long turn"))
	<-entered
	var woken []int
	interests := make([]*watch.Interest, 10)
	for i := range interests {
		interests[i] = watch.NewInterest([]byte("k"), nil, func() { woken = append(woken, i) })
		d.Attach(interests[i], 1)
	}
	d.Detach(interests[3])
	d.Detach(interests[3])
	d.Attach(interests[3], 1)
	d.Detach(interests[5])
	close(leave)
	do(t, d, func() {
		if n := f.hub.Stats().Interests; n != 9 {
			t.Errorf("%d interests are attached, want 9", n)
		}
		f.hub.Publish(f.view, true)
		if want := []int{0, 1, 2, 4, 6, 7, 8, 9, 3}; !slices.Equal(woken, want) {
			t.Errorf("woken in the order %v, want %v", woken, want)
		}
	})
	if err := d.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	d.Attach(interests[5], 1)
	d.Detach(interests[0])
	if n := f.hub.Stats().Interests; n != 9 {
		t.Errorf("%d interests after the end, want the 9 of before", n)
	}
}
