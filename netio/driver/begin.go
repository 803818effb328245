package driver

import (
	"context"
	"sync/atomic"

	calls "github.com/detcd/detcd/node/call"
)

// Turn has fn run in one of the next turns, in the order given, and does not wait for that. False: the member has ended, and fn is not run;
// should it end before that turn, fn is not run either.
func (d *Driver) Turn(fn func(m calls.Replica)) bool {
	return d.inbox.push(item{kind: itemDone, fn: func() { fn(d.member) }})
}

// Begin makes a call that may take long, and that has something to give back when its caller is gone, such as a place in a queue. begin is run in a turn. It calls
// done in that turn or a later one, and returns how to cancel the call, or nil if the call can't be cancelled.
//
// Begin returns nil once done was called. When ctx ends before that, Begin returns ctx's error at once, and the call is cancelled in a turn. It does no harm if done
// is called after that. When the member ends first, Begin returns ErrStopped.
func (d *Driver) Begin(ctx context.Context, begin func(m calls.Replica, done func()) (cancel func())) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var abandoned atomic.Bool
	// over and cancel belong to the member's turns.
	var over bool
	var cancel func()
	done := make(chan struct{})
	started := d.inbox.push(item{kind: itemDone, fn: func() {
		if abandoned.Load() {
			over = true
			return
		}
		cancel = begin(d.member, func() {
			if !over {
				over = true
				close(done)
			}
		})
	}})
	if !started {
		return ErrStopped
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		abandoned.Store(true)
		d.inbox.push(item{kind: itemDone, fn: func() {
			if !over && cancel != nil {
				cancel()
			}
		}})
		return ctx.Err()
	case <-d.ended:
	}
	select {
	case <-done: // in the last turn
		return nil
	default:
		return ErrStopped
	}
}
