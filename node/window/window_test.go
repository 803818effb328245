package window

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/detcd/detcd/node/port"
)

var (
	errLate    = errors.New("too late")
	errWaiting = errors.New("too late, and never in a flight")
	errOver    = errors.New("over")
	errStopped = errors.New("stopped")
)

type (
	testWindow = Window[int, string, int]
	testFlight = Flight[int, string, int]
)

// owner is a carrier that notes what it is to send, as "number:questions".
type owner struct {
	*testWindow
	now    port.Instant
	later  []func()
	take   int // at most so many in a flight; 0: all
	mute   bool
	safe   bool // nothing can be lost
	during func(f *testFlight)
	sent   []string
	told   map[int][]string // by question: the answers and errors
}

func newOwner(options Options) *owner {
	o := &owner{told: make(map[int][]string)}
	if options.Timeout == 0 {
		options.Timeout = time.Minute
	}
	o.testWindow = New[int, string, int](options, o, func(f func()) { o.later = append(o.later, f) })
	return o
}

func (o *owner) Take(waiting []Request[int, string]) int {
	if o.take == 0 {
		return len(waiting)
	}
	return min(o.take, len(waiting))
}

func (o *owner) Send(f *testFlight) bool {
	if o.during != nil {
		o.during(f)
	}
	if o.mute {
		return false
	}
	o.sent = append(o.sent, fmt.Sprintf("%d:%v", f.Number, asks(f)))
	f.Load++
	return true
}

func (o *owner) MayBeLost() bool { return !o.safe }

func (o *owner) TooLate(_ port.Instant, f *testFlight) error {
	if f == nil {
		return errWaiting
	}
	return errLate
}

func asks(f *testFlight) (all []int) {
	for _, r := range f.Requests {
		all = append(all, r.Ask)
	}
	return all
}

func (o *owner) hear(ask int) func(string, error) {
	return func(answer string, err error) {
		if err != nil {
			answer = err.Error()
		}
		o.told[ask] = append(o.told[ask], answer)
	}
}

func (o *owner) add(asks ...int) {
	for _, ask := range asks {
		o.Add(o.now, ask, ask, o.hear(ask))
	}
}

func (o *owner) addFirst(asks ...int) {
	for _, ask := range asks {
		o.AddFirst(o.now, ask, ask, o.hear(ask))
	}
}

// end ends a turn.
func (o *owner) end() {
	o.Fill(o.now)
	for _, f := range o.later {
		f()
	}
	o.later = nil
}

// pass has time pass, and a tick and a turn come after it.
func (o *owner) pass(d time.Duration) {
	o.now = o.now.Add(d)
	o.Tick(o.now)
	o.end()
}

// answer answers a flight.
func (o *owner) answer(f *testFlight) {
	for _, r := range o.testWindow.Take(f) {
		r.Done("answered", nil)
	}
}

func (o *owner) wantSent(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(o.sent, want) {
		t.Errorf("sent %q, want %q", o.sent, want)
	}
	o.sent = nil
}

func (o *owner) wantTold(t *testing.T, ask int, want ...string) {
	t.Helper()
	if !slices.Equal(o.told[ask], want) {
		t.Errorf("request %d was told %q, want %q", ask, o.told[ask], want)
	}
}

func TestWindow_WhatWaitsTogetherTravelsTogether(t *testing.T) {
	o := newOwner(Options{UnderWay: 2})
	o.add(1, 2)
	o.end()
	o.take = 2
	o.add(3, 4, 5)
	o.end()
	o.wantSent(t, "1:[1 2]", "2:[3 4]")
	if o.Count() != 5 || o.Bytes() != 15 {
		t.Errorf("%d requests of %d bytes, want 5 of 15", o.Count(), o.Bytes())
	}
	o.answer(o.Find(1))
	o.end()
	o.wantSent(t, "3:[5]")
	o.wantTold(t, 2, "answered")
	o.wantTold(t, 3)
	if o.Count() != 3 || o.Bytes() != 12 || o.Find(1) != nil || o.Oldest() != 2 || o.Newest() != 3 {
		t.Errorf("%d requests of %d bytes in the flights %d to %d", o.Count(), o.Bytes(), o.Oldest(), o.Newest())
	}
}

// One flight without an answer does not let the others' numbers run away from it.
func TestWindow_NumbersUnderWayAreCloseTogether(t *testing.T) {
	o := newOwner(Options{UnderWay: 10, Span: 4})
	for ask := range 9 {
		o.add(ask)
		o.end()
		if f := o.Find(uint64(ask + 1)); ask > 0 && f != nil {
			o.answer(f)
		}
	}
	if o.Oldest() != 1 || o.Newest() != 4 {
		t.Errorf("flights %d to %d, want 1 to 4", o.Oldest(), o.Newest())
	}
	o.answer(o.Find(1))
	o.end()
	if o.Oldest() != 5 || o.Newest() != 5 {
		t.Errorf("flights %d to %d, want the fifth alone", o.Oldest(), o.Newest())
	}
}

func TestWindow_WhatMayBeLostIsSentAgain(t *testing.T) {
	o := newOwner(Options{UnderWay: 2, Retry: time.Second, Doubling: true})
	o.add(1)
	o.end()
	o.safe = true
	o.pass(5 * time.Second)
	o.wantSent(t, "1:[1]")
	o.safe = false
	o.pass(0)
	o.pass(time.Second)
	o.wantSent(t, "1:[1]")
	o.pass(time.Second)
	o.wantSent(t, "1:[1]")
	o.pass(3 * time.Second)
	o.wantSent(t)
	o.SendAll(o.now) // to somebody else: the waits begin anew
	o.pass(time.Second)
	o.wantSent(t, "1:[1]", "1:[1]")
	if o.Retried() != 3 {
		t.Errorf("tried again %d times, want 3", o.Retried())
	}
}

func TestWindow_WhatCannotBeSentIsTriedAgain(t *testing.T) {
	o := newOwner(Options{UnderWay: 2, Retry: time.Hour})
	o.mute = true
	o.add(1)
	o.end()
	o.pass(0)
	o.wantSent(t)
	o.mute = false
	o.pass(0)
	o.pass(0)
	o.wantSent(t, "1:[1]")
	o.Unsend(o.Find(1))
	o.pass(0)
	o.wantSent(t, "1:[1]")

	o = newOwner(Options{UnderWay: 2, Retry: time.Hour, RetryUnsent: time.Second})
	o.mute = true
	o.add(1)
	o.end()
	o.mute = false
	o.pass(999 * time.Millisecond)
	o.wantSent(t)
	o.SendUnsent(o.now)
	o.SendUnsent(o.now)
	o.wantSent(t, "1:[1]")
}

func TestWindow_EachSendingHasANumberOfItsOwn(t *testing.T) {
	o := newOwner(Options{UnderWay: 2, Retry: time.Second, Renumber: true})
	o.add(1)
	o.end()
	o.mute = true
	o.add(2)
	o.end()
	if o.Newest() != 1 || o.Find(2) != nil {
		t.Errorf("%d numbers were given, want 1: the second flight was not sent", o.Newest())
	}
	o.mute = false
	o.pass(time.Second)
	o.wantSent(t, "1:[1]", "2:[1]", "3:[2]")
	if o.Find(1) != nil {
		t.Error("the number of an earlier sending still stands for something")
	}
}

// Number 0 is that of no sending, so no answer finds a flight by it.
func TestWindow_WhatWasNotSentHasNoNumber(t *testing.T) {
	o := newOwner(Options{UnderWay: 1, Renumber: true})
	o.mute = true
	o.Add(o.now, 1, 0, func(string, error) {})
	o.Fill(o.now)
	if f := o.Find(0); f != nil {
		t.Errorf("found %v", asks(f))
	}
}

func TestWindow_AFlightTimesOutWithItsOldest(t *testing.T) {
	o := newOwner(Options{UnderWay: 1, Timeout: 10 * time.Second})
	o.add(1)
	o.now = o.now.Add(5 * time.Second)
	o.add(2)
	o.end()
	o.add(3)
	o.now = o.now.Add(time.Second)
	o.add(4)
	o.mute = true
	o.pass(4 * time.Second)
	o.wantTold(t, 1, "too late")
	o.wantTold(t, 2, "too late")
	o.wantTold(t, 3)
	o.pass(5 * time.Second)
	o.wantTold(t, 3, "too late")
	o.wantTold(t, 4, "too late")
	if o.Failed() != 4 || o.Count() != 0 || o.Bytes() != 0 {
		t.Errorf("%d failed, %d are left with %d bytes", o.Failed(), o.Count(), o.Bytes())
	}
}

func TestWindow_RequestsTimeOutAlone(t *testing.T) {
	o := newOwner(Options{UnderWay: 1, Timeout: 10 * time.Second, Alone: true})
	o.add(1)
	o.now = o.now.Add(5 * time.Second)
	o.add(2)
	o.end()
	o.add(3)
	o.pass(5 * time.Second)
	o.wantTold(t, 1, "too late")
	o.wantTold(t, 2)
	o.pass(4999 * time.Millisecond)
	o.wantTold(t, 2)
	o.wantTold(t, 3)
	o.Land(o.Find(1))
	o.pass(time.Millisecond)
	o.wantTold(t, 2, "too late") // landed, and late all the same
	o.wantTold(t, 3, "too late, and never in a flight")
	if o.Failed() != 3 || o.Count() != 0 {
		t.Errorf("%d failed, %d are left", o.Failed(), o.Count())
	}
}

func TestWindow_WhatHasLandedMakesRoom(t *testing.T) {
	o := newOwner(Options{UnderWay: 1, Retry: time.Second})
	o.add(1)
	o.end()
	o.add(2)
	o.Land(o.Find(1))
	o.pass(time.Second)
	o.SendAll(o.now)
	o.wantSent(t, "1:[1]", "2:[2]", "2:[2]")
	for f := range o.Landed {
		o.answer(f)
	}
	o.wantTold(t, 1, "answered")
	if o.Count() != 1 || o.Find(2) == nil {
		t.Errorf("%d requests are left, want one, under way", o.Count())
	}
}

func TestWindow_FirstGoesBeforeTheOthers(t *testing.T) {
	o := newOwner(Options{UnderWay: 3})
	o.add(1)
	o.addFirst(2, 3)
	o.end()
	o.wantSent(t, "1:[2 3]", "2:[1]")
	o.addFirst(4)
	o.end()
	o.addFirst(5)
	o.end()
	if !o.FirstWait() {
		t.Error("nothing waits, though there is no room")
	}
	o.GiveUpFirst(errOver)
	o.end()
	o.wantTold(t, 1)
	for _, ask := range []int{2, 3, 4, 5} {
		o.wantTold(t, ask, "over")
	}
	if o.Count() != 1 || o.FirstWait() {
		t.Errorf("%d are left, want one", o.Count())
	}
}

func TestWindow_FirstTimesOutToo(t *testing.T) {
	o := newOwner(Options{UnderWay: 1, Timeout: 10 * time.Second, Retry: time.Hour})
	o.now = o.now.Add(time.Second)
	o.add(1)
	o.end()
	o.addFirst(2)
	o.pass(9999 * time.Millisecond)
	o.wantTold(t, 2)
	o.pass(time.Millisecond)
	o.wantTold(t, 1, "too late")
	o.wantTold(t, 2, "too late, and never in a flight")
}

func TestWindow_AfterStopNothingStays(t *testing.T) {
	o := newOwner(Options{UnderWay: 2})
	o.add(1)
	o.end()
	o.Land(o.Find(1))
	o.add(2)
	o.end()
	o.add(3)
	o.addFirst(4)
	o.Stop(errStopped)
	o.add(5)
	o.addFirst(6)
	o.wantTold(t, 5) // not before the turn ends
	o.end()
	for ask := 1; ask <= 6; ask++ {
		o.wantTold(t, ask, "stopped")
	}
	if o.Count() != 0 || o.Bytes() != 0 || o.Failed() != 0 || len(o.flights) != 0 {
		t.Errorf("%d are left with %d bytes in %d flights, %d failed", o.Count(), o.Bytes(), len(o.flights), o.Failed())
	}
}

// A leader that answers itself does so while the question is being sent.
func TestWindow_AFlightMayEndWhileItIsSent(t *testing.T) {
	o := newOwner(Options{UnderWay: 4, Retry: time.Second})
	o.add(1)
	o.end()
	o.add(2)
	o.end()
	o.add(3)
	o.end()
	o.sent = nil
	o.during = func(f *testFlight) {
		switch f.Number {
		case 1:
			o.answer(o.Find(1))
			o.answer(o.Find(2))
		case 4:
			o.GiveUp(f, errOver)
		}
	}
	o.SendAll(o.now)
	o.add(4)
	o.end()
	o.wantSent(t, "1:[]", "3:[3]", "4:[]")
	o.wantTold(t, 1, "answered")
	o.wantTold(t, 2, "answered")
	o.wantTold(t, 4, "over")
	if len(o.flights) != 1 || o.Count() != 1 {
		t.Errorf("%d requests in %d flights are left, want the third", o.Count(), len(o.flights))
	}
}

// Whatever happens in whatever order: each request is answered once, no more is under way than may be, and numbers grow.
func TestWindow_Property(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		chance := func(percent int) bool { return r.IntN(100) < percent }
		options := Options{
			UnderWay: 1 + r.IntN(6), Timeout: 10 * time.Second, Alone: chance(50), Retry: time.Second,
			Doubling: chance(50), RetryUnsent: time.Duration(r.IntN(2)) * time.Second, Renumber: chance(50),
		}
		if !options.Renumber {
			options.Span = uint64(2 + r.IntN(8))
		}
		o := newOwner(options)
		o.take = r.IntN(4)
		asked, newest, used := 0, uint64(0), make(map[uint64]bool)
		o.during = func(f *testFlight) {
			if f.Number == 0 || options.Renumber && used[f.Number] {
				t.Fatalf("seed %d: number %d is used again", seed, f.Number)
			}
			switch {
			case chance(10):
				o.answer(f)
			case chance(10):
				o.GiveUp(f, errOver)
			}
			o.mute = chance(20)
			used[f.Number] = used[f.Number] || !o.mute
		}
		some := func() (f *testFlight) {
			for g := range o.UnderWay {
				if f == nil || chance(30) {
					f = g
				}
			}
			return f
		}
		check := func() {
			t.Helper()
			told := 0
			for ask, words := range o.told {
				if told++; len(words) != 1 {
					t.Fatalf("seed %d: request %d was told %q", seed, ask, words)
				}
			}
			underWay, lowest, highest := 0, uint64(0), uint64(0)
			for f := range o.UnderWay {
				underWay++
				if lowest == 0 {
					lowest = f.Number
				}
				highest = max(highest, f.Number)
			}
			if o.Count() != asked-told || underWay > options.UnderWay || o.Newest() < newest || options.Span > 0 && highest-lowest >= options.Span {
				t.Fatalf("seed %d: %d of %d are told and %d left; %d flights (%d) from %d to %d; the newest was %d and is %d", seed, told, asked,
					o.Count(), underWay, options.UnderWay, lowest, highest, newest, o.Newest())
			}
			newest = o.Newest()
		}
		step := func() {
			f := some()
			switch r.IntN(12) {
			case 0, 1, 2:
				for range 1 + r.IntN(5) {
					asked++
					o.add(asked)
				}
			case 3:
				asked++
				o.addFirst(asked)
			case 4:
				if f != nil {
					o.answer(f)
				}
			case 5:
				if f != nil {
					o.GiveUp(f, errOver)
				}
			case 6:
				if f != nil {
					o.Land(f)
				}
			case 7:
				for f := range o.Landed {
					if chance(50) {
						o.answer(f)
					}
				}
			case 8:
				o.SendAll(o.now)
			case 9:
				o.SendUnsent(o.now)
			case 10:
				if chance(10) {
					o.GiveUpFirst(errOver)
				}
			case 11:
				o.safe = chance(50)
			}
		}
		for range 300 {
			step()
			if chance(50) {
				o.pass(time.Duration(r.IntN(3)) * time.Second)
				check()
			}
		}
		o.Stop(errStopped)
		o.end()
		check()
		if o.Count() != 0 || o.Bytes() != 0 || len(o.flights) != 0 {
			t.Fatalf("seed %d: %d requests, %d bytes and %d flights are left", seed, o.Count(), o.Bytes(), len(o.flights))
		}
	}
}
