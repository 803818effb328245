package door

import (
	"bytes"
	"context"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/detcd/detcd/netio/door/doortest"
	"github.com/detcd/detcd/netio/door/web"
	"github.com/detcd/detcd/node/call"
)

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
	d, address := openedDoor(t, doortest.NewSingle(), nil)
	defer d.Close(context.Background())
	var last atomic.Value
	last.Store("")
	d.services.Gate().Entered = func(_ call.Caller, method string) { last.Store(method) }
	all := routes(t)
	for _, r := range all {
		full := "/" + string(r.method.Parent().FullName()) + "/" + string(r.method.Name())
		last.Store("")
		ctx, cancel := context.WithCancel(doortest.Bounded(t))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			// Some streams say nothing until they are cancelled.
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+r.path, bytes.NewReader([]byte("{}")))
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := http.DefaultClient.Do(request); err == nil {
				resp.Body.Close()
			}
		}()
		doortest.Until(t, ctx, "POST "+r.path+" passes the gate as "+full, func() bool { return last.Load() != "" })
		cancel()
		<-ended
		if got := last.Load(); got != full && !strings.HasPrefix(full, "/v3") { // locks and elections make calls of their own on their way
			t.Errorf("POST %s passes the gate as %s, want %s", r.path, got, full)
		}
	}
	// As many as the gateway has: none was left out.
	if n := gatewayRoutes(t); n != len(all) || n < 50 {
		t.Errorf("%d routes were called, and the gateway has %d", len(all), n)
	}
}

// gatewayRoutes counts what the gateway's handlers register.
func gatewayRoutes(t *testing.T) (n int) {
	t.Helper()
	mux := runtime.NewServeMux()
	if err := web.RegisterRoutes(t.Context(), mux, nil); err != nil {
		t.Fatal(err)
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
