package services

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/detcd/detcd/netio/door/doortest"
)

// sampleRequests are requests that nothing is wrong with, for the methods that take more than an empty one.
var sampleRequests = map[string]proto.Message{
	"Range":               &pb.RangeRequest{Key: []byte("k")},
	"RangeStream":         &pb.RangeRequest{Key: []byte("k"), Serializable: true},
	"Put":                 &pb.PutRequest{Key: []byte("k")},
	"DeleteRange":         &pb.DeleteRangeRequest{Key: []byte("k")},
	"Txn":                 &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k")}}}}},
	"Compact":             &pb.CompactionRequest{Revision: 1},
	"Watch":               &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k")}}},
	"LeaseGrant":          &pb.LeaseGrantRequest{ID: 77, TTL: 60},
	"LeaseRevoke":         &pb.LeaseRevokeRequest{ID: 77},
	"LeaseKeepAlive":      &pb.LeaseKeepAliveRequest{ID: 7},
	"LeaseTimeToLive":     &pb.LeaseTimeToLiveRequest{ID: 7, Keys: true},
	"MemberList":          &pb.MemberListRequest{Linearizable: true},
	"UserAdd":             &pb.AuthUserAddRequest{Name: "u"},
	"RoleAdd":             &pb.AuthRoleAddRequest{Name: "r"},
	"Lock":                &v3lockpb.LockRequest{Name: []byte("l")},
	"Unlock":              &v3lockpb.UnlockRequest{Key: []byte("l/1")},
	"Campaign":            &v3electionpb.CampaignRequest{Name: []byte("c"), Lease: 7},
	"Proclaim":            &v3electionpb.ProclaimRequest{Leader: &v3electionpb.LeaderKey{Key: []byte("e/7"), Rev: 2, Lease: 7}},
	"Resign":              &v3electionpb.ResignRequest{Leader: &v3electionpb.LeaderKey{Key: []byte("other/7"), Rev: 2, Lease: 7}},
	"Leader":              &v3electionpb.LeaderRequest{Name: []byte("e")},
	"Observe":             &v3electionpb.LeaderRequest{Name: []byte("e")},
	"RoleGrantPermission": &pb.AuthRoleGrantPermissionRequest{Name: "r"},
}

// localRequests are those of methods that can also be answered from what the member itself knows.
var localRequests = map[string]proto.Message{
	"Range": &pb.RangeRequest{Key: []byte("k"), Serializable: true},
	"Txn": &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{
		Key: []byte("k"), Serializable: true}}}}},
	"MemberList": &pb.MemberListRequest{},
}

// apart are the services that are not the API's, and do not pass the gate: they tell of this server, not of what it stores, and must answer whatever state
// the member is in. grpc.health is what load balancers ask; grpc.reflection lists the services.
func apart(service string) bool {
	return strings.HasPrefix(service, "grpc.health.") || strings.HasPrefix(service, "grpc.reflection.")
}

// apiMethod is one method that is served.
type apiMethod struct {
	service, name  string
	client, server bool // streams
}

func (m apiMethod) full() string { return "/" + m.service + "/" + m.name }

// apiMethods are all methods that are registered, in order.
func apiMethods(s *grpc.Server) (all []apiMethod) {
	for service, info := range s.GetServiceInfo() {
		if apart(service) {
			continue
		}
		for _, m := range info.Methods {
			all = append(all, apiMethod{service, m.Name, m.IsClientStream, m.IsServerStream})
		}
	}
	slices.SortFunc(all, func(a, b apiMethod) int { return strings.Compare(a.full(), b.full()) })
	return all
}

// ask makes one call, and returns its first answer's error.
func (m apiMethod) ask(ctx context.Context, conn *grpc.ClientConn, request proto.Message) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if request == nil {
		request = &emptypb.Empty{}
	}
	if !m.client && !m.server {
		return conn.Invoke(ctx, m.full(), request, &emptypb.Empty{})
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: m.client, ServerStreams: m.server}, m.full())
	if err != nil {
		return err
	}
	if err := stream.SendMsg(request); err != nil && err != io.EOF {
		return err
	}
	return stream.RecvMsg(&emptypb.Empty{})
}

// bare is a connection without the habits of etcd's client library.
func bare(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// situated is a member of its own, in one of the situations of testdata/answers.txt, behind a door.
func situated(t *testing.T, situation string) (*Server, *grpc.ClientConn, context.Context) {
	t.Helper()
	b := doortest.NewSingle()
	b.Grant(7)
	b.Apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("e/7"), Lease: 7}})
	ctx := doortest.Bounded(t)
	switch situation {
	case "learner":
		b.State.Learner = true
	case "no leader":
		b.State.Leader = 0
		ctx = metadata.AppendToOutgoingContext(ctx, rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
	case "stopping":
		b.Stopped = true
	}
	d, address := openedServer(t, b, nil)
	t.Cleanup(func() { closed(d, context.Background()) })
	return d, bare(t, address), ctx
}

var rewrite = flag.Bool("rewrite", false, "record anew what each method answers")

const answersFile = "testdata/answers.txt"

// TestAnswers_OfAMemberThatCanNotDoAll compares what each method answers at a learner, at a member without a leader when the client requires one, and at a
// member that is stopping, with a recording. A line is a method, and what it answers; "(local)" is a request that asks for no more than what the member
// itself knows. -rewrite records anew: read the difference.
func TestAnswers_OfAMemberThatCanNotDoAll(t *testing.T) {
	was, err := os.ReadFile(answersFile)
	if err != nil && !*rewrite {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(was)) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		out.WriteString(line)
	}
	for _, situation := range []string{"learner", "no leader", "stopping"} {
		fmt.Fprintf(&out, "\n== %s\n", situation)
		d, _, _ := situated(t, situation)
		for _, m := range apiMethods(d.grpc) {
			_, conn, ctx := situated(t, situation)
			say := func(form string, request proto.Message) {
				answer := "answered"
				if err := m.ask(ctx, conn, request); err != nil {
					answer = fmt.Sprintf("%s: %s", status.Code(err), status.Convert(err).Message())
				}
				fmt.Fprintf(&out, "%-50s %s\n", m.full()+form, answer)
			}
			say("", sampleRequests[m.name])
			if local, ok := localRequests[m.name]; ok {
				say(" (local)", local)
			}
		}
	}
	if *rewrite {
		if err := os.WriteFile(answersFile, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := strings.Split(string(was), "\n")
	for i, line := range strings.Split(out.String(), "\n") {
		if i >= len(want) || line != want[i] {
			t.Errorf("line %d is now\n     %s\nand was recorded as\n     %s", i+1, line, append(want, make([]string, i+1)...)[i])
		}
	}
}
