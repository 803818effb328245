// Package door is where clients come in: it joins the packages services (gRPC), web (HTTP) and listen (the sockets), and opens and closes them together. How a port
// is shared between gRPC and HTTP is listen's; what a call means is node/call's.
//
// Concurrency: all methods of a Door may be called by any goroutine.
package door

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/detcd/detcd/netio/door/listen"
	"github.com/detcd/detcd/netio/door/services"
	"github.com/detcd/detcd/netio/door/web"
	"github.com/detcd/detcd/netio/logging"
	"github.com/detcd/detcd/node/call"
)

// Backend is the member behind the doors.
type Backend = services.Backend

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
	log      *zap.Logger
	services *services.Server
	web      *web.Server
	// pipe leads the gateway to the services.
	pipe *listen.Queue
	// rejected thins out the lines about connections that fail.
	rejected *logging.Rarely

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
	d := &Door{log: c.Logger, pipe: listen.NewPipe(), rejected: logging.NewRarely(rejectedPause)}
	d.services = services.New(services.Config{
		Limits: c.Limits, MaxConcurrentStreams: c.MaxConcurrentStreams,
		KeepAliveMinTime: c.KeepAliveMinTime, KeepAliveInterval: c.KeepAliveInterval, KeepAliveTimeout: c.KeepAliveTimeout,
		WarnUnaryDuration: c.WarnUnaryDuration, WatchProgressInterval: c.WatchProgressInterval, ElectionTimeout: c.ElectionTimeout,
		ExtensiveMetrics: c.ExtensiveMetrics, Registry: c.Registry, Logger: c.Logger,
	}, b)
	var err error
	d.web, err = web.New(web.Config{
		MessageBytes: services.MessageBytes(c.Limits), HealthTimeout: c.HealthTimeout, Gateway: c.Gateway, Profiles: c.Profiles,
		CORS: c.CORS, HostWhitelist: c.HostWhitelist, Registry: c.Registry, Logger: c.Logger,
	}, b, inside{d.services, d.pipe})
	if err != nil {
		return nil, err
	}
	d.serving.Go(func() { _ = d.services.Serve(d.pipe) })
	return d, nil
}

// inside is the services as the gateway reaches them, within the process.
type inside struct {
	*services.Server
	pipe *listen.Queue
}

// Dial implements web.GRPC.
func (i inside) Dial(ctx context.Context) (net.Conn, error) { return i.pipe.Dial(ctx) }

// Serve answers what comes in on l, until Close. With a TLS configuration connections are secured; with plain and that, both kinds are
// welcome. It does not block.
func (d *Door) Serve(l net.Listener, config *tls.Config, plain bool, t Traffic) {
	s := listen.NewSplitter(l, config, plain, d.noteRejected)
	d.mu.Lock()
	d.splitters = append(d.splitters, s)
	d.mu.Unlock()
	if t == All || t == GRPC {
		d.serving.Go(func() { _ = d.services.Serve(s.GRPC) })
	} else {
		s.GRPC.Close()
	}
	switch t {
	case All, HTTP:
		d.serving.Go(func() { _ = d.web.Serve(s.HTTP) })
	case Metrics:
		d.serving.Go(func() { _ = d.web.ServeMetrics(s.HTTP) })
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
	d.web.Ready()
	d.services.Ready()
}
