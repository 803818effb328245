package services

import (
	"context"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// observed runs a unary call with all that is common to them: counting, and the warning of slow ones. The error is always one of gRPC's.
func (srv *Server) observed(ctx context.Context, m *method, handle func(context.Context) (any, error)) (any, error) {
	start := time.Now()
	srv.underWay.Add(1)
	defer srv.underWay.Add(-1)
	m.started.Add(1)
	m.received.Add(1)
	srv.traffic.clients.of(ctx).unary.Add(1)
	resp, err := handle(ctx)
	took := time.Since(start)
	code := codes.OK
	if err != nil {
		s, ok := status.FromError(err)
		if !ok {
			s = status.FromContextError(err)
			err = s.Err()
		}
		code = s.Code()
	}
	m.finish(code, took)
	if srv.config.WarnUnaryDuration > 0 && took > srv.config.WarnUnaryDuration && !m.waits && srv.slow.take(took) {
		srv.warnSlow(ctx, m, start, took, err)
	}
	return resp, err
}

func (srv *Server) warnSlow(ctx context.Context, m *method, start time.Time, took time.Duration, err error) {
	remote := "unknown"
	if p, ok := peer.FromContext(ctx); ok {
		remote = p.Addr.String()
	}
	srv.log.Warn("request stats", zap.Time("start time", start), zap.Duration("time spent", took), zap.String("remote", remote),
		zap.String("response type", "/"+m.service+"/"+m.name), zap.Error(err))
}

// interceptUnary observes the calls that are not the API's. Those of the API do so themselves (handled): a decoder can't be had here.
func (srv *Server) interceptUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return srv.observed(ctx, srv.methods.byName[info.FullMethod], func(ctx context.Context) (any, error) { return handler(ctx, req) })
}

// interceptStream counts streams and their messages, and lets them be ended from this side.
func (srv *Server) interceptStream(self any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	m := srv.methods.byName[info.FullMethod]
	m.started.Add(1)
	srv.traffic.clients.of(ss.Context()).stream.Add(1)
	err := srv.runStream(self, ss, m, handler)
	code := status.Code(err)
	if err != nil && code == codes.Unknown {
		code = status.FromContextError(err).Code()
	}
	m.handled[min(int(code), codeCount-1)].Add(1)
	if m.duration != nil {
		m.duration.Observe(time.Since(start).Seconds())
	}
	return err
}

func (srv *Server) runStream(self any, ss grpc.ServerStream, m *method, handler grpc.StreamHandler) error {
	if err := ss.Context().Err(); err != nil { // it was reset at once: see carry
		return status.FromContextError(err).Err()
	}
	s, err := srv.streams.enter(ss, m, requiresLeader(ss.Context()))
	if err != nil {
		return err
	}
	defer srv.streams.leave(s)
	if m.finite {
		srv.underWay.Add(1)
		defer srv.underWay.Add(-1)
	}
	return handler(self, s)
}
