package call_test

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/detcd/detcd/node/call"
)

// ask makes a call and waits for its answer.
func ask[Req, Resp any](c *fakeCluster, u call.Unary[Req, Resp], r Req) (resp Resp, err error) {
	c.t.Helper()
	answers := 0
	call.Do(newGate(), c.members[0], call.Caller{}, &u, r, func(answer Resp, _ *call.Outcome, e error) {
		resp, err = answer, e
		answers++
	})
	c.settle()
	if answers != 1 {
		c.t.Fatalf("%d answers", answers)
	}
	return resp, err
}

func TestAlarm_GoesThroughTheLog(t *testing.T) {
	c := newCluster(t, 1)
	for i, s := range []struct {
		action pb.AlarmRequest_AlarmAction
		alarms int
	}{{pb.AlarmRequest_GET, 0}, {pb.AlarmRequest_ACTIVATE, 1}, {pb.AlarmRequest_GET, 1}, {pb.AlarmRequest_DEACTIVATE, 1}, {pb.AlarmRequest_GET, 0}} {
		r := &pb.AlarmRequest{Action: s.action, MemberID: 9}
		if s.action != pb.AlarmRequest_GET {
			r.Alarm = pb.AlarmType_NOSPACE
		}
		resp, err := ask(c, call.Alarm, r)
		if err != nil || len(resp.GetAlarms()) != s.alarms || resp.GetHeader().GetMemberId() != 1 || resp.GetHeader().GetRevision() != 1 {
			t.Errorf("step %d, %v: %v, %v", i, s.action, resp, err)
		}
		if len(c.log) != i+1 {
			t.Errorf("step %d: %d entries in the log", i, len(c.log))
		}
	}
}

func TestHash_IsEqualOnMembersThatAreEqual(t *testing.T) {
	hashes := func(value string) (state, kv uint32) {
		c := newCluster(t, 1)
		c.append(putKey("a", value))
		c.settle()
		h, err := ask(c, call.Hash, &pb.HashRequest{})
		if err != nil || h.GetHeader().GetRevision() != 2 || h.GetHeader().GetClusterId() != 7 {
			t.Fatalf("%v, %v", h, err)
		}
		hkv, err := ask(c, call.HashKV, &pb.HashKVRequest{})
		if err != nil || hkv.GetHashRevision() != 2 || hkv.GetCompactRevision() != -1 || hkv.GetHeader().GetRevision() != 2 {
			t.Fatalf("%v, %v", hkv, err)
		}
		return h.GetHash(), hkv.GetHash()
	}
	state, kv := hashes("1")
	if s, k := hashes("1"); s != state || k != kv {
		t.Error("equal stores have unequal hashes")
	}
	if s, k := hashes("2"); s == state || k == kv {
		t.Error("unequal stores have equal hashes")
	}
}

func TestHashKV_OfRevisions(t *testing.T) {
	c := newCluster(t, 1)
	for range 4 {
		c.append(putKey("a", ""))
	}
	c.append(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: 3}})
	c.settle()
	for _, s := range []struct {
		rev, of int64
		err     error
	}{{0, 5, nil}, {2, 0, rpctypes.ErrGRPCCompacted}, {3, 3, nil}, {5, 5, nil}, {6, 0, rpctypes.ErrGRPCFutureRev}} {
		resp, err := ask(c, call.HashKV, &pb.HashKVRequest{Revision: s.rev})
		if err != s.err {
			t.Errorf("revision %d: %v, want %v", s.rev, err, s.err)
		}
		if err == nil && (resp.GetHashRevision() != s.of || resp.GetCompactRevision() != 3) {
			t.Errorf("revision %d: %v", s.rev, resp)
		}
	}
}

func TestOverQuota_Judges(t *testing.T) {
	c := newCluster(t, 1)
	c.append(putKey("a", string(make([]byte, 1000))))
	total, _ := c.view().Sizes()
	put := &pb.PutRequest{Key: []byte("b"), Value: make([]byte, 43)} // costs 300
	op := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}}
	inner := &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Failure: []*pb.RequestOp{op, op}}}}
	for _, s := range []struct {
		what string
		r    *pb.InternalRaftRequest
		cost int64 // 0: it is never refused
	}{
		{"put", &pb.InternalRaftRequest{Put: put}, 300},
		{"grant", &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{}}, 64},
		{"txn", &pb.InternalRaftRequest{Txn: &pb.TxnRequest{Success: []*pb.RequestOp{op}, Failure: []*pb.RequestOp{inner}}}, 600},
		{"delete", &pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte("a")}}, 0},
		{"compaction", &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: 2}}, 0},
	} {
		for quota, refused := range map[int64]bool{
			-1: false, 0: false, total + s.cost + 1: false, total + s.cost: s.cost > 0, 1: s.cost > 0,
		} {
			raise := call.OverQuota(call.Limits{QuotaBytes: quota}, s.r, c.view(), 5)
			if (raise != nil) != refused {
				t.Errorf("%s, quota %d of %d: %v", s.what, quota, total, raise)
			}
			if a := raise.GetAlarm(); raise != nil && fmt.Sprint(a.GetAction(), a.GetAlarm(), a.GetMemberID()) != "ACTIVATE NOSPACE 5" {
				t.Errorf("%s: %v", s.what, a)
			}
		}
	}
}

func TestDo_KeepsToTheQuota(t *testing.T) {
	c := newCluster(t, 1)
	limits := call.DefaultLimits()
	limits.QuotaBytes = 200
	var err error
	call.Do(&call.Gate{Limits: limits}, c.members[0], call.Caller{}, &call.Put, &pb.PutRequest{Key: []byte("a")}, func(_ *pb.PutResponse, _ *call.Outcome, e error) { err = e })
	c.settle()
	if err != rpctypes.ErrGRPCNoSpace || len(c.log) != 1 || c.log[0].GetAlarm().GetAlarm() != pb.AlarmType_NOSPACE {
		t.Errorf("%v; the log is %v", err, c.log)
	}
}
