package show

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
)

// What the command line's tape holds is compared there with what etcdctl prints. Here is what one server cannot easily be brought to answer.

func shown(t *testing.T, a Answer, o Options) string {
	t.Helper()
	var out bytes.Buffer
	p, ok := New(&out, o)
	if !ok {
		t.Fatalf("no format %q", o.Format)
	}
	if err := p.Print(a); err != nil {
		t.Fatalf("%+v: %v", o, err)
	}
	return out.String()
}

var header = &pb.ResponseHeader{ClusterId: 0x1f, MemberId: 0x2f, Revision: 5, RaftTerm: 3}

func TestNew_KnowsFiveFormats(t *testing.T) {
	for format, want := range map[string]bool{"simple": true, "json": true, "fields": true, "table": true, "protobuf": true, "": false, "xml": false} {
		if _, ok := New(&bytes.Buffer{}, Options{Format: format}); ok != want {
			t.Errorf("format %q: %t", format, ok)
		}
	}
}

func TestPrint_AFormatThatAnAnswerDoesNotHave(t *testing.T) {
	for format, a := range map[string]Answer{
		"table":    Put(&clientv3.PutResponse{}),
		"fields":   UserList(&clientv3.AuthUserListResponse{}),
		"protobuf": EndpointHealth(nil),
	} {
		var out bytes.Buffer
		p, _ := New(&out, Options{Format: format})
		if err := p.Print(a); !errors.Is(err, ErrFormat{format}) || err.Error() != format+" not supported as output format" || out.Len() > 0 {
			t.Errorf("%s: %v, %q", format, err, &out)
		}
	}
}

func TestAlarm_Simple(t *testing.T) {
	r := &clientv3.AlarmResponse{Alarms: []*pb.AlarmMember{
		{MemberID: 8630161756594109333, Alarm: pb.AlarmType_NOSPACE}, {MemberID: 1, Alarm: pb.AlarmType_CORRUPT}, {MemberID: 2},
	}}
	want := "memberID:8630161756594109333 alarm:NOSPACE\nmemberID:1 alarm:CORRUPT\nmemberID:2\n"
	if got := shown(t, Alarm(r), Options{Format: "simple"}); got != want {
		t.Errorf("%q", got)
	}
}

func TestLeaseTimeToLive_Keys(t *testing.T) {
	r := &clientv3.LeaseTimeToLiveResponse{ResponseHeader: header, ID: 0xabc, TTL: 9, GrantedTTL: 10, Keys: [][]byte{[]byte("a b"), []byte("c")}}
	for _, c := range []struct {
		keys bool
		o    Options
		want string
	}{
		{true, Options{Format: "simple"}, "lease 0000000000000abc granted with TTL(10s), remaining(9s), attached keys([a b c])\n"},
		{false, Options{Format: "simple"}, "lease 0000000000000abc granted with TTL(10s), remaining(9s)\n"},
		{true, Options{Format: "fields", Hex: true}, `"ClusterID" : 1f
"MemberID" : 2f
"Revision" : 5
"RaftTerm" : 3
"ID" : 0000000000000abc
"TTL" : 9
"GrantedTTL" : 10
"Key" : "a b"
"Key" : "c"
`},
	} {
		if got := shown(t, LeaseTimeToLive(r, c.keys), c.o); got != c.want {
			t.Errorf("%+v: %q", c.o, got)
		}
	}
}

// etcdctl has no protobuf form of answers about leases. Here it is the message of the API.
func TestLease_Protobuf(t *testing.T) {
	encoded := shown(t, LeaseGrant(&clientv3.LeaseGrantResponse{ResponseHeader: header, ID: 7, TTL: 60}), Options{Format: "protobuf"})
	var r pb.LeaseGrantResponse
	if err := proto.Unmarshal([]byte(encoded), &r); err != nil || r.ID != 7 || r.TTL != 60 || r.Header.GetRevision() != 5 {
		t.Errorf("%v, %v", &r, err)
	}
}

func TestMembers_HexJSON(t *testing.T) {
	m := &pb.Member{ID: 0xff, Name: "n", PeerURLs: []string{"p"}, IsLearner: true}
	for _, c := range []struct {
		a    Answer
		want string
	}{
		{
			MemberAdd(&clientv3.MemberAddResponse{Header: header, Member: m, Members: []*pb.Member{m}}),
			`{"header":{"cluster_id":"1f","member_id":"2f","revision":5,"raft_term":3},` +
				`"member":{"ID":"ff","name":"n","peerURLs":["p"],"isLearner":true},"members":[{"ID":"ff","name":"n","peerURLs":["p"],"isLearner":true}]}`,
		},
		{
			MemberRemove(1, &clientv3.MemberRemoveResponse{Header: &pb.ResponseHeader{ClusterId: 16}}),
			`{"header":{"cluster_id":"10","member_id":"0"},"members":[]}`,
		},
	} {
		if got := shown(t, c.a, Options{Format: "json", Hex: true}); got != c.want+"\n" {
			t.Errorf("%s", got)
		}
	}
}

func TestMemberAdd_Padding(t *testing.T) {
	r := &clientv3.MemberAddResponse{Header: &pb.ResponseHeader{ClusterId: 0x123456789abcdef0}, Member: &pb.Member{ID: 0xabc}}
	if got := shown(t, MemberAdd(r), Options{Format: "simple"}); got != "Member              abc added to cluster 123456789abcdef0\n" {
		t.Errorf("%q", got)
	}
}

func TestEndpointStatus_AnEmptyDatabase(t *testing.T) {
	r := &clientv3.StatusResponse{Header: header, Version: "3.7.3", Leader: 0x2f, Errors: []string{"one", "two"}, IsLearner: true}
	want := "e, 2f, 3.7.3, , 0 B, 0 B, 0%, 0 B, true, true, 0, 0, 0, one, two, , false\n"
	if got := shown(t, EndpointStatus([]Status{{"e", r}}), Options{Format: "simple"}); got != want {
		t.Errorf("%q", got)
	}
}

func TestUnused_IsRoundedUp(t *testing.T) {
	for _, c := range []struct {
		size, inUse int64
		want        string
	}{{0, 0, "0%"}, {1000, 1000, "0%"}, {1000, 999, "1%"}, {20480, 16384, "20%"}, {20480, 0, "100%"}} {
		if got := unused(c.size, c.inUse); got != c.want {
			t.Errorf("%d of %d: %s", c.inUse, c.size, got)
		}
	}
}

func TestRoleGet_Intervals(t *testing.T) {
	r := &clientv3.AuthRoleGetResponse{Perm: []*authpb.Permission{
		{PermType: authpb.Permission_READ, Key: []byte("k")},
		{PermType: authpb.Permission_READWRITE, Key: []byte("p/"), RangeEnd: []byte("p0")},
		{PermType: authpb.Permission_WRITE, Key: []byte("x"), RangeEnd: []byte{0}},
		{PermType: authpb.Permission_WRITE, Key: []byte("\x00"), RangeEnd: []byte{0}},
	}}
	want := "Role r\nKV Read:\n\tk\n\t[p/, p0) (prefix p/)\nKV Write:\n\t[p/, p0) (prefix p/)\n\t[x, <open ended>\n\t[\x00, <open ended>\n"
	if got := shown(t, RoleGet("r", r), Options{Format: "simple"}); got != want {
		t.Errorf("%q", got)
	}
}

func TestTxn_Nested(t *testing.T) {
	inner := &pb.TxnResponse{Responses: []*pb.ResponseOp{
		{Response: &pb.ResponseOp_ResponseRange{ResponseRange: &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{{Key: []byte("k"), Value: []byte("<v>")}}, Count: 1}}},
	}}
	r := &clientv3.TxnResponse{Header: header, Succeeded: true, Responses: []*pb.ResponseOp{{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: inner}}}}
	if got := shown(t, Txn(r), Options{Format: "simple"}); got != "SUCCESS\n\nFAILURE\n\nk\n<v>\n" {
		t.Errorf("%q", got)
	}
	want := `{"header":{"cluster_id":31,"member_id":47,"revision":5,"raft_term":3},"succeeded":true,"responses":[{"Response":{"response_txn":` +
		`{"responses":[{"Response":{"response_range":{"kvs":[{"key":"aw==","value":"PHY+"}],"count":1}}}]}}}]}` + "\n"
	if got := shown(t, Txn(r), Options{Format: "json"}); got != want {
		t.Errorf("%s", got)
	}
	if got := shown(t, Txn(&clientv3.TxnResponse{Responses: []*pb.ResponseOp{{}}}), Options{Format: "simple"}); !strings.HasPrefix(got, "FAILURE\n\nunexpected response") {
		t.Errorf("%q", got)
	}
}
