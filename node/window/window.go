// Package window keeps requests that wait for an answer from elsewhere: from a leader, from a round of reads, from the log.
//
// A request waits until there is room. Requests that wait together travel together: they are one flight, which has a number. A flight is
// sent, and sent again while no answer comes. It ends in one of three ways: it is answered, it has taken too long, or the window stops.
// Every request is answered exactly once, through the function that it came with. What travels, and how, is the owner's: see Carrier.
//
// Concurrency: a window belongs to its owner's turns. It calls nobody's Done itself: it has that done later, at the end of the turn.
package window

import (
	"fmt"
	"slices"
	"time"

	"github.com/detcd/detcd/node/port"
)

// Request is a question Q that waits for an answer A.
type Request[Q, A any] struct {
	Ask   Q
	Bytes int          // what it counts for in Window.Bytes
	Start port.Instant // when it came
	Done  func(A, error)
}

// Flight is requests that travel together. L is what its owner keeps with it.
type Flight[Q, A, L any] struct {
	// Number is not that of any other flight. With Options.Renumber it is that of the last sending, and 0 while nothing was sent.
	Number   uint64
	Requests []Request[Q, A]
	// First says that its requests came by AddFirst.
	First bool
	Load  L

	sent   bool         // to whoever is to answer now
	landed bool         // see Land
	over   bool         // its requests are answered
	tried  port.Instant // when it was sent last, or could not be
	wait   time.Duration
}

// Carrier is the owner of a window, who knows what travels and how.
type Carrier[Q, A, L any] interface {
	// Take says how many of those that wait the next flight has, counted from the first: at least one.
	Take(waiting []Request[Q, A]) int
	// Send sends a flight. False means that nothing has left, since there is nobody to send it to; it is called again later. Send may also take
	// the flight or give it up, and then what it returns does not matter.
	Send(f *Flight[Q, A, L]) bool
	// MayBeLost says whether something that was sent can be lost on its way, or its answer. Where not, nothing is sent twice to the same.
	MayBeLost() bool
	// TooLate is the error for requests that came at start and have waited too long. f is nil where they never got into a flight.
	TooLate(start port.Instant, f *Flight[Q, A, L]) error
}

// Options are the rules of a window.
type Options struct {
	// UnderWay is how many flights may be without an answer. Requests that come meanwhile share the next ones.
	UnderWay int
	// Span bounds how far the numbers of flights under way are apart: less than this. 0: no bound.
	Span uint64
	// Timeout is how long a request waits for its answer.
	Timeout time.Duration
	// Alone has each request time out by itself. Else those of a flight do so together, with the oldest.
	Alone bool
	// Retry is after what time a flight without an answer is sent again, and Doubling has each such time be twice the one before.
	Retry    time.Duration
	Doubling bool
	// RetryUnsent is after what time a flight that could not be sent is tried again. 0: at the next tick.
	RetryUnsent time.Duration
	// Renumber gives a flight another number each time it is sent, for owners to whom a late answer to an earlier sending says nothing.
	Renumber bool
}

// Window keeps the requests of one owner. Make one with New.
type Window[Q, A, L any] struct {
	options Options
	carrier Carrier[Q, A, L]
	later   func(func())

	// first and waiting are in no flight yet. Those in first go before all others, in flights of their own.
	first, waiting []Request[Q, A]
	// flights are the flights that are not over, oldest first, and those that ended while looping says that somebody walks over the list.
	flights []*Flight[Q, A, L]
	looping int
	ended   int // flights in the list that are over

	number   uint64 // the newest
	underWay int    // flights that are neither over nor landed
	count    int    // requests, waiting or in flights
	bytes    int
	stopped  error // why no request is taken any more

	failed, retried uint64
}

// New returns an empty window. later has a function called at the end of the turn.
func New[Q, A, L any](options Options, carrier Carrier[Q, A, L], later func(func())) *Window[Q, A, L] {
	return &Window[Q, A, L]{options: options, carrier: carrier, later: later}
}

// Add has a request wait. done is called once, at the end of this turn or a later one.
func (w *Window[Q, A, L]) Add(now port.Instant, ask Q, bytes int, done func(A, error)) {
	w.add(&w.waiting, Request[Q, A]{Ask: ask, Bytes: bytes, Start: now, Done: done})
}

// AddFirst is Add for a request that goes before all that are not of its kind.
func (w *Window[Q, A, L]) AddFirst(now port.Instant, ask Q, bytes int, done func(A, error)) {
	w.add(&w.first, Request[Q, A]{Ask: ask, Bytes: bytes, Start: now, Done: done})
}

func (w *Window[Q, A, L]) add(queue *[]Request[Q, A], r Request[Q, A]) {
	w.count++
	w.bytes += r.Bytes
	if w.stopped != nil {
		w.refuse([]Request[Q, A]{r}, w.stopped)
		return
	}
	*queue = append(*queue, r)
}

// Count is how many requests are not answered.
func (w *Window[Q, A, L]) Count() int { return w.count }

// Bytes is what the requests that are not answered count for together.
func (w *Window[Q, A, L]) Bytes() int { return w.bytes }

// FirstWait says whether a request that came by AddFirst is in no flight yet.
func (w *Window[Q, A, L]) FirstWait() bool { return len(w.first) > 0 }

// Failed counts the requests that were given up, but for those that Stop has answered.
func (w *Window[Q, A, L]) Failed() uint64 { return w.failed }

// Retried counts how often Tick has sent a flight again, or tried to.
func (w *Window[Q, A, L]) Retried() uint64 { return w.retried }

// Newest is the highest number that was given so far.
func (w *Window[Q, A, L]) Newest() uint64 { return w.number }

// Oldest is the number of the oldest flight that is under way; the one that comes next where there is none.
func (w *Window[Q, A, L]) Oldest() uint64 {
	for _, f := range w.flights {
		if !f.over && !f.landed {
			return f.Number
		}
	}
	return w.number + 1
}

// Fill puts what waits into flights and sends them, as far as there is room.
func (w *Window[Q, A, L]) Fill(now port.Instant) {
	w.launch(now, &w.first, true)
	w.launch(now, &w.waiting, false)
}

func (w *Window[Q, A, L]) launch(now port.Instant, queue *[]Request[Q, A], first bool) {
	for len(*queue) > 0 && w.room() {
		n := w.carrier.Take(*queue)
		f := &Flight[Q, A, L]{Requests: (*queue)[:n:n], First: first}
		if *queue = (*queue)[n:]; len(*queue) == 0 {
			*queue = nil // its memory is the flights' now
		}
		if !w.options.Renumber {
			w.number++
			f.Number = w.number
		}
		w.flights = append(w.flights, f)
		w.underWay++
		w.send(now, f)
	}
}

// room says whether one more flight may be under way.
func (w *Window[Q, A, L]) room() bool {
	return w.underWay < w.options.UnderWay && (w.options.Span == 0 || w.number+1-w.Oldest() < w.options.Span)
}

// send sends a flight, or notes that it could not be sent.
func (w *Window[Q, A, L]) send(now port.Instant, f *Flight[Q, A, L]) {
	f.tried = now
	if w.options.Renumber {
		f.Number = w.number + 1
	}
	w.looping++
	f.sent = w.carrier.Send(f)
	w.looping--
	switch {
	case f.sent:
		w.number = max(w.number, f.Number)
		if f.wait == 0 {
			f.wait = w.options.Retry
		}
	case w.options.Renumber:
		f.Number = 0
	}
	w.sweep()
}

// SendAll sends every flight under way anew: there is somebody else to send it to.
func (w *Window[Q, A, L]) SendAll(now port.Instant) {
	for f := range w.UnderWay {
		f.sent, f.wait = false, 0
		w.send(now, f)
	}
}

// SendUnsent tries to send what could not be sent before.
func (w *Window[Q, A, L]) SendUnsent(now port.Instant) {
	for f := range w.UnderWay {
		if !f.sent {
			w.send(now, f)
		}
	}
}

// Unsend has a flight be sent again at the next tick: what was sent counts for nothing.
func (w *Window[Q, A, L]) Unsend(f *Flight[Q, A, L]) { f.sent = false }

// UnderWay walks over the flights that wait for an answer from elsewhere, oldest first. Flights may end meanwhile.
func (w *Window[Q, A, L]) UnderWay(yield func(*Flight[Q, A, L]) bool) { w.walk(false, yield) }

// Landed walks over the flights that have landed, oldest first. Flights may end meanwhile.
func (w *Window[Q, A, L]) Landed(yield func(*Flight[Q, A, L]) bool) { w.walk(true, yield) }

func (w *Window[Q, A, L]) walk(landed bool, yield func(*Flight[Q, A, L]) bool) {
	w.looping++
	for _, f := range w.flights {
		if !f.over && f.landed == landed && !yield(f) {
			break
		}
	}
	w.looping--
	w.sweep()
}

// Find returns the flight under way that has a number, nil if there is none. None has the number 0.
func (w *Window[Q, A, L]) Find(number uint64) *Flight[Q, A, L] {
	if number == 0 {
		return nil
	}
	for _, f := range w.flights {
		if f.Number == number && !f.over && !f.landed {
			return f
		}
	}
	return nil
}

// Land notes that a flight has its answer from elsewhere, and waits for something here before its requests can be answered. It is not sent
// again and makes room for another; its requests still time out.
func (w *Window[Q, A, L]) Land(f *Flight[Q, A, L]) {
	if f.landed || f.over {
		panic(fmt.Sprintf("window: flight %d lands, but landed: %v, over: %v", f.Number, f.landed, f.over))
	}
	f.landed = true
	w.underWay--
}

// Take ends a flight. The caller answers its requests.
func (w *Window[Q, A, L]) Take(f *Flight[Q, A, L]) []Request[Q, A] {
	requests := f.Requests
	w.uncount(requests)
	w.end(f)
	w.sweep()
	return requests
}

// GiveUp ends a flight with an error.
func (w *Window[Q, A, L]) GiveUp(f *Flight[Q, A, L], err error) {
	w.fail(f.Requests, err)
	w.end(f)
	w.sweep()
}

// GiveUpFirst ends all that came by AddFirst with an error.
func (w *Window[Q, A, L]) GiveUpFirst(err error) {
	for f := range w.UnderWay {
		if f.First {
			w.GiveUp(f, err)
		}
	}
	w.fail(w.first, err)
	w.first = nil
}

// Tick gives up what took too long, and sends again what may have been lost or could not be sent.
func (w *Window[Q, A, L]) Tick(now port.Instant) {
	w.looping++
	for _, f := range w.flights {
		w.expire(now, f)
	}
	w.first = w.expireFrom(now, w.first, nil)
	w.waiting = w.expireFrom(now, w.waiting, nil)
	for _, f := range w.flights {
		if !f.over && !f.landed && w.due(now, f) {
			f.wait = w.nextWait(f)
			w.retried++
			w.send(now, f)
		}
	}
	w.looping--
	w.sweep()
}

// due says whether a flight is to be sent again.
func (w *Window[Q, A, L]) due(now port.Instant, f *Flight[Q, A, L]) bool {
	if !f.sent {
		return now.Sub(f.tried) >= w.options.RetryUnsent
	}
	return now.Sub(f.tried) >= f.wait && w.carrier.MayBeLost()
}

// nextWait is how long a flight that is sent again waits from then on.
func (w *Window[Q, A, L]) nextWait(f *Flight[Q, A, L]) time.Duration {
	if f.sent && w.options.Doubling {
		return 2 * f.wait
	}
	return f.wait
}

// expire gives up what took too long of a flight.
func (w *Window[Q, A, L]) expire(now port.Instant, f *Flight[Q, A, L]) {
	switch {
	case f.over || !w.late(now, f.Requests[0]):
	case w.options.Alone:
		if f.Requests = w.expireFrom(now, f.Requests, f); len(f.Requests) == 0 {
			w.end(f)
		}
	default:
		w.GiveUp(f, w.carrier.TooLate(f.Requests[0].Start, f))
	}
}

// expireFrom gives up the first of a list that took too long, and returns the rest. Lists are in the order in which requests came.
func (w *Window[Q, A, L]) expireFrom(now port.Instant, list []Request[Q, A], f *Flight[Q, A, L]) []Request[Q, A] {
	n := 0
	for n < len(list) && w.late(now, list[n]) {
		n++
	}
	if n > 0 {
		w.fail(list[:n:n], w.carrier.TooLate(list[0].Start, f))
	}
	if n == len(list) {
		return nil
	}
	return list[n:]
}

func (w *Window[Q, A, L]) late(now port.Instant, r Request[Q, A]) bool {
	return now.Sub(r.Start) >= w.options.Timeout
}

// Stop answers all requests with an error, also those that come later.
func (w *Window[Q, A, L]) Stop(err error) {
	w.looping++
	for _, f := range w.flights {
		if !f.over {
			w.refuse(f.Requests, err)
			w.end(f)
		}
	}
	w.looping--
	w.sweep()
	w.refuse(w.waiting, err)
	w.refuse(w.first, err)
	w.waiting, w.first, w.stopped = nil, nil, err
}

// fail answers requests with an error, which counts.
func (w *Window[Q, A, L]) fail(requests []Request[Q, A], err error) {
	w.failed += uint64(len(requests))
	w.refuse(requests, err)
}

// refuse answers requests with an error.
func (w *Window[Q, A, L]) refuse(requests []Request[Q, A], err error) {
	if len(requests) == 0 {
		return
	}
	w.uncount(requests)
	w.later(func() {
		var none A
		for i := range requests {
			requests[i].Done(none, err)
		}
	})
}

func (w *Window[Q, A, L]) uncount(requests []Request[Q, A]) {
	w.count -= len(requests)
	for i := range requests {
		w.bytes -= requests[i].Bytes
	}
}

// end notes that a flight's requests are answered. The list still has it, until sweep.
func (w *Window[Q, A, L]) end(f *Flight[Q, A, L]) {
	if f.over {
		panic(fmt.Sprintf("window: flight %d ends twice", f.Number))
	}
	if !f.landed {
		w.underWay--
	}
	f.over, f.Requests = true, nil
	w.ended++
}

// sweep takes the flights that are over out of the list, unless somebody walks over it. Most flights end in the order of the list.
func (w *Window[Q, A, L]) sweep() {
	if w.looping > 0 || w.ended == 0 {
		return
	}
	n := 0
	for n < len(w.flights) && w.flights[n].over {
		w.flights[n] = nil
		n++
	}
	w.flights = w.flights[n:]
	if w.ended > n {
		w.flights = slices.DeleteFunc(w.flights, func(f *Flight[Q, A, L]) bool { return f.over })
	}
	w.ended = 0
}
