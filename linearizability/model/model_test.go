package model_test

import (
	"errors"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability/model"
)

// step is one request of a story and the answer it must get.
type step struct {
	name string
	ask  *pb.InternalRaftRequest
	want proto.Message
	err  error
}

func play(t *testing.T, s *model.State, steps []step) {
	t.Helper()
	for _, step := range steps {
		got, err := s.Apply(step.ask)
		if !errors.Is(err, step.err) {
			t.Fatalf("%s: error %v, want %v", step.name, err, step.err)
		}
		if step.err == nil && !proto.Equal(got, step.want) {
			t.Fatalf("%s: answer\n%v\nwant\n%v", step.name, got, step.want)
		}
	}
}

func head(revision int64) *pb.ResponseHeader { return &pb.ResponseHeader{Revision: revision} }

func kv(key, value string, created, changed, version, lease int64) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), CreateRevision: created, ModRevision: changed, Version: version, Lease: lease}
}

func put(r *pb.PutRequest) *pb.InternalRaftRequest { return &pb.InternalRaftRequest{Put: r} }
func get(r *pb.RangeRequest) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{Range: r}
}
func del(r *pb.DeleteRangeRequest) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{DeleteRange: r}
}
func txn(r *pb.TxnRequest) *pb.InternalRaftRequest { return &pb.InternalRaftRequest{Txn: r} }
func compact(revision int64) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: revision}}
}

func TestVersionsAndHistory(t *testing.T) {
	a := []byte("a")
	play(t, model.New(), []step{
		{"nothing yet", get(&pb.RangeRequest{Key: a}), &pb.RangeResponse{Header: head(1)}, nil},
		{"create", put(&pb.PutRequest{Key: a, Value: []byte("1")}), &pb.PutResponse{Header: head(2)}, nil},
		{"change", put(&pb.PutRequest{Key: a, Value: []byte("2"), PrevKv: true}), &pb.PutResponse{Header: head(3), PrevKv: kv("a", "1", 2, 2, 1, 0)}, nil},
		{"delete nothing", del(&pb.DeleteRangeRequest{Key: []byte("b")}), &pb.DeleteRangeResponse{Header: head(3)}, nil},
		{"delete", del(&pb.DeleteRangeRequest{Key: a, PrevKv: true}), &pb.DeleteRangeResponse{Header: head(4), Deleted: 1, PrevKvs: []*mvccpb.KeyValue{kv("a", "2", 2, 3, 2, 0)}}, nil},
		{"create again", put(&pb.PutRequest{Key: a, Value: []byte("3")}), &pb.PutResponse{Header: head(5)}, nil},
		{"newest", get(&pb.RangeRequest{Key: a}), &pb.RangeResponse{Header: head(5), Count: 1, Kvs: []*mvccpb.KeyValue{kv("a", "3", 5, 5, 1, 0)}}, nil},
		{"while deleted", get(&pb.RangeRequest{Key: a, Revision: 4}), &pb.RangeResponse{Header: head(5)}, nil},
		{"before", get(&pb.RangeRequest{Key: a, Revision: 3}), &pb.RangeResponse{Header: head(5), Count: 1, Kvs: []*mvccpb.KeyValue{kv("a", "2", 2, 3, 2, 0)}}, nil},
		{"future", get(&pb.RangeRequest{Key: a, Revision: 6}), nil, rpctypes.ErrGRPCFutureRev},
		{"compact", compact(3), &pb.CompactionResponse{Header: head(5)}, nil},
		{"compact again", compact(3), nil, rpctypes.ErrGRPCCompacted},
		{"compact the future", compact(6), nil, rpctypes.ErrGRPCFutureRev},
		{"compacted", get(&pb.RangeRequest{Key: a, Revision: 2}), nil, rpctypes.ErrGRPCCompacted},
		{"the compacted revision itself", get(&pb.RangeRequest{Key: a, Revision: 3}), &pb.RangeResponse{Header: head(5), Count: 1, Kvs: []*mvccpb.KeyValue{kv("a", "2", 2, 3, 2, 0)}}, nil},
		{"keep a value that is not there", put(&pb.PutRequest{Key: []byte("b"), IgnoreValue: true}), nil, rpctypes.ErrGRPCKeyNotFound},
		{"keep the value", put(&pb.PutRequest{Key: a, IgnoreValue: true}), &pb.PutResponse{Header: head(6)}, nil},
		{"kept", get(&pb.RangeRequest{Key: a}), &pb.RangeResponse{Header: head(6), Count: 1, Kvs: []*mvccpb.KeyValue{kv("a", "3", 5, 6, 2, 0)}}, nil},
	})
}

func TestRangeForms(t *testing.T) {
	s := model.New()
	for _, k := range []string{"c", "a", "b", "d"} { // created at 2, 3, 4, 5
		s.Put(&pb.PutRequest{Key: []byte(k), Value: []byte("v" + k)})
	}
	a, b, c, d := kv("a", "va", 3, 3, 1, 0), kv("b", "vb", 4, 4, 1, 0), kv("c", "vc", 2, 2, 1, 0), kv("d", "vd", 5, 5, 1, 0)
	all, zero := []byte{0}, []byte{0}
	for _, test := range []struct {
		name  string
		ask   *pb.RangeRequest
		count int64
		more  bool
		kvs   []*mvccpb.KeyValue
	}{
		{"half open", &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("c")}, 2, false, []*mvccpb.KeyValue{a, b}},
		{"from key on", &pb.RangeRequest{Key: []byte("c"), RangeEnd: zero}, 2, false, []*mvccpb.KeyValue{c, d}},
		{"end before key", &pb.RangeRequest{Key: []byte("c"), RangeEnd: []byte("a")}, 0, false, nil},
		{"limit", &pb.RangeRequest{Key: all, RangeEnd: zero, Limit: 3}, 4, true, []*mvccpb.KeyValue{a, b, c}},
		{"limit not reached", &pb.RangeRequest{Key: all, RangeEnd: zero, Limit: 4}, 4, false, []*mvccpb.KeyValue{a, b, c, d}},
		{"count only", &pb.RangeRequest{Key: all, RangeEnd: zero, CountOnly: true, Limit: 1}, 4, false, nil},
		{"newest first", &pb.RangeRequest{Key: all, RangeEnd: zero, SortTarget: pb.RangeRequest_MOD, SortOrder: pb.RangeRequest_DESCEND, Limit: 2}, 4, true, []*mvccpb.KeyValue{d, b}},
		{"filters leave the count alone", &pb.RangeRequest{Key: all, RangeEnd: zero, MinModRevision: 3, MaxCreateRevision: 4, Limit: 1}, 4, true, []*mvccpb.KeyValue{a}},
		{"a target without an order sorts what the limit left", &pb.RangeRequest{Key: all, RangeEnd: zero, SortTarget: pb.RangeRequest_CREATE, Limit: 2}, 4, true, []*mvccpb.KeyValue{c, a}},
	} {
		want := &pb.RangeResponse{Header: head(5), Count: test.count, More: test.more, Kvs: test.kvs}
		if got, err := s.Range(test.ask); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", test.name, got, err, want)
		}
	}
}

func TestTxn(t *testing.T) {
	a := []byte("a")
	opPut := func(r *pb.PutRequest) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
	}
	opGet := func(r *pb.RangeRequest) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
	}
	opTxn := func(r *pb.TxnRequest) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}
	}
	gotRange := func(r *pb.RangeResponse) *pb.ResponseOp {
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: r}}
	}
	gotPut := func(revision int64) *pb.ResponseOp {
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{Header: head(revision)}}}
	}
	absent := &pb.Compare{Key: a, Target: pb.Compare_VERSION, Result: pb.Compare_EQUAL, TargetUnion: &pb.Compare_Version{Version: 0}}
	play(t, model.New(), []step{
		{"reads see the writes before them, compares do not", txn(&pb.TxnRequest{
			Compare: []*pb.Compare{absent},
			Success: []*pb.RequestOp{
				opGet(&pb.RangeRequest{Key: a}),
				opPut(&pb.PutRequest{Key: a, Value: []byte("1")}),
				opTxn(&pb.TxnRequest{Compare: []*pb.Compare{absent}, Success: []*pb.RequestOp{opGet(&pb.RangeRequest{Key: a})}}),
				opGet(&pb.RangeRequest{Key: a, Revision: 1}),
			},
		}), &pb.TxnResponse{Header: head(2), Succeeded: true, Responses: []*pb.ResponseOp{
			gotRange(&pb.RangeResponse{Header: head(1)}),
			gotPut(2),
			{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: &pb.TxnResponse{Header: head(0), Succeeded: true, Responses: []*pb.ResponseOp{
				gotRange(&pb.RangeResponse{Header: head(2), Count: 1, Kvs: []*mvccpb.KeyValue{kv("a", "1", 2, 2, 1, 0)}}),
			}}}},
			gotRange(&pb.RangeResponse{Header: head(2)}),
		}}, nil},
		{"the other branch", txn(&pb.TxnRequest{Compare: []*pb.Compare{absent}, Success: []*pb.RequestOp{opPut(&pb.PutRequest{Key: a})}}),
			&pb.TxnResponse{Header: head(2)}, nil},
		{"all or nothing", txn(&pb.TxnRequest{Success: []*pb.RequestOp{
			opPut(&pb.PutRequest{Key: a, Value: []byte("2")}),
			opPut(&pb.PutRequest{Key: []byte("b"), IgnoreValue: true}),
		}}), nil, rpctypes.ErrGRPCKeyNotFound},
		{"its own revision is still the future", txn(&pb.TxnRequest{Success: []*pb.RequestOp{
			opPut(&pb.PutRequest{Key: a, Value: []byte("2")}),
			opGet(&pb.RangeRequest{Key: a, Revision: 3}),
		}}), nil, rpctypes.ErrGRPCFutureRev},
		{"nothing happened", get(&pb.RangeRequest{Key: a}), &pb.RangeResponse{Header: head(2), Count: 1, Kvs: []*mvccpb.KeyValue{kv("a", "1", 2, 2, 1, 0)}}, nil},
		{"no value equals an empty one, but none is there to compare", txn(&pb.TxnRequest{
			Compare: []*pb.Compare{{Key: []byte("b"), Target: pb.Compare_VALUE, Result: pb.Compare_EQUAL}},
		}), &pb.TxnResponse{Header: head(2)}, nil},
	})
}

func TestLeases(t *testing.T) {
	s := model.New()
	grant := func(id, ttl int64) *pb.InternalRaftRequest {
		return &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: id, TTL: ttl}}
	}
	revoke := func(id int64) *pb.InternalRaftRequest {
		return &pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: id}}
	}
	a, b := []byte("a"), []byte("b")
	play(t, s, []step{
		{"no such lease", put(&pb.PutRequest{Key: a, Lease: 7}), nil, rpctypes.ErrGRPCLeaseNotFound},
		{"grant", grant(7, 10), &pb.LeaseGrantResponse{Header: head(1), ID: 7, TTL: 10}, nil},
		{"twice", grant(7, 10), nil, rpctypes.ErrGRPCLeaseExist},
		{"too long", grant(8, 9_000_000_001), nil, rpctypes.ErrGRPCLeaseTTLTooLarge},
		{"attach", put(&pb.PutRequest{Key: a, Lease: 7}), &pb.PutResponse{Header: head(2)}, nil},
		{"attach another", put(&pb.PutRequest{Key: b, Lease: 7}), &pb.PutResponse{Header: head(3)}, nil},
		{"detach", put(&pb.PutRequest{Key: b}), &pb.PutResponse{Header: head(4)}, nil},
		{"keep the lease", put(&pb.PutRequest{Key: a, IgnoreLease: true}), &pb.PutResponse{Header: head(5)}, nil},
		{"keys alone show no lease", get(&pb.RangeRequest{Key: a, KeysOnly: true}), &pb.RangeResponse{Header: head(5), Count: 1, Kvs: []*mvccpb.KeyValue{kv("a", "", 2, 5, 2, 0)}}, nil},
		{"revoke", revoke(7), &pb.LeaseRevokeResponse{Header: head(6)}, nil},
		{"revoke again", revoke(7), nil, rpctypes.ErrGRPCLeaseNotFound},
		{"its key is gone, the other is not", get(&pb.RangeRequest{Key: a, RangeEnd: []byte{0}}), &pb.RangeResponse{Header: head(6), Count: 1, Kvs: []*mvccpb.KeyValue{kv("b", "", 3, 4, 2, 0)}}, nil},
	})
}

func TestCloneIsIndependent(t *testing.T) {
	s := model.New()
	a := []byte("a")
	s.Put(&pb.PutRequest{Key: a, Value: []byte("1")})
	clone := s.Clone()
	s.Put(&pb.PutRequest{Key: a, Value: []byte("2")})
	clone.Put(&pb.PutRequest{Key: a, Value: []byte("3")})
	clone.DeleteRange(&pb.DeleteRangeRequest{Key: a})
	play(t, s, []step{{"the original", get(&pb.RangeRequest{Key: a}), &pb.RangeResponse{Header: head(3), Count: 1, Kvs: []*mvccpb.KeyValue{kv("a", "2", 2, 3, 2, 0)}}, nil}})
	play(t, clone, []step{
		{"the clone", get(&pb.RangeRequest{Key: a}), &pb.RangeResponse{Header: head(4)}, nil},
		{"the clone's past", get(&pb.RangeRequest{Key: a, Revision: 3}), &pb.RangeResponse{Header: head(4), Count: 1, Kvs: []*mvccpb.KeyValue{kv("a", "3", 2, 3, 2, 0)}}, nil},
	})
}

func TestUnknownRequestIsSaidToBe(t *testing.T) {
	if _, err := model.New().Apply(&pb.InternalRaftRequest{}); !errors.Is(err, model.ErrNotModelled) {
		t.Fatalf("error %v", err)
	}
}
