package services

import (
	"context"
	"slices"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/detcd/detcd/node/call"
)

// passage records which calls passed the gate.
type passage struct {
	mu   sync.Mutex
	seen map[string]bool
}

// recording puts a record at the gate of a door that nobody has called yet.
func recording(d *Server) *passage {
	p := &passage{seen: map[string]bool{}}
	d.gate.Entered = func(_ call.Caller, method string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.seen[method] = true
	}
	return p
}

func (p *passage) passed(method string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[method]
}

func (p *passage) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.seen)
}

// roundTheGate calls every method that is registered and is not apart, and returns those that did not pass the gate.
func roundTheGate(t *testing.T) (round []string, asked int) {
	t.Helper()
	d, conn, ctx := situated(t, "well")
	seen := recording(d)
	for _, m := range apiMethods(d.grpc) {
		asked++
		seen.forget()
		_ = m.ask(ctx, conn, sampleRequests[m.name])
		if !seen.passed(m.full()) {
			round = append(round, m.full())
		}
	}
	return round, asked
}

// Every method of every registered service passes the gate. Only the services that apart names do not.
func TestGate_EveryMethodPassesIt(t *testing.T) {
	round, asked := roundTheGate(t)
	for _, m := range round {
		t.Errorf("%s does not pass the gate: make it a line in services.go, of a call in node/call", m)
	}
	if asked < 45 {
		t.Errorf("only %d methods were called", asked)
	}
}

// A test that can't fail is none: a service that goes round the gate is found.
func TestGate_WhatGoesRoundItIsFound(t *testing.T) {
	defer func(was []grpc.ServiceDesc) { api = was }(api)
	api = append(slices.Clip(api), grpc.ServiceDesc{
		ServiceName: "test.Rogue", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{handled("/test.Rogue/Unary", func(context.Context, *Server, *pb.AuthStatusRequest) (any, error) {
			return &pb.AuthStatusResponse{}, nil
		})},
		Streams: []grpc.StreamDesc{{StreamName: "Stream", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			return s.SendMsg(&pb.AuthStatusResponse{})
		}}},
	})
	if round, _ := roundTheGate(t); !slices.Equal(round, []string{"/test.Rogue/Stream", "/test.Rogue/Unary"}) {
		t.Errorf("found %v", round)
	}
}
