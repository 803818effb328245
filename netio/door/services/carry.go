package services

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"

	"github.com/detcd/detcd/node/call"
)

// How calls get through the gate of package call. What they wait for is waited for here, in the client's goroutine, and nothing is decided.

// callerOf is who makes the call of a context. Nobody proves who it is yet.
func callerOf(ctx context.Context) call.Caller {
	return call.Caller{RequiresLeader: requiresLeader(ctx), Gone: patience(ctx.Err())}
}

// requiresLeader says that the client wants no answer from a member that knows of no leader.
func requiresLeader(ctx context.Context) bool {
	v := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataRequireLeaderKey)
	return len(v) > 0 && v[0] == rpctypes.MetadataHasLeader
}

// carry makes a call. ctx bounds the wait.
func carry[Req, Resp any](ctx context.Context, srv *Server, u *call.Unary[Req, Resp], r Req) (Resp, error) {
	var p call.Pending[Req, Resp]
	p.Begin(srv.gate, srv.backend, callerOf(ctx), u, r)
	for need := p.Next(); need.Kind != call.Nothing; need = p.Next() {
		var got call.Result
		// The client may have gone between two waits.
		if got.Err = ctx.Err(); got.Err == nil && need.Kind != call.Work {
			got = srv.backend.Wait(ctx, need)
		}
		if got.Err != nil {
			got.Err = patience(got.Err)
		}
		p.Resume(got)
	}
	resp, _, err := p.Answer()
	p.Release()
	return resp, err
}

// patience tells package call, which knows no contexts, that the client's patience has ended; other errors stay as they are.
func patience(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return call.ErrClientGone
	case errors.Is(err, context.DeadlineExceeded):
		return call.ErrClientLate
	}
	return err
}

// starter begins a call that may wait for others in one of the member's turns, and returns how to cancel it.
type starter[Req, Resp any] func(g *call.Gate, m call.Replica, who call.Caller, r Req, done func(Resp, error)) (cancel func())

// await makes a call that may wait long. When ctx ends, what the call has put down is taken away again.
func await[Req, Resp any](ctx context.Context, srv *Server, start starter[Req, Resp], r Req) (none Resp, _ error) {
	// After an early end Begin does not wait for the answer, and nobody reads it.
	var answer struct {
		resp Resp
		err  error
	}
	who := callerOf(ctx)
	err := srv.backend.Begin(ctx, func(m call.Replica, done func()) func() {
		return start(srv.gate, m, who, r, func(resp Resp, err error) {
			answer.resp, answer.err = resp, err
			done()
		})
	})
	if err != nil {
		return none, call.ImpatientForOthers(patience(err))
	}
	return answer.resp, answer.err
}

// atOnce is a call that waits for nobody, and so has nothing to cancel.
func atOnce[Req, Resp any](start func(*call.Gate, call.Replica, call.Caller, Req, func(Resp, error))) starter[Req, Resp] {
	return func(g *call.Gate, m call.Replica, who call.Caller, r Req, done func(Resp, error)) func() {
		start(g, m, who, r, done)
		return nil
	}
}
