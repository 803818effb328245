package door

import (
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/detcd/detcd/netio/door/doortest"
)

// TestServices_AllOfStockEtcdAreThere: whatever stock etcd registers is registered here, too, with every method, so that a client meets an
// answer about its request, never "unknown service".
func TestServices_AllOfStockEtcdAreThere(t *testing.T) {
	d, address := openedDoor(t, doortest.NewSingle(), nil)
	defer d.Close(doortest.Bounded(t))
	served := d.services.Methods()
	conn := doortest.Dial(t, address).ActiveConnection()
	seen := 0
	for _, file := range []protoreflect.FileDescriptor{
		pb.File_rpc_proto, v3lockpb.File_v3lock_proto, v3electionpb.File_v3election_proto, healthpb.File_grpc_health_v1_health_proto,
	} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			methods := map[string]grpc.MethodInfo{}
			for _, m := range served[string(service.FullName())].Methods {
				methods[m.Name] = m
			}
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				seen++
				name := string(m.Name())
				info, there := methods[name]
				if !there || info.IsClientStream != m.IsStreamingClient() || info.IsServerStream != m.IsStreamingServer() {
					t.Errorf("%s/%s: served: %v, %+v", service.FullName(), name, there, info)
				}
				if m.IsStreamingClient() || m.IsStreamingServer() || name == "Lock" || name == "Campaign" {
					continue // it may wait for ever
				}
				err := conn.Invoke(doortest.Bounded(t), "/"+string(service.FullName())+"/"+name, &emptypb.Empty{}, &emptypb.Empty{})
				if s := status.Convert(err); s.Code() == codes.Unimplemented && strings.HasPrefix(s.Message(), "unknown") {
					t.Errorf("%s/%s: %v", service.FullName(), name, err)
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d methods were looked at", seen)
	}
}
