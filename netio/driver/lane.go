package driver

import (
	"context"
	"sync"

	"github.com/detcd/detcd/node/port"
)

// lane is a goroutine that does the member's blocking work, one piece after the other. Its queue is as long as the member
// makes it: the member bounds what it has under way.
type lane struct {
	inbox *inbox
	mu    sync.Mutex
	more  sync.Cond
	queue []piece
	// closed: the queue takes nothing any more, and what has not begun never will.
	closed bool
	ended  chan struct{}
}

type piece struct{ work, done func() }

var _ port.Lane = (*lane)(nil)

func newLane(b *inbox) *lane {
	l := &lane{inbox: b, ended: make(chan struct{})}
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
		p.work()
		l.inbox.serve(item{kind: itemDone, fn: p.done})
	}
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
