package door

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/netio/door/doortest"
)

func TestKV_WithEtcdsClient(t *testing.T) {
	ctx := context.Background()
	c := doortest.Dial(t, opened(t, doortest.NewSingle(), nil))
	for i := range 20 {
		if _, err := c.Put(ctx, fmt.Sprintf("k%02d", i), strings.Repeat("v", i*100)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.Get(ctx, "k", clientv3.WithPrefix(), clientv3.WithLimit(3))
	if err != nil || got.Count != 20 || len(got.Kvs) != 3 || !got.More || len(got.Kvs[2].Value) != 200 {
		t.Errorf("get: %v, error %v", got, err)
	}
	if h := got.Header; h.ClusterId != 7 || h.MemberId != 1 || h.RaftTerm != 2 || h.Revision != 21 {
		t.Errorf("header %v", h)
	}
	prev, err := c.Put(ctx, "k05", "new", clientv3.WithPrevKV())
	if err != nil || len(prev.PrevKv.Value) != 500 || prev.PrevKv.ModRevision != 7 {
		t.Errorf("put with prev-kv: %v, error %v", prev, err)
	}
	txn, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Version("k05"), "=", 2)).Then(clientv3.OpDelete("k05"), clientv3.OpGet("k06")).Commit()
	if err != nil || !txn.Succeeded || txn.Responses[0].GetResponseDeleteRange().GetDeleted() != 1 {
		t.Errorf("txn: %v, error %v", txn, err)
	}
	if _, err := c.Compact(ctx, 5); err != nil {
		t.Error(err)
	}
	if _, err := c.Get(ctx, "k00", clientv3.WithRev(4)); err != rpctypes.ErrCompacted {
		t.Errorf("get of a compacted revision: %v", err)
	}
	if _, err := c.Put(ctx, "", "v"); err != rpctypes.ErrEmptyKey {
		t.Errorf("put without a key: %v", err)
	}
}

func TestRangeStream_SumsUpToRange(t *testing.T) {
	b := doortest.NewSingle()
	for i := range 300 {
		b.Apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: fmt.Appendf(nil, "k%03d", i), Value: make([]byte, 100*i)}})
	}
	kv := pb.NewKVClient(doortest.Dial(t, opened(t, b, nil)).ActiveConnection())
	ctx := context.Background()
	for _, r := range []*pb.RangeRequest{
		{Key: []byte("k"), RangeEnd: []byte("l")},
		{Key: []byte("k"), RangeEnd: []byte("l"), Limit: 100, Revision: 250},
		{Key: []byte("k"), RangeEnd: []byte("l"), Limit: 16},
		{Key: []byte("k"), RangeEnd: []byte("l"), CountOnly: true},
		{Key: []byte("k"), RangeEnd: []byte("l"), KeysOnly: true, Serializable: true},
		{Key: []byte("k007")},
		{Key: []byte("none")},
		{Key: []byte("k"), RangeEnd: []byte("l"), SortTarget: pb.RangeRequest_VALUE, SortOrder: pb.RangeRequest_DESCEND},
		{Key: []byte("k"), RangeEnd: []byte("l"), SortTarget: pb.RangeRequest_MOD, Limit: 100, KeysOnly: true},
		{Key: []byte("k"), RangeEnd: []byte("l"), MinModRevision: 40, MaxCreateRevision: 290, Limit: 100},
	} {
		want, err := kv.Range(ctx, r, grpc.MaxCallRecvMsgSize(64<<20))
		if err != nil {
			t.Fatal(err)
		}
		stream, err := kv.RangeStream(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		got := &pb.RangeResponse{}
		for {
			part, err := stream.Recv()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%v: %v", r, err)
			}
			if got.Header != nil {
				t.Errorf("%v: a part came after the header", r)
			}
			proto.Merge(got, part.GetRangeResponse())
		}
		if !proto.Equal(got, want) {
			t.Errorf("%v: %d keys, count %d, more %v; want %d, %d, %v", r, len(got.Kvs), got.Count, got.More, len(want.Kvs), want.Count, want.More)
		}
	}
}

func TestRequireLeader(t *testing.T) {
	b := doortest.NewSingle()
	b.State.Leader = 0
	c := doortest.Dial(t, opened(t, b, nil))
	ctx := metadata.AppendToOutgoingContext(context.Background(), rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
	kv := pb.NewKVClient(c.ActiveConnection())
	_, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("k"), Serializable: true})
	if status.Convert(err).Message() != rpctypes.ErrorDesc(rpctypes.ErrGRPCNoLeader) || status.Code(err) != codes.Unavailable {
		t.Errorf("with hasleader: %v", err)
	}
	if _, err := kv.Range(context.Background(), &pb.RangeRequest{Key: []byte("k"), Serializable: true}); err != nil {
		t.Errorf("without: %v", err)
	}
	if s, err := c.Status(context.Background(), c.Endpoints()[0]); err != nil || len(s.Errors) != 1 || s.Errors[0] != "etcdserver: no leader" {
		t.Errorf("status: %v, error %v", s, err)
	}
}

func TestLearner_ServesLocalReadsOnly(t *testing.T) {
	b := doortest.NewSingle()
	b.State.Learner = true
	c := doortest.Dial(t, opened(t, b, nil))
	ctx := context.Background()
	if _, err := c.Get(ctx, "k", clientv3.WithSerializable()); err != nil {
		t.Errorf("serializable get: %v", err)
	}
	if _, err := c.Get(ctx, "k"); status.Convert(err).Message() != rpctypes.ErrorDesc(rpctypes.ErrGRPCNotSupportedForLearner) {
		t.Errorf("get: %v", err)
	}
	if _, err := c.Put(ctx, "k", "v"); status.Convert(err).Message() != rpctypes.ErrorDesc(rpctypes.ErrGRPCNotSupportedForLearner) {
		t.Errorf("put: %v", err)
	}
	if s, err := c.Status(ctx, c.Endpoints()[0]); err != nil || !s.IsLearner {
		t.Errorf("status: %v, error %v", s, err)
	}
}

func TestLimits_OfARequest(t *testing.T) {
	c := doortest.Dial(t, opened(t, doortest.NewSingle(), func(c *Config) { c.Limits.MaxRequestBytes = 10000; c.Limits.MaxTxnOps = 2 }))
	ctx := context.Background()
	if _, err := c.Put(ctx, "k", strings.Repeat("v", 10001)); err != rpctypes.ErrRequestTooLarge {
		t.Errorf("a little too large: %v", err)
	}
	if _, err := c.Put(ctx, "k", strings.Repeat("v", 10000+(512<<10))); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("much too large: %v", err)
	}
	if _, err := c.Txn(ctx).Then(clientv3.OpGet("a"), clientv3.OpGet("b"), clientv3.OpGet("c")).Commit(); err != rpctypes.ErrTooManyOps {
		t.Errorf("too many operations: %v", err)
	}
}

func TestQuota_FullIsAnAlarmUntilThereIsRoom(t *testing.T) {
	c := doortest.Dial(t, opened(t, doortest.NewSingle(), func(c *Config) { c.Limits.QuotaBytes = 20 << 10 }))
	ctx := context.Background()
	var err error
	for i := 0; err == nil && i < 100; i++ {
		_, err = c.Put(ctx, "k", strings.Repeat("v", 1000))
	}
	if err != rpctypes.ErrNoSpace {
		t.Fatalf("puts beyond the quota: %v", err)
	}
	alarms, err := c.AlarmList(ctx)
	if err != nil || len(alarms.Alarms) != 1 || alarms.Alarms[0].Alarm != pb.AlarmType_NOSPACE || alarms.Alarms[0].MemberID != 1 {
		t.Fatalf("alarms %v, error %v", alarms, err)
	}
	if _, err := c.Put(ctx, "k", "small"); err != rpctypes.ErrNoSpace {
		t.Errorf("a small put while the alarm is raised: %v", err)
	}
	if _, err := c.Delete(ctx, "k"); err != nil {
		t.Errorf("deleting while the alarm is raised: %v", err)
	}
	if _, err := c.AlarmDisarm(ctx, (*clientv3.AlarmMember)(alarms.Alarms[0])); err != nil {
		t.Error(err)
	}
	if alarms, err = c.AlarmList(ctx); err != nil || len(alarms.Alarms) != 0 {
		t.Errorf("alarms %v after the disarm, error %v", alarms, err)
	}
}

func TestHealthAndReflectionServices(t *testing.T) {
	conn := doortest.Dial(t, opened(t, doortest.NewSingle(), nil)).ActiveConnection()
	ctx := context.Background()
	h, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil || h.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health %v, error %v", h, err)
	}
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "etcdserverpb.KV"}}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil || len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("reflection of KV: %v, error %v", answer, err)
	}
	err = conn.Invoke(ctx, "/etcdserverpb.Nothing/AtAll", &pb.AuthStatusRequest{}, &pb.AuthStatusResponse{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("a service that is not there: %v", err)
	}
}

// body makes an HTTP request and returns the status and the body of the answer.
func body(t *testing.T, method, url string, change func(*http.Request)) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

func TestHealth_SaysWhatIsWrong(t *testing.T) {
	b := doortest.NewSingle()
	url := "http://" + opened(t, b, nil)
	expect := func(path string, code int, want string) {
		t.Helper()
		if got, text, _ := body(t, "GET", url+path, nil); got != code || strings.TrimSpace(text) != want {
			t.Errorf("GET %s: %d %q, want %d %q", path, got, text, code, want)
		}
	}
	expect("/health", 200, `{"health":"true","reason":""}`)
	b.Apply(&pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 1, Alarm: pb.AlarmType_NOSPACE}})
	expect("/health", 503, `{"health":"false","reason":"ALARM NOSPACE"}`)
	expect("/health?exclude=NOSPACE", 200, `{"health":"true","reason":""}`)
	expect("/readyz", 200, "ok")
	b.Apply(&pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 1, Alarm: pb.AlarmType_CORRUPT}})
	expect("/readyz", 503, "[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok")
	expect("/livez/serializable_read", 200, "ok")
	b.Lead(0)
	expect("/health?exclude=NOSPACE&exclude=CORRUPT", 503, `{"health":"false","reason":"RAFT NO LEADER"}`)
	expect("/health?exclude=NOSPACE&exclude=CORRUPT&serializable=true", 200, `{"health":"true","reason":""}`)
}

func TestHTTP_GuardsHostsAndOrigins(t *testing.T) {
	url := "http://" + opened(t, doortest.NewSingle(), func(c *Config) { c.HostWhitelist = []string{"good.example"}; c.CORS = []string{"http://page.example"} })
	host := func(h string) func(*http.Request) {
		return func(r *http.Request) { r.Host = h; r.Header.Set("Origin", "http://page.example") }
	}
	if code, _, h := body(t, "OPTIONS", url+"/v3/kv/put", host("good.example:2379")); code != 200 || h.Get("Access-Control-Allow-Origin") != "http://page.example" {
		t.Errorf("a good host: %d, %v", code, h)
	}
	if code, text, _ := body(t, "GET", url+"/version", host("evil.example")); code != http.StatusMisdirectedRequest || !strings.Contains(text, "evil.example") {
		t.Errorf("a bad host: %d %q", code, text)
	}
	if _, _, h := body(t, "GET", url+"/version", func(r *http.Request) { r.Host = "good.example"; r.Header.Set("Origin", "http://other.example") }); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another origin was allowed: %v", h)
	}
}

func TestMetrics_CountCalls(t *testing.T) {
	address := opened(t, doortest.NewSingle(), func(c *Config) { c.ExtensiveMetrics = true })
	c := doortest.Dial(t, address)
	if _, err := c.Put(context.Background(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	_, text, _ := body(t, "GET", "http://"+address+"/metrics", nil)
	for _, line := range []string{
		`grpc_server_started_total{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"} 0`,
		`grpc_server_handling_seconds_count{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`,
		`etcd_network_client_grpc_received_bytes_total 6`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
}
