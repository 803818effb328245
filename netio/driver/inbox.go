package driver

import (
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
)

// item is one thing for a turn to handle.
type item struct {
	kind    itemKind
	from    port.MemberID
	payload []byte
	call    *call
	fn      func()
}

// inbox is what waits for the next turn, in the order it came. Only messages are bounded by it: of calls there is one per
// goroutine that waits, and of finished work as much as the member has asked for.
type inbox struct {
	mu       sync.Mutex
	items    []item
	bytes    int // of messages
	messages int
	closed   bool
	// sleeping says that the reader waits on wake, or is about to.
	sleeping bool
	wake     chan struct{} // capacity 1
	// room is signalled to those who wait to put a message in.
	room    sync.Cond
	waiting int

	maxBytes, maxMessages int
}

func (b *inbox) init(maxBytes, maxMessages int) {
	b.wake = make(chan struct{}, 1)
	b.room.L = &b.mu
	b.maxBytes, b.maxMessages = maxBytes, maxMessages
}

// push adds an item. It reports false, and drops it, when the inbox is closed.
func (b *inbox) push(it item) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	b.items = append(b.items, it)
	b.unlockAndWake()
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
	b.unlockAndWake()
}

// unlockAndWake wakes a sleeping reader, once a sleep: a reader that is awake will look again by itself.
func (b *inbox) unlockAndWake() {
	wake := b.sleeping
	b.sleeping = false
	b.mu.Unlock()
	if wake {
		b.wake <- struct{}{}
	}
}

// take returns all items, as soon as there are some or a timer of c is due, leaving spare to be filled next. It reports false when
// the inbox is closed.
func (b *inbox) take(spare []item, c *clock) (items []item, open bool) {
	for {
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			return nil, false
		}
		if len(b.items) > 0 {
			items = b.items
			b.items, b.bytes, b.messages = spare, 0, 0
			if b.waiting > 0 {
				b.room.Broadcast()
			}
			b.mu.Unlock()
			return items, true
		}
		b.sleeping = true
		b.mu.Unlock()
		if b.sleep(c) {
			return spare, true
		}
	}
}

// sleep waits for wake, or for the next timer of c; it reports whether that is due.
func (b *inbox) sleep(c *clock) (due bool) {
	var alarm <-chan time.Time
	if d, ok := c.untilNext(); ok {
		if d <= 0 {
			due = true
		} else {
			alarm = c.alarmIn(d)
		}
	}
	if !due {
		select {
		case <-b.wake:
			return false
		case <-alarm:
			c.rang()
			due = c.due()
		}
	}
	b.mu.Lock()
	if b.sleeping {
		b.sleeping = false
		b.mu.Unlock()
	} else {
		// Someone took the flag and has sent the wake-up, or will at once.
		b.mu.Unlock()
		<-b.wake
	}
	return due
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
