// Package web is what comes in over HTTP: the API as JSON (the gateway, also over websockets), health checks, the version, metrics, and pages for debugging.
//
// The gateway turns requests into gRPC calls on a connection within the process, so what a call means, and whether it is answered, is decided by the services alone.
// Health checks are no calls of the API: they ask the member itself.
//
// Concurrency: every request has a goroutine of its own; all methods of a Server may be called by any goroutine.
package web

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/detcd/detcd/node/call"
)

// Checked is the member whose health and version are asked. Any goroutine may call it.
type Checked interface {
	call.Local
	// Wait waits for what a call needs.
	Wait(context.Context, call.Need) call.Result
}

// Config is what the pages are told.
type Config struct {
	// MessageBytes bounds a message of a client, as gRPC does.
	MessageBytes int
	// HealthTimeout bounds the read that /health makes.
	HealthTimeout time.Duration
	// Gateway serves the API as JSON; Profiles Go's profiles.
	Gateway, Profiles bool
	// CORS and HostWhitelist: empty or holding "*" means all.
	CORS, HostWhitelist []string
	// Registry is what /metrics shows; the health checks add their own.
	Registry *prometheus.Registry
	// Logger takes log lines.
	Logger *zap.Logger
}

// GRPC is the services behind the gateway.
type GRPC interface {
	// Handler serves gRPC requests that came as HTTP ones.
	http.Handler
	// Dial opens a connection to the services.
	Dial(context.Context) (net.Conn, error)
}

// Server serves HTTP for one member.
type Server struct {
	config  Config
	member  Checked
	log     *zap.Logger
	grpc    GRPC
	gateway *grpc.ClientConn // nil where there is none
	main    *http.Server     // of the client port
	metrics *http.Server     // of --listen-metrics-urls

	// ready: the member serves clients, and not only its health checks.
	ready              atomic.Bool
	healthy, unhealthy atomic.Uint64
	checks             *prometheus.GaugeVec
	checkTotal         *prometheus.CounterVec

	// ending ends when the doors close: the websockets are told.
	ending context.Context
	end    context.CancelFunc
	// mu is held where a websocket is begun, so that Close knows of all.
	mu      sync.Mutex
	sockets sync.WaitGroup
}

// New makes a server that nobody reaches yet: see Serve, ServeMetrics and Ready.
func New(c Config, m Checked, g GRPC) (*Server, error) {
	s := &Server{config: c, member: m, log: c.Logger, grpc: g}
	s.ending, s.end = context.WithCancel(context.Background())
	s.checks, s.checkTotal = newCheckMetrics()
	c.Registry.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "etcd_server_health_success", Help: "The total number of successful health checks"},
			func() float64 { return float64(s.healthy.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "etcd_server_health_failures", Help: "The total number of failed health checks"},
			func() float64 { return float64(s.unhealthy.Load()) }),
		s.checks, s.checkTotal,
	)
	main, err := s.newMain()
	if err != nil {
		return nil, err
	}
	s.main, s.metrics = newHTTPServer(main), newHTTPServer(s.newMetrics())
	return s, nil
}

// Serve answers what comes in on l, until Close. It blocks.
func (s *Server) Serve(l net.Listener) error { return s.main.Serve(l) }

// ServeMetrics answers requests for metrics and health alone. It blocks.
func (s *Server) ServeMetrics(l net.Listener) error { return s.metrics.Serve(l) }

// Ready has health checks say that the member serves clients.
func (s *Server) Ready() { s.ready.Store(true) }

// End has websockets say their last words. It is the first part of Close.
func (s *Server) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
}

// Close lets requests under way finish until ctx is done, and cuts off the rest. The services must be there still: the gateway's requests need them.
func (s *Server) Close(ctx context.Context) {
	if s.main.Shutdown(ctx) != nil {
		_ = s.main.Close()
	}
	if s.metrics.Shutdown(ctx) != nil {
		_ = s.metrics.Close()
	}
	if s.gateway != nil {
		_ = s.gateway.Close()
	}
	s.sockets.Wait()
}
