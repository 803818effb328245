package driver

import (
	"runtime"
	"sync"
	"time"

	"github.com/detcd/detcd/node/port"
)

type itemKind uint8

const (
	itemMessage itemKind = iota // from, payload
	itemCall                    // call
	itemDone                    // fn
	itemStop
	itemGreeting // from, formats
)

// item is one thing for a turn to handle.
type item struct {
	kind    itemKind
	from    port.MemberID
	payload []byte
	formats port.Formats
	call    *call
	fn      func()
}

// inbox is what waits for the next turn, in the order it came. It bounds messages only. Calls are bounded by the goroutines that wait for them, and finished work by
// what the member has asked for.
type inbox struct {
	mu       sync.Mutex
	items    []item
	bytes    int // of messages
	messages int
	closed   bool
	// sleeping says that the reader waits on wake, or is about to.
	sleeping bool
	wake     chan struct{} // capacity 1
	// A guest is a goroutine that puts something in while the reader sleeps, and takes the turn itself. guest takes that turn, and says whether the
	// reader should look again after it.
	guest func(items []item) (again bool)
	// guestInTurn says that a guest's turn goes on.
	guestInTurn bool
	// alarmFired says that the reader's alarm came during that turn. The reader now waits for wake.
	alarmFired bool
	// room is signalled to those who wait to put a message in.
	room    sync.Cond
	waiting int

	// spare is an empty list to be filled next, if not nil.
	spare []item

	maxBytes, maxMessages int
}

func (b *inbox) init(maxBytes, maxMessages int) {
	b.wake = make(chan struct{}, 1)
	b.room.L = &b.mu
	b.maxBytes, b.maxMessages = maxBytes, maxMessages
}

// push adds an item. It reports false, and drops it, when the inbox is closed. It does not wait.
func (b *inbox) push(it item) bool { return b.put(it, b.unlockAndWake) }

// serve is push for those who can spare the time of a turn.
func (b *inbox) serve(it item) bool { return b.put(it, b.unlockAndServe) }

func (b *inbox) put(it item, unlock func()) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	b.items = append(b.items, it)
	unlock()
	return true
}

// pushMessage adds a message, and waits for room where there is none.
func (b *inbox) pushMessage(from port.MemberID, payload []byte) {
	b.mu.Lock()
	for !b.closed && b.messages > 0 && (b.messages >= b.maxMessages || b.bytes+len(payload) > b.maxBytes) {
		b.waiting++
		b.room.Wait()
		b.waiting--
	}
	if b.closed {
		b.mu.Unlock()
		return
	}
	b.items = append(b.items, item{kind: itemMessage, from: from, payload: payload})
	b.messages++
	b.bytes += len(payload)
	b.unlockAndServe()
}

// unlockAndServe sees to it that what was put in is handled. Where the reader is awake, the reader does that. Where it sleeps, the caller does, in one turn: to wake the
// reader costs a lone request more than the turn. What comes during that turn is left to the reader.
func (b *inbox) unlockAndServe() {
	if !b.sleeping || b.guest == nil {
		b.unlockAndWake()
		return
	}
	b.sleeping, b.guestInTurn = false, true
	b.mu.Unlock()
	// As the reader does: whoever is ready to put something in goes first.
	runtime.Gosched()
	b.mu.Lock()
	items := b.takeLocked(b.spare)
	b.mu.Unlock()
	again := b.guest(items)
	b.recycle(items)
	b.mu.Lock()
	b.guestInTurn = false
	if again || b.alarmFired || b.closed || len(b.items) > 0 {
		b.alarmFired = false
		b.mu.Unlock()
		b.wake <- struct{}{}
		return
	}
	b.sleeping = true
	b.mu.Unlock()
}

// unlockAndWake wakes a reader that sleeps, once for each sleep. A reader that is awake looks again by itself.
func (b *inbox) unlockAndWake() {
	wake := b.sleeping
	b.sleeping = false
	b.mu.Unlock()
	if wake {
		b.wake <- struct{}{}
	}
}

// take waits until there are items, and returns all of them. It returns none where a timer of c is due, or a guest says that there is something to do. The slice
// that it returned before may be used again. It reports false when the inbox is closed.
func (b *inbox) take(c *clock) (items []item, open bool) {
	for slept := false; ; slept = true {
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			return nil, false
		}
		if len(b.items) > 0 {
			items = b.takeLocked(b.spare)
			b.mu.Unlock()
			return items, true
		}
		if slept {
			b.mu.Unlock()
			return nil, true
		}
		// The clock is looked at before anybody else may take a turn.
		d, some := c.untilNext()
		if some && d <= 0 {
			b.mu.Unlock()
			return nil, true
		}
		var alarm <-chan time.Time
		if some {
			alarm = c.alarmIn(d)
		}
		b.sleeping = true
		b.mu.Unlock()
		b.sleep(c, alarm)
	}
}

// takeLocked takes all items and leaves spare to be filled next.
func (b *inbox) takeLocked(spare []item) []item {
	items := b.items
	b.items, b.bytes, b.messages, b.spare = spare, 0, 0, nil
	if b.waiting > 0 {
		b.room.Broadcast()
	}
	return items
}

// recycle gives back what take returned.
func (b *inbox) recycle(items []item) {
	clear(items)
	if cap(items) <= maxSpareItems {
		b.mu.Lock()
		b.spare = items[:0]
		b.mu.Unlock()
	}
}

// sleep waits for wake, or for the alarm. After either the reader takes a turn, even if nothing was put in.
func (b *inbox) sleep(c *clock, alarm <-chan time.Time) {
	select {
	case <-b.wake:
		return
	case <-alarm:
	}
	b.mu.Lock()
	switch {
	case b.guestInTurn:
		b.alarmFired = true
		b.mu.Unlock()
		<-b.wake
	case b.sleeping:
		b.sleeping = false
		b.mu.Unlock()
	default:
		// Someone took the flag and has sent the wake-up, or will at once.
		b.mu.Unlock()
		<-b.wake
	}
	c.rang()
}

// close makes the inbox take nothing any more and returns what was in it.
func (b *inbox) close() []item {
	b.mu.Lock()
	items := b.items
	b.items, b.closed = nil, true
	b.room.Broadcast()
	b.unlockAndWake()
	return items
}
