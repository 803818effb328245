package door

import (
	"bytes"
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/detcd/detcd/node/call"
)

// passage records which calls passed the gate.
type passage struct {
	mu   sync.Mutex
	seen map[string]bool
}

// recording puts a record at the gate of a door that nobody has called yet.
func recording(d *Door) *passage {
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
		Methods: []grpc.MethodDesc{handled("/test.Rogue/Unary", func(context.Context, *Door, *pb.AuthStatusRequest) (any, error) {
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

// route is a path of the gateway, and the method that it stands for.
type route struct {
	path   string
	method protoreflect.MethodDescriptor
}

// routes are those of the protocol files, which the gateway's handlers are made from.
func routes(t *testing.T) (all []route) {
	t.Helper()
	for _, file := range []protoreflect.FileDescriptor{pb.File_rpc_proto, v3lockpb.File_v3lock_proto, v3electionpb.File_v3election_proto} {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				rule, _ := proto.GetExtension(methods.Get(j).Options(), annotations.E_Http).(*annotations.HttpRule)
				if rule == nil {
					continue
				}
				for _, r := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
					if r.GetPost() == "" || r.GetBody() != "*" {
						t.Errorf("%s has a rule that this test does not know: %v", methods.Get(j).FullName(), r)
					}
					all = append(all, route{r.GetPost(), methods.Get(j)})
				}
			}
		}
	}
	return all
}

// Every route of the JSON gateway leads to a method that passes the gate.
func TestGate_EveryRouteOfTheGatewayPassesIt(t *testing.T) {
	d, conn, ctx := situated(t, "well")
	seen := recording(d)
	address := conn.Target()
	all := routes(t)
	for _, r := range all {
		full := "/" + string(r.method.Parent().FullName()) + "/" + string(r.method.Name())
		seen.forget()
		body, err := protojson.Marshal(sampleRequests[string(r.method.Name())])
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(ctx)
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+r.path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatalf("%s: %v", r.path, err)
		}
		if !seen.passed(full) {
			t.Errorf("POST %s is answered %s, and %s does not pass the gate", r.path, resp.Status, full)
		}
		cancel()
		resp.Body.Close()
	}
	// As many as the gateway has: none was left out.
	if n := gatewayRoutes(t, conn); n != len(all) || n < 50 {
		t.Errorf("%d routes were called, and the gateway has %d", len(all), n)
	}
}

// gatewayRoutes counts what the gateway's handlers register.
func gatewayRoutes(t *testing.T, conn *grpc.ClientConn) (n int) {
	t.Helper()
	mux := runtime.NewServeMux()
	for _, register := range gatewayHandlers {
		if err := register(t.Context(), mux, conn); err != nil {
			t.Fatal(err)
		}
	}
	handlers := reflect.ValueOf(mux).Elem().FieldByName("handlers")
	for _, method := range handlers.MapKeys() {
		if !strings.EqualFold(method.String(), http.MethodPost) {
			t.Errorf("a route with the method %s: this test knows POST", method)
		}
		n += handlers.MapIndex(method).Len()
	}
	return n
}
