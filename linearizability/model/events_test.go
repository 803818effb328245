package model_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/linearizability/model"
)

func TestEvents(t *testing.T) {
	s := model.New()
	opPut := func(key, value string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}}
	}
	opClear := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}}}
	for _, r := range []*pb.InternalRaftRequest{
		{LeaseGrant: &pb.LeaseGrantRequest{ID: 7, TTL: 5}},
		put(&pb.PutRequest{Key: []byte("a"), Value: []byte("1"), Lease: 7}),
		txn(&pb.TxnRequest{Success: []*pb.RequestOp{opPut("a", "2"), opPut("b", "1")}}),
		put(&pb.PutRequest{Key: []byte("a"), Lease: 7}),
		{LeaseRevoke: &pb.LeaseRevokeRequest{ID: 7}},
		txn(&pb.TxnRequest{Success: []*pb.RequestOp{opClear, opPut("b", "2")}}),
	} {
		if _, err := s.Apply(r); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(key string, revision int64) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{Key: []byte(key), ModRevision: revision}
	}
	want := []*mvccpb.Event{
		{Kv: kv("a", "1", 2, 2, 1, 7)},
		{Kv: kv("a", "2", 2, 3, 2, 0), PrevKv: kv("a", "1", 2, 2, 1, 7)},
		{Kv: kv("b", "1", 3, 3, 1, 0)},
		{Kv: kv("a", "", 2, 4, 3, 7), PrevKv: kv("a", "2", 2, 3, 2, 0)},
		{Type: mvccpb.Event_DELETE, Kv: gone("a", 5), PrevKv: kv("a", "", 2, 4, 3, 7)},
		{Type: mvccpb.Event_DELETE, Kv: gone("b", 6), PrevKv: kv("b", "1", 3, 3, 1, 0)},
		{Kv: kv("b", "2", 6, 6, 1, 0)}, // made anew in the same revision: there is nothing that it replaces
	}
	got := s.Events()
	if len(got) != len(want) || s.Changes() != len(want) {
		t.Fatalf("%d events, %d changes, want %d", len(got), s.Changes(), len(want))
	}
	for i := range want {
		if !proto.Equal(got[i], want[i]) {
			t.Errorf("event %d is %v, want %v", i, got[i], want[i])
		}
	}
	if s.Created([]byte("b")) != 6 || s.Created([]byte("a")) != 0 || s.Attached(7) != 0 {
		t.Errorf("b was created in %d, a in %d, %d keys are attached", s.Created([]byte("b")), s.Created([]byte("a")), s.Attached(7))
	}
}

// Replaying the events must give what ranges show, at each revision.
func TestEventsMakeTheState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := model.New()
		key := rapid.SampledFrom([]string{"a", "b", "c"})
		for range rapid.IntRange(1, 30).Draw(t, "writes") {
			k := []byte(key.Draw(t, "key"))
			if rapid.Bool().Draw(t, "put") {
				_, _ = s.Put(&pb.PutRequest{Key: k, Value: []byte{byte(s.Revision())}})
			} else {
				_, _ = s.DeleteRange(&pb.DeleteRangeRequest{Key: k, RangeEnd: []byte(rapid.SampledFrom([]string{"", "c", "\x00"}).Draw(t, "end"))})
			}
		}
		for _, e := range s.Events() {
			for revision, want := range map[int64]*mvccpb.KeyValue{e.Kv.ModRevision: e.Kv, e.Kv.ModRevision - 1: e.PrevKv} {
				if e.Type == mvccpb.Event_DELETE && revision == e.Kv.ModRevision {
					want = nil
				}
				r, err := s.Range(&pb.RangeRequest{Key: e.Kv.Key, Revision: revision})
				if err != nil {
					t.Fatal(err)
				}
				var got *mvccpb.KeyValue
				if len(r.Kvs) > 0 {
					got = r.Kvs[0]
				}
				if (got == nil) != (want == nil) || got != nil && !proto.Equal(got, want) {
					t.Fatalf("at revision %d of %v there is %v, the event says %v", revision, e, got, want)
				}
			}
		}
	})
}
