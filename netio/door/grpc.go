package door

import (
	"context"
	"errors"
	"math"
	"net"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/netio/door/listen"
)

const (
	// requestOverhead is what a gRPC message may be larger than the request limit, as in etcd: so that a request that is
	// a little too large gets etcd's own error.
	requestOverhead = 512 << 10
	// Buffers of a connection: one read or write call moves many small requests.
	readBuffer, writeBuffer = 64 << 10, 64 << 10
)

// newGRPC makes the gRPC server with all services.
func (d *Door) newGRPC() *grpc.Server {
	c := &d.config
	keepAlive := keepalive.ServerParameters{}
	if c.KeepAliveInterval > 0 {
		keepAlive.Time = c.KeepAliveInterval
	}
	if c.KeepAliveTimeout > 0 {
		keepAlive.Timeout = c.KeepAliveTimeout
	}
	s := grpc.NewServer(
		grpc.Creds(handshaken{}),
		grpc.ForceServerCodecV2(d.codec),
		grpc.MaxRecvMsgSize(c.Limits.MaxRequestBytes+requestOverhead),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(c.MaxConcurrentStreams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: c.KeepAliveMinTime}),
		grpc.KeepaliveParams(keepAlive),
		grpc.ReadBufferSize(readBuffer),
		grpc.WriteBufferSize(writeBuffer),
		grpc.UnaryInterceptor(d.interceptUnary),
		grpc.StreamInterceptor(d.interceptStream),
	)
	for i := range api {
		s.RegisterService(&api[i], d)
	}
	d.health = health.NewServer()
	d.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(s, d.health)
	reflection.Register(s)
	return s
}

// observed runs a unary call with all that is common to them: counting, and the warning of slow ones. The error is always one of gRPC's.
func (d *Door) observed(ctx context.Context, m *method, handle func(context.Context) (any, error)) (any, error) {
	start := time.Now()
	d.underWay.Add(1)
	defer d.underWay.Add(-1)
	m.started.Add(1)
	m.received.Add(1)
	d.traffic.clients.of(ctx).unary.Add(1)
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
	if d.config.WarnUnaryDuration > 0 && took > d.config.WarnUnaryDuration && !m.waits && d.slow.take(took) {
		d.warnSlow(ctx, m, start, took, err)
	}
	return resp, err
}

func (d *Door) warnSlow(ctx context.Context, m *method, start time.Time, took time.Duration, err error) {
	remote := "unknown"
	if p, ok := peer.FromContext(ctx); ok {
		remote = p.Addr.String()
	}
	d.log.Warn("request stats", zap.Time("start time", start), zap.Duration("time spent", took), zap.String("remote", remote),
		zap.String("response type", "/"+m.service+"/"+m.name), zap.Error(err))
}

// interceptUnary observes the calls that are not the API's. Those of the API do so themselves (handled): a decoder can't be had here.
func (d *Door) interceptUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return d.observed(ctx, d.methods.byName[info.FullMethod], func(ctx context.Context) (any, error) { return handler(ctx, req) })
}

// interceptStream counts streams and their messages, and lets them be ended from this side.
func (d *Door) interceptStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	m := d.methods.byName[info.FullMethod]
	m.started.Add(1)
	d.traffic.clients.of(ss.Context()).stream.Add(1)
	err := d.runStream(srv, ss, m, handler)
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

func (d *Door) runStream(srv any, ss grpc.ServerStream, m *method, handler grpc.StreamHandler) error {
	if err := ss.Context().Err(); err != nil { // it was reset at once: see carry
		return status.FromContextError(err).Err()
	}
	s, err := d.streams.enter(ss, m, requiresLeader(ss.Context()))
	if err != nil {
		return err
	}
	defer d.streams.leave(s)
	if m.finite {
		d.underWay.Add(1)
		defer d.underWay.Add(-1)
	}
	return handler(srv, s)
}

// handshaken are the credentials of connections that have been sorted already, and so have their TLS handshake behind them.
type handshaken struct{}

var _ credentials.TransportCredentials = handshaken{}

// ServerHandshake implements credentials.TransportCredentials: it only tells what the handshake has found.
func (handshaken) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if secured := listen.TLS(c); secured != nil {
		level := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
		return c, credentials.TLSInfo{State: secured.ConnectionState(), CommonAuthInfo: level}, nil
	}
	return c, nil, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (handshaken) ClientHandshake(_ context.Context, _ string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c, nil, errors.New("the server dials nobody with these")
}

// Info implements credentials.TransportCredentials.
func (handshaken) Info() credentials.ProtocolInfo { return credentials.ProtocolInfo{} }

// Clone implements credentials.TransportCredentials.
func (h handshaken) Clone() credentials.TransportCredentials { return h }

// OverrideServerName implements credentials.TransportCredentials.
func (handshaken) OverrideServerName(string) error { return nil }
