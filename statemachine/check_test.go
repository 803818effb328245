package statemachine_test

import (
	"testing"

	"github.com/detcd/detcd/statemachine"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

type ops = []*pb.RequestOp

func putOp(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key)}}}
}

func deleteOp(key, end string) *pb.RequestOp {
	r := &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}
}

func rangeOp(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(key)}}}
}

func txnOp(success, failure ops) *pb.RequestOp {
	r := &pb.TxnRequest{Success: success, Failure: failure}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}
}

// TestCheckTxn_OverlappingWrites compares with what stock etcd 3.7.3 answered to the same transactions.
func TestCheckTxn_OverlappingWrites(t *testing.T) {
	duplicate := rpctypes.ErrGRPCDuplicateKey
	for _, c := range []struct {
		name string
		ops  ops
		want error
	}{
		{"two puts of one key", ops{putOp("b"), putOp("b")}, duplicate},
		{"puts of two keys", ops{putOp("b"), putOp("c")}, nil},
		{"delete and put", ops{deleteOp("b", ""), putOp("b")}, duplicate},
		{"put and delete", ops{putOp("b"), deleteOp("b", "")}, duplicate},
		{"put inside a deleted range", ops{putOp("b"), deleteOp("a", "c")}, duplicate},
		{"put at the end of a deleted range", ops{putOp("c"), deleteOp("a", "c")}, nil},
		{"put between deleted ranges", ops{putOp("c"), deleteOp("d", "e"), deleteOp("a", "b"), deleteOp("a", "c")}, nil},
		{"put inside one of joined ranges", ops{putOp("cc"), deleteOp("c", "d"), deleteOp("a", "cb"), deleteOp("b", "bb")}, duplicate},
		{"overlapping deletes", ops{deleteOp("a", "c"), deleteOp("b", "d"), deleteOp("b", "")}, nil},
		{"delete from a key on, put above it", ops{deleteOp("a", "\x00"), putOp("b")}, nil},
		{"put, delete from a lower key on", ops{putOp("b"), deleteOp("a", "\x00")}, nil},
		{"the branches of one nested transaction", ops{txnOp(ops{putOp("b")}, ops{putOp("b")})}, nil},
		{"put in one branch, deleted in the other", ops{txnOp(ops{putOp("b")}, ops{deleteOp("b", "")})}, nil},
		{"put twice below one branch", ops{txnOp(ops{putOp("b"), txnOp(nil, ops{putOp("b")})}, nil)}, duplicate},
		{"nested put, then nested delete", ops{txnOp(ops{putOp("b")}, nil), txnOp(ops{deleteOp("b", "")}, nil)}, nil},
		{"nested delete, then nested put", ops{txnOp(ops{deleteOp("b", "")}, nil), txnOp(ops{putOp("b")}, nil)}, duplicate},
		{"put two levels down, then nested delete", ops{txnOp(ops{txnOp(ops{putOp("b")}, nil)}, nil), txnOp(ops{deleteOp("a", "c")}, nil)}, nil},
		{"nested delete and a put", ops{txnOp(ops{deleteOp("a", "c")}, nil), putOp("b")}, duplicate},
		{"delete and a nested put", ops{deleteOp("a", "c"), txnOp(ops{putOp("b")}, nil)}, duplicate},
		{"put and a nested put", ops{putOp("b"), txnOp(nil, ops{putOp("b")})}, duplicate},
		{"puts in two nested transactions", ops{txnOp(ops{putOp("b")}, nil), txnOp(nil, ops{putOp("b")})}, duplicate},
		{"reads of what is written", ops{rangeOp("b"), putOp("b"), rangeOp("b")}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := statemachine.CheckTxn(&pb.TxnRequest{Success: c.ops}, 128); got != c.want {
				t.Errorf("as success: %v, want %v", got, c.want)
			}
			if got := statemachine.CheckTxn(&pb.TxnRequest{Failure: c.ops}, 128); got != c.want {
				t.Errorf("as failure: %v, want %v", got, c.want)
			}
		})
	}
}

func TestCheckTxn_OperationsAndParts(t *testing.T) {
	compare := func(n int) (cs []*pb.Compare) {
		for range n {
			cs = append(cs, &pb.Compare{Key: []byte("k")})
		}
		return cs
	}
	for _, c := range []struct {
		name string
		r    *pb.TxnRequest
		want error
	}{
		{"nothing", &pb.TxnRequest{}, nil},
		{"as many as allowed", &pb.TxnRequest{Success: ops{rangeOp("a"), rangeOp("b"), rangeOp("c")}}, nil},
		{"one more", &pb.TxnRequest{Failure: ops{rangeOp("a"), rangeOp("b"), rangeOp("c"), rangeOp("d")}}, rpctypes.ErrGRPCTooManyOps},
		{"compares", &pb.TxnRequest{Compare: compare(4)}, rpctypes.ErrGRPCTooManyOps},
		{"nested within the rest", &pb.TxnRequest{Success: ops{txnOp(ops{putOp("a"), putOp("b")}, nil)}}, nil},
		{"nested beyond the rest", &pb.TxnRequest{Success: ops{txnOp(nil, ops{putOp("a"), putOp("b"), putOp("c")})}}, rpctypes.ErrGRPCTooManyOps},
		{"compare of no key", &pb.TxnRequest{Compare: []*pb.Compare{{}}}, rpctypes.ErrGRPCEmptyKey},
		{"put of no key", &pb.TxnRequest{Success: ops{putOp("")}}, rpctypes.ErrGRPCEmptyKey},
		{"nested delete of no key", &pb.TxnRequest{Failure: ops{txnOp(ops{deleteOp("", "")}, nil)}}, rpctypes.ErrGRPCEmptyKey},
		{"empty operation", &pb.TxnRequest{Failure: ops{{}}}, rpctypes.ErrGRPCKeyNotFound},
		{"nil operation", &pb.TxnRequest{Success: ops{nil}}, rpctypes.ErrGRPCKeyNotFound},
	} {
		if got := statemachine.CheckTxn(c.r, 3); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestCheck_SingleRequests(t *testing.T) {
	key := []byte("k")
	for _, c := range []struct {
		name string
		got  error
		want error
	}{
		{"range", statemachine.CheckRange(&pb.RangeRequest{Key: key}), nil},
		{"range of no key", statemachine.CheckRange(&pb.RangeRequest{RangeEnd: key}), rpctypes.ErrGRPCEmptyKey},
		{"unknown order", statemachine.CheckRange(&pb.RangeRequest{Key: key, SortOrder: 3}), rpctypes.ErrGRPCInvalidSortOption},
		{"unknown target", statemachine.CheckRange(&pb.RangeRequest{Key: key, SortTarget: -1}), rpctypes.ErrGRPCInvalidSortOption},
		{"put", statemachine.CheckPut(&pb.PutRequest{Key: key, IgnoreValue: true, IgnoreLease: true}), nil},
		{"put of no key", statemachine.CheckPut(&pb.PutRequest{}), rpctypes.ErrGRPCEmptyKey},
		{"value given and ignored", statemachine.CheckPut(&pb.PutRequest{Key: key, Value: key, IgnoreValue: true}), rpctypes.ErrGRPCValueProvided},
		{"lease given and ignored", statemachine.CheckPut(&pb.PutRequest{Key: key, Lease: 1, IgnoreLease: true}), rpctypes.ErrGRPCLeaseProvided},
		{"delete", statemachine.CheckDeleteRange(&pb.DeleteRangeRequest{Key: key}), nil},
		{"delete of no key", statemachine.CheckDeleteRange(&pb.DeleteRangeRequest{RangeEnd: []byte{0}}), rpctypes.ErrGRPCEmptyKey},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}
