package statemachine_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestHashKV_IsEtcds compares HashKV with what stock etcd 3.7.3 answered after the same requests.
func TestHashKV_IsEtcds(t *testing.T) {
	m := newMember()
	want := func(rev int64, hash uint32, compacted int64) {
		t.Helper()
		got, c, err := m.Publish().HashKV(rev)
		if got != hash || c != compacted || err != nil {
			t.Errorf("HashKV(%d): %d of compacted revision %d, %v; etcd's is %d of %d", rev, got, c, err, hash, compacted)
		}
	}
	do := func(requests ...*pb.InternalRaftRequest) {
		for _, r := range requests {
			m.do(t, r)
		}
	}
	del := func(key string) *pb.InternalRaftRequest {
		return &pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}}
	}
	compact := func(rev int64) { do(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: rev}}) }
	op := func(r *pb.InternalRaftRequest) *pb.RequestOp {
		if r.Put != nil {
			return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r.Put}}
		}
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r.DeleteRange}}
	}

	want(0, 1084519789, -1)
	do(put("a", "1"), put("b", "1"), put("a", "2"))
	want(0, 3086679940, -1)
	want(3, 2143169314, -1)
	do(del("a"), put("c", "1"), put("d", ""))
	do(&pb.InternalRaftRequest{Txn: &pb.TxnRequest{Success: []*pb.RequestOp{op(put("a", "3")), op(put("b", "2")), op(del("c"))}}})
	want(0, 3346431615, -1)
	compact(4)
	for range 2 { // whether what was compacted is still in memory or not
		want(0, 3321168656, 4)
		want(6, 2803006609, 4)
		for m.CompactStep(1) {
		}
	}
	compact(5) // at a deletion
	want(0, 2894109252, 5)
	want(7, 3392226115, 5)
	do(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}})
	want(0, 3821676324, 5)
	compact(7)
	want(0, 3821676324, 7)
	do(put("e", "1"))
	want(0, 2130785753, 7)
}
