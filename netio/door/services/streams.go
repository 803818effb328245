package services

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

const (
	// leaderlessMax is how many election timeouts without a leader end the running streams of clients that require one, as in etcd. To begin streams anew costs
	// much more than to wait a little.
	leaderlessMax          = 3
	defaultElectionTimeout = time.Second
)

// streams are the streams that are open, so that this side can end them.
type streams struct {
	mu sync.Mutex
	// open holds how to end each stream, and whether its client requires a leader.
	open    map[*stream]bool
	stopped bool
}

// stream is one gRPC stream whose messages are counted, and whose context also ends when this side ends it; the context's cause says why.
type stream struct {
	grpc.ServerStream
	method *method
	ctx    context.Context
	end    context.CancelCauseFunc
}

// enter registers a stream, unless the doors are closing.
func (s *streams) enter(ss grpc.ServerStream, m *method, requiresLeader bool) (*stream, error) {
	n := &stream{ServerStream: ss, method: m}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil, rpctypes.ErrGRPCStopped
	}
	if s.open == nil {
		s.open = map[*stream]bool{}
	}
	n.ctx, n.end = context.WithCancelCause(ss.Context())
	s.open[n] = requiresLeader
	return n, nil
}

// leave ends what n's handler may have left behind.
func (s *streams) leave(n *stream) {
	n.end(nil)
	s.mu.Lock()
	delete(s.open, n)
	s.mu.Unlock()
}

// stop ends all streams, and those that come later.
func (s *streams) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for n := range s.open {
		n.end(rpctypes.ErrGRPCStopped)
	}
}

// endLeaderless ends the streams of clients that require a leader.
func (s *streams) endLeaderless() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, requiresLeader := range s.open {
		if requiresLeader {
			n.end(rpctypes.ErrGRPCNoLeader)
		}
	}
}

// watchLeader ends streams once there has been no leader for too long, until ctx ends.
func (srv *Server) watchLeader(ctx context.Context) {
	tick := time.NewTicker(srv.config.ElectionTimeout)
	defer tick.Stop()
	for leaderless := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if srv.backend.Status().Leader != 0 {
			leaderless = 0
			continue
		}
		if leaderless++; leaderless >= leaderlessMax {
			srv.streams.endLeaderless()
		}
	}
}

// ended is the error of a stream whose context has ended: why this side ended it, or what became of the client.
func ended(ctx context.Context) error {
	cause := context.Cause(ctx)
	if _, ok := status.FromError(cause); ok {
		return cause
	}
	return status.FromContextError(cause).Err()
}

// unlessEnded is the error of a call that a stream has made. Where the stream's end has ended the call, it is what has ended the stream.
func unlessEnded(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ended(ctx)
	}
	return err
}

// Context implements grpc.ServerStream.
func (s *stream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream.
func (s *stream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		s.method.received.Add(1)
	}
	return err
}

// SendMsg implements grpc.ServerStream.
func (s *stream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(m)
	if err == nil {
		s.method.sent.Add(1)
	}
	return err
}
