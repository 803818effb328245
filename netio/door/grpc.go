package door

import (
	"context"
	"errors"
	"math"
	"net"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/netio/door/listen"
	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/node/lessor"
	"github.com/detcd/detcd/statemachine"
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
	s.RegisterService(&kvService, d)
	pb.RegisterWatchServer(s, &watchService{door: d})
	pb.RegisterLeaseServer(s, &leaseService{door: d})
	v3lockpb.RegisterLockServer(s, &lockService{door: d})
	v3electionpb.RegisterElectionServer(s, &electionService{door: d})
	pb.RegisterMaintenanceServer(s, &maintenance{door: d})
	pb.RegisterClusterServer(s, &cluster{door: d})
	pb.RegisterAuthServer(s, &authService{door: d})
	d.health = health.NewServer()
	d.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(s, d.health)
	reflection.Register(s)
	return s
}

// do carries a call out. ctx bounds the wait.
func do[Req, Resp any](ctx context.Context, d *Door, u *call.Unary[Req, Resp], r Req) (resp Resp, err error) {
	step, err := u.Begin(d.config.Limits, r)
	if err != nil {
		return resp, err
	}
	// A client may make requests and reset them at once, as fast as it can send. What each costs is then a goroutine, and little more.
	if err := gone(ctx, step.Way); err != nil {
		return resp, err
	}
	o := call.Outcome{Limits: d.config.Limits}
	switch step.Way {
	case call.Locally:
		o.View = d.backend.View()
	case call.Linearized:
		if o.View, err = d.linearize(ctx); err == nil && step.Ends {
			if o.Ends, err = d.leaseEnds(ctx); err != nil {
				o.View.Release()
			}
		}
	case call.Proposed:
		o.Applied, err = d.propose(ctx, step.Request)
	case call.Renewed, call.Timed:
		err = d.askLeader(ctx, &step, &o)
	}
	if err != nil {
		return resp, err
	}
	if o.View != nil {
		defer o.View.Release()
		// Reading it is most of the work of a range. Where nobody waits for the answer any more, others' requests do.
		if err := ctx.Err(); err != nil {
			return resp, err
		}
	}
	o.Status = d.backend.Status()
	return u.Finish(r, o)
}

// gone is why nobody waits for an answer any more; nil: somebody does.
func gone(ctx context.Context, way call.Way) error {
	err := ctx.Err()
	if way == call.Proposed {
		return proposeError(err)
	}
	return err
}

// askLeader has the leader renew a lease or say how long it has to live.
func (d *Door) askLeader(ctx context.Context, step *call.Step, o *call.Outcome) (err error) {
	if d.backend.Status().Learner {
		return rpctypes.ErrGRPCNotSupportedForLearner
	}
	before := d.backend.View()
	o.Revision = before.Revision()
	before.Release()
	if step.Way == call.Renewed {
		o.TTL, err = d.backend.Renew(ctx, step.Lease)
		return err
	}
	if o.Lease, err = d.backend.TimeToLive(ctx, step.Lease); err == nil && step.View {
		o.View, err = d.linearize(ctx)
	}
	return err
}

// leaseEnds asks the member, in a turn, when leases end.
func (d *Door) leaseEnds(ctx context.Context) ([]lessor.End, error) {
	var ends []lessor.End // not touched after an error: the turn may come later
	err := d.backend.Begin(ctx, func(m call.Member, done func()) func() {
		ends = m.LeaseEnds()
		done()
		return nil
	})
	if err != nil {
		return nil, waitError(err)
	}
	return ends, nil
}

// linearize returns a view that holds all that was acknowledged.
func (d *Door) linearize(ctx context.Context) (*statemachine.View, error) {
	if d.backend.Status().Learner {
		return nil, rpctypes.ErrGRPCNotSupportedForLearner
	}
	return d.backend.Linearize(ctx)
}

// propose puts a request into the log, if there is room for what it stores.
func (d *Door) propose(ctx context.Context, r *pb.InternalRaftRequest) (node.Applied, error) {
	status := d.backend.Status()
	if status.Learner {
		return node.Applied{}, rpctypes.ErrGRPCNotSupportedForLearner
	}
	view := d.backend.View()
	raise := call.OverQuota(d.config.Limits, r, view, status.ID)
	view.Release()
	if raise != nil {
		d.log.Warn("the space quota is used up; raising the alarm", zap.Int64("quota", d.config.Limits.QuotaBytes))
		if _, err := d.backend.Propose(ctx, raise); err != nil {
			d.log.Warn("failed to raise the alarm", zap.Error(err))
		}
		return node.Applied{}, rpctypes.ErrGRPCNoSpace
	}
	a, err := d.backend.Propose(ctx, r)
	return a, proposeError(err)
}

// proposeError maps the end of a client's patience to the errors that etcd has for a proposal whose outcome is unknown.
func proposeError(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return rpctypes.ErrGRPCCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return rpctypes.ErrGRPCTimeout
	}
	return err
}

// admit refuses a call before it begins: one that asks for a leader where there is none.
func (d *Door) admit(ctx context.Context) error {
	if requiresLeader(ctx) && d.backend.Status().Leader == 0 {
		return rpctypes.ErrGRPCNoLeader
	}
	return nil
}

// requiresLeader says that the client wants no answer from a member that knows of no leader.
func requiresLeader(ctx context.Context) bool {
	v := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataRequireLeaderKey)
	return len(v) > 0 && v[0] == rpctypes.MetadataHasLeader
}

// observed runs a unary call with all that is common to them: admission, counting, the warning of slow ones. The error is
// always one of gRPC's.
func (d *Door) observed(ctx context.Context, m *method, handle func(context.Context) (any, error)) (any, error) {
	start := time.Now()
	d.underWay.Add(1)
	defer d.underWay.Add(-1)
	m.started.Add(1)
	m.received.Add(1)
	d.traffic.clients.of(ctx).unary.Add(1)
	var resp any
	err := d.admit(ctx)
	if err == nil {
		resp, err = handle(ctx)
	}
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

// interceptUnary observes the calls of all services but KV, whose handlers do so themselves.
func (d *Door) interceptUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return d.observed(ctx, d.methods.byName[info.FullMethod], func(ctx context.Context) (any, error) { return handler(ctx, req) })
}

// interceptStream admits streams, counts them and their messages, and lets them be ended from this side.
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
	if err := ss.Context().Err(); err != nil { // as for unary calls, see gone
		return status.FromContextError(err).Err()
	}
	if err := d.admit(ss.Context()); err != nil {
		return err
	}
	if !m.about && d.backend.Status().Learner {
		return rpctypes.ErrGRPCNotSupportedForLearner
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
