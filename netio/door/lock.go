package door

import (
	"context"
	"errors"

	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/node/call"
)

// lockService is the Lock service.
type lockService struct {
	v3lockpb.UnimplementedLockServer
	door *Door
}

// Lock waits for a lock.
func (l *lockService) Lock(ctx context.Context, r *v3lockpb.LockRequest) (*v3lockpb.LockResponse, error) {
	return await(ctx, l.door, call.Lock, r)
}

// Unlock gives a lock back.
func (l *lockService) Unlock(ctx context.Context, r *v3lockpb.UnlockRequest) (*v3lockpb.UnlockResponse, error) {
	return await(ctx, l.door, atOnce(call.Unlock), r)
}

// starter begins a call that may wait for others in one of the member's turns, and returns how to cancel it.
type starter[Req, Resp any] func(m call.Member, l call.Limits, r Req, done func(Resp, error)) (cancel func())

// await makes a call that may wait long. When ctx ends, what the call has put down is taken away again.
func await[Req, Resp any](ctx context.Context, d *Door, start starter[Req, Resp], r Req) (none Resp, _ error) {
	// After an early end Begin does not wait for the answer, and nobody reads it.
	var answer struct {
		resp Resp
		err  error
	}
	err := d.backend.Begin(ctx, func(m call.Member, done func()) func() {
		return start(m, d.config.Limits, r, func(resp Resp, err error) {
			answer.resp, answer.err = resp, err
			done()
		})
	})
	if err != nil {
		return none, waitError(err)
	}
	return answer.resp, answer.err
}

// waitError says of a wait that the client's own patience ended it. Its clock and this one run beside each other: whichever is first, it is the same word.
func waitError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	return proposeError(err)
}

// atOnce is a call that waits for nobody, and so has nothing to cancel.
func atOnce[Req, Resp any](start func(call.Member, call.Limits, Req, func(Resp, error))) starter[Req, Resp] {
	return func(m call.Member, l call.Limits, r Req, done func(Resp, error)) func() {
		start(m, l, r, done)
		return nil
	}
}
