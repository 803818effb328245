package services

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/detcd/detcd/node/call"
)

// opened is the services of b on the loopback interface, until the test ends.
func opened(t testing.TB, b Backend, change func(*Config)) (address string) {
	t.Helper()
	srv, address := openedServer(t, b, change)
	t.Cleanup(func() {
		if err := closed(srv, context.Background()); err != nil {
			t.Error(err)
		}
	})
	return address
}

// openedServer is one that the test closes.
func openedServer(t testing.TB, b Backend, change func(*Config)) (*Server, string) {
	t.Helper()
	c := Config{
		Limits: call.DefaultLimits(), MaxConcurrentStreams: 1<<32 - 1, KeepAliveMinTime: 5 * time.Second,
		Registry: prometheus.NewRegistry(), Logger: zap.NewNop(),
	}
	if change != nil {
		change(&c)
	}
	srv := New(c, b)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	srv.Ready()
	return srv, l.Addr().String()
}

// closed closes services as a door does. Clients that take nothing more are cut off after a moment.
func closed(srv *Server, ctx context.Context) error {
	srv.EndStreams()
	patient, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if !srv.Close(patient) {
		return patient.Err()
	}
	return nil
}
