// Package door is where clients come in: the gRPC services of the etcd API, and on the same port HTTP with the API as JSON, health,
// version and metrics. A handler converts, waits and hands on; what a call means is node/call's business, and the rest of the
// member's is behind Backend.
//
// Concurrency: every request has a goroutine of its own; all methods of a Door may be called by any goroutine. Metrics
// on the hot path are plain atomics.
package door

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
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

	"github.com/detcd/detcd/netio/door/listen"
	"github.com/detcd/detcd/netio/logging"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/node/watch"
)

// Backend is the member behind the doors. Any goroutine may call it; views come pinned, and the caller releases them.
type Backend interface {
	// Local and Port do not block. Port is how watchers hear of events.
	call.Local
	watch.Port
	// Wait waits for what a call needs. Its errors are the member's, and ctx's: then the outcome is unknown.
	Wait(context.Context, call.Need) call.Result
	// Turn has fn run in one of the member's next turns, without waiting for it. False: the member has ended.
	Turn(fn func(m call.Member)) bool
	// Begin has begin run in one of the member's turns and waits until it calls done, in that turn or a later one. When ctx ends first, what
	// begin returned is called in a turn, and Begin returns at once.
	Begin(ctx context.Context, begin func(m call.Member, done func()) (cancel func())) error
}

// Config is what the doors are told.
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
	// HealthTimeout bounds the read that /health makes (default 7 s, etcd's).
	HealthTimeout time.Duration
	// Gateway serves the API as JSON; Profiles Go's profiles; ExtensiveMetrics histograms of request times.
	Gateway, Profiles, ExtensiveMetrics bool
	// CORS and HostWhitelist: empty or holding "*" means all.
	CORS, HostWhitelist []string
	// Registry is what /metrics shows; the doors add their own. Nil: one with theirs alone.
	Registry *prometheus.Registry
	// Logger takes the doors' log lines; nil: none.
	Logger *zap.Logger
}

// Traffic is what a listener is open for.
type Traffic uint8

// Kinds of traffic.
const (
	// All is gRPC and HTTP.
	All Traffic = iota
	// GRPC is gRPC alone.
	GRPC
	// HTTP is HTTP alone.
	HTTP
	// Metrics is /metrics and the health checks alone.
	Metrics
)

// Door serves clients of one member.
type Door struct {
	config  Config
	gate    *call.Gate
	backend Backend
	log     *zap.Logger
	slow    slowLog
	codec   *codec
	methods *methods
	traffic traffic
	// timedRange is how a range is carried out.
	timedRange call.Unary[*pb.RangeRequest, call.RangeAnswer]
	registry   *prometheus.Registry

	grpc   *grpc.Server
	health *health.Server
	// pipe leads the gateway to the gRPC server.
	pipe    *listen.Queue
	gateway *grpc.ClientConn
	http    *http.Server
	metrics *http.Server

	// rejected thins out the lines about connections that fail.
	rejected *logging.Rarely

	// ready: the member serves clients, and not only its health checks.
	ready              atomic.Bool
	healthy, unhealthy atomic.Uint64
	checks             *prometheus.GaugeVec
	checkTotal         *prometheus.CounterVec

	streams streams
	// underWay counts the requests that are being answered; streams that would go on for ever do not count.
	underWay atomic.Int64
	// closing ends with the doors.
	closing context.Context
	close   context.CancelFunc

	mu        sync.Mutex
	splitters []*listen.Splitter
	serving   sync.WaitGroup
}

// New makes doors that are closed: see Serve and Ready.
func New(c Config, b Backend) (*Door, error) {
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.HealthTimeout == 0 {
		c.HealthTimeout = 7 * time.Second
	}
	if c.ElectionTimeout == 0 {
		c.ElectionTimeout = defaultElectionTimeout
	}
	if c.WatchProgressInterval == 0 {
		c.WatchProgressInterval = defaultProgressInterval
	}
	gate := &call.Gate{Limits: c.Limits, Log: logging.NewPort(c.Logger)}
	d := &Door{config: c, gate: gate, backend: b, log: c.Logger, codec: newCodec(), methods: newMethods(c.ExtensiveMetrics), registry: c.Registry, pipe: listen.NewPipe(),
		rejected: logging.NewRarely(rejectedPause)}
	d.slow.log = c.Logger
	d.checks, d.checkTotal = newCheckMetrics()
	d.grpc = d.newGRPC()
	d.methods.add(d.grpc)
	d.traffic.init()
	d.timedRange = newTimedRange(&d.traffic)
	d.register(c.Registry)
	main, err := d.newHTTP()
	if err != nil {
		return nil, err
	}
	d.http = newHTTPServer(main)
	d.metrics = newHTTPServer(d.newMetricsHTTP())
	d.closing, d.close = context.WithCancel(context.Background())
	d.serving.Go(func() { _ = d.grpc.Serve(d.pipe) })
	d.serving.Go(func() { d.watchLeader(d.closing) })
	return d, nil
}

// Serve answers what comes in on l, until Close. With a TLS configuration connections are secured; with plain and that, both kinds are
// welcome. It does not block.
func (d *Door) Serve(l net.Listener, config *tls.Config, plain bool, t Traffic) {
	s := listen.NewSplitter(l, config, plain, d.noteRejected)
	d.mu.Lock()
	d.splitters = append(d.splitters, s)
	d.mu.Unlock()
	if t == All || t == GRPC {
		d.serving.Go(func() { _ = d.grpc.Serve(s.GRPC) })
	} else {
		s.GRPC.Close()
	}
	switch t {
	case All, HTTP:
		d.serving.Go(func() { _ = d.http.Serve(s.HTTP) })
	case Metrics:
		d.serving.Go(func() { _ = d.metrics.Serve(s.HTTP) })
	case GRPC:
		s.HTTP.Close()
	}
	d.serving.Go(func() {
		if err := s.Serve(); err != nil && err != net.ErrClosed {
			d.log.Warn("stopped accepting clients", zap.String("address", l.Addr().String()), zap.Error(err))
		}
	})
}

// rejectedPause is how often a line may say the same of one host's connections.
const rejectedPause = time.Second

// noteRejected logs a TLS handshake that failed, in etcd's words. Who comes and goes without a word only looks whether the port is open.
func (d *Door) noteRejected(r listen.Rejection) {
	fields := []zap.Field{zap.String("remote-addr", r.Conn.RemoteAddr().String()), zap.String("server-name", ""), zap.Error(r.Err)}
	if r.TLS == nil || errors.Is(r.Err, io.EOF) {
		d.log.Debug("rejected connection on client endpoint", fields...)
		return
	}
	leftOut, ok := d.rejected.AllowFailure(r.Conn, r.Err)
	if !ok {
		return
	}
	fields[1] = zap.String("server-name", logging.Clip(r.TLS.ConnectionState().ServerName))
	if leftOut > 0 {
		fields = append(fields, zap.Int("left-out", leftOut))
	}
	d.log.Warn("rejected connection on client endpoint", fields...)
}

// Ready has health checks say that the member serves clients.
func (d *Door) Ready() {
	d.ready.Store(true)
	d.health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
}
