// Package services is the gRPC services of the etcd API: a table of methods (services.go), how their calls get through the gate of node/call (carry.go), and the
// streams, which move messages between a client and its member. Messages are encoded by package wire.
//
// It decides nothing about a call: what is validated, who may do what, and which way a call goes is node/call's. Beside the calls it counts them, warns of
// slow ones, and ends streams when the doors close or there is no leader for too long.
//
// Concurrency: every request has a goroutine of its own; all methods of a Server may be called by any goroutine. Metrics on the hot path are plain atomics.
package services

import (
	"context"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/detcd/detcd/netio/door/wire"
	"github.com/detcd/detcd/netio/logging"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/node/watch"
)

// Backend is the member behind the services. Any goroutine may call it; views come pinned, and the caller releases them.
type Backend interface {
	// Local and Port do not block. Port is how watchers hear of events.
	call.Local
	watch.Port
	// Wait waits for what a call needs. Its errors are the member's, and ctx's: then the outcome is unknown.
	Wait(context.Context, call.Need) call.Result
	// Turn has fn run in one of the member's next turns, without waiting for it. False: the member has ended.
	Turn(fn func(m call.Replica)) bool
	// Begin has begin run in one of the member's turns and waits until it calls done, in that turn or a later one. When ctx ends first, what
	// begin returned is called in a turn, and Begin returns at once.
	Begin(ctx context.Context, begin func(m call.Replica, done func()) (cancel func())) error
}

// Config is what the services are told.
type Config struct {
	Limits call.Limits
	// MaxConcurrentStreams is streams on one connection.
	MaxConcurrentStreams uint32
	// Keep-alive as gRPC names it; an interval or time-out of 0 leaves that to the library.
	KeepAliveMinTime, KeepAliveInterval, KeepAliveTimeout time.Duration
	// WarnUnaryDuration is how long a request may take before it is logged; 0: none is.
	WarnUnaryDuration time.Duration
	// WatchProgressInterval is how often a watcher that asked for it, and saw nothing, is told how far it is (default 10 min, etcd's).
	WatchProgressInterval time.Duration
	// ElectionTimeout is the member's (default 1 s).
	ElectionTimeout time.Duration
	// ExtensiveMetrics has histograms of request times.
	ExtensiveMetrics bool
	// Registry takes what the services measure.
	Registry *prometheus.Registry
	// Logger takes their log lines.
	Logger *zap.Logger
}

// Server is the services of one member.
type Server struct {
	config  Config
	gate    *call.Gate
	backend Backend
	log     *zap.Logger
	slow    slowLog
	codec   *wire.Codec
	methods *methods
	traffic traffic
	// timedRange is how a range is carried out.
	timedRange call.Unary[*pb.RangeRequest, call.RangeAnswer]

	grpc   *grpc.Server
	health *health.Server

	streams streams
	// underWay counts the requests that are being answered; streams that would go on for ever do not count.
	underWay atomic.Int64
	// end ends what watches the leader.
	end     context.CancelFunc
	running sync.WaitGroup
}

// New makes services that nobody reaches yet: see Serve and Ready.
func New(c Config, b Backend) *Server {
	if c.ElectionTimeout == 0 {
		c.ElectionTimeout = defaultElectionTimeout
	}
	if c.WatchProgressInterval == 0 {
		c.WatchProgressInterval = defaultProgressInterval
	}
	srv := &Server{config: c, backend: b, log: c.Logger, codec: wire.NewCodec(), methods: newMethods(c.ExtensiveMetrics)}
	srv.gate = &call.Gate{Limits: c.Limits, Log: logging.NewPort(c.Logger)}
	srv.slow.log = c.Logger
	srv.grpc = srv.newGRPC()
	srv.methods.add(srv.grpc)
	srv.traffic.init()
	srv.timedRange = newTimedRange(&srv.traffic)
	srv.register(c.Registry)
	ctx, end := context.WithCancel(context.Background())
	srv.end = end
	srv.running.Go(func() { srv.watchLeader(ctx) })
	return srv
}

// Gate is what all calls pass.
func (srv *Server) Gate() *call.Gate { return srv.gate }

// Methods tells which methods are served, by service.
func (srv *Server) Methods() map[string]grpc.ServiceInfo { return srv.grpc.GetServiceInfo() }

// MessageBytes bounds a message of a client.
func MessageBytes(l call.Limits) int { return l.MaxRequestBytes + requestOverhead }

// Serve answers what comes in on l, until Close. It blocks.
func (srv *Server) Serve(l net.Listener) error { return srv.grpc.Serve(l) }

// ServeHTTP implements http.Handler, for connections that carry more than gRPC. Serve is much faster.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { srv.grpc.ServeHTTP(w, r) }

// Ready has gRPC's health checks say that the member serves clients.
func (srv *Server) Ready() { srv.health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING) }

// UnderWay is the number of requests that are being answered.
func (srv *Server) UnderWay() int64 { return srv.underWay.Load() }

// EndStreams ends the streams that would go on for ever, and those that come later. It is the first part of Close.
func (srv *Server) EndStreams() {
	srv.health.Shutdown()
	srv.end()
	srv.streams.stop()
}

// Close ends the services, after EndStreams. Requests under way may finish until ctx is done; what is left then is cut off, and the answer is false.
func (srv *Server) Close(ctx context.Context) (finished bool) {
	stopped := make(chan struct{})
	go func() {
		srv.grpc.GracefulStop()
		close(stopped)
	}()
	finished = true
	select {
	case <-stopped:
	case <-ctx.Done():
		finished = srv.underWay.Load() == 0
		srv.grpc.Stop()
		<-stopped
	}
	srv.running.Wait()
	srv.slow.sum()
	return finished
}

const (
	// requestOverhead is what a gRPC message may be larger than the request limit, as in etcd: so that a request that is
	// a little too large gets etcd's own error.
	requestOverhead = 512 << 10
	// Buffers of a connection: one read or write call moves many small requests.
	readBuffer, writeBuffer = 64 << 10, 64 << 10
)

// newGRPC makes the gRPC server with all services.
func (srv *Server) newGRPC() *grpc.Server {
	c := &srv.config
	keepAlive := keepalive.ServerParameters{}
	if c.KeepAliveInterval > 0 {
		keepAlive.Time = c.KeepAliveInterval
	}
	if c.KeepAliveTimeout > 0 {
		keepAlive.Timeout = c.KeepAliveTimeout
	}
	s := grpc.NewServer(
		grpc.Creds(handshaken{}),
		grpc.ForceServerCodecV2(srv.codec),
		grpc.MaxRecvMsgSize(c.Limits.MaxRequestBytes+requestOverhead),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(c.MaxConcurrentStreams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: c.KeepAliveMinTime}),
		grpc.KeepaliveParams(keepAlive),
		grpc.ReadBufferSize(readBuffer),
		grpc.WriteBufferSize(writeBuffer),
		grpc.UnaryInterceptor(srv.interceptUnary),
		grpc.StreamInterceptor(srv.interceptStream),
	)
	for i := range api {
		s.RegisterService(&api[i], srv)
	}
	srv.health = health.NewServer()
	srv.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(s, srv.health)
	reflection.Register(s)
	return s
}
