package driver

import (
	"context"
	"sync"

	"github.com/detcd/detcd/node/port"
)

// lane is a goroutine that does the member's blocking work, one piece after the other. Its queue is as long as the member
// makes it: the member bounds what it has under way.
type lane struct {
	driver *Driver
	mu     sync.Mutex
	more   sync.Cond
	queue  []piece
	// closed: the queue takes nothing any more, and what has not begun never will.
	closed bool
	ended  chan struct{}
}

type piece struct{ work, done func() }

var _ port.Lane = (*lane)(nil)

func newLane(d *Driver) *lane {
	l := &lane{driver: d, ended: make(chan struct{})}
	l.more.L = &l.mu
	go l.run()
	return l
}

// Run implements port.Lane.
func (l *lane) Run(work, done func()) {
	l.mu.Lock()
	if !l.closed {
		l.queue = append(l.queue, piece{work, done})
		l.more.Signal()
	}
	l.mu.Unlock()
}

func (l *lane) run() {
	defer close(l.ended)
	for {
		l.mu.Lock()
		for len(l.queue) == 0 && !l.closed {
			l.more.Wait()
		}
		if l.closed {
			l.mu.Unlock()
			return
		}
		p := l.queue[0]
		l.queue[0] = piece{}
		l.queue = l.queue[1:]
		l.mu.Unlock()
		if !l.do(p.work) {
			continue // nothing may follow from work that was not done
		}
		l.driver.inbox.serve(item{kind: itemDone, fn: p.done})
	}
}

// do does a piece of work, and reports whether it came to its end.
func (l *lane) do(work func()) (done bool) {
	defer l.driver.caught(func() { done = false })
	work()
	return true
}

// close ends the lane and waits for the piece at work, until ctx is done. It reports whether nothing was cut off.
func (l *lane) close(ctx context.Context) bool {
	l.mu.Lock()
	l.closed = true
	idle := len(l.queue) == 0
	l.queue = nil
	l.more.Signal()
	l.mu.Unlock()
	select {
	case <-l.ended:
		return idle
	case <-ctx.Done():
		return false
	}
}
