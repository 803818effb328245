package driver

import (
	"testing"
	"time"

	"github.com/detcd/detcd/node/port"
)

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
