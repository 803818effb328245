package requests_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	. "github.com/detcd/detcd/linearizability"
	. "github.com/detcd/detcd/linearizability/logtest"
	. "github.com/detcd/detcd/linearizability/requests"
)

// A lease takes keys of two groups with it, which no client asked for.
func TestTheSearchKnowsOfLeasesThatEnd(t *testing.T) {
	requests := []proto.Message{&pb.LeaseGrantRequest{ID: 7, TTL: 5}, Leased("a/1", 7), Leased("b/1", 7), Put("a/2", "stays")}
	_, h := replay(t, requests...)
	for i := range h {
		h[i].Call, h[i].Return = Each(h[i].Index).Stamp-1, Each(h[i].Index).Stamp+1
	}
	log := Logged(append(requests, &pb.LeaseRevokeRequest{ID: 7}, &pb.LeaseRevokeRequest{ID: 7})...)
	truth := NewTruth(log, Each)
	read := func(call uint64, key, end string, kvs ...int) Operation {
		resp := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 5}, Count: int64(len(kvs))}
		for range kvs {
			resp.Kvs = append(resp.Kvs, KV("a/2", "stays", 4, 4, 1))
		}
		return Operation{Call: call, Return: call + 1, Index: 8, Outcome: Answered, Request: &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end)}, Response: resp}
	}
	all := append(h, read(1000, "a/", "a0", 1), read(1002, "b/", "b0"))
	group := func(h History) func(int) string {
		return func(i int) string {
			switch r := h[i].Request.(type) {
			case *pb.PutRequest:
				return string(r.Key[:1])
			case *pb.RangeRequest:
				return string(r.Key[:1])
			}
			t.Errorf("asked for the group of %v", h[i].Request)
			return ""
		}
	}
	if v := CheckWitness(log, all); v != nil {
		t.Fatalf("the witness: %v", v)
	}
	if _, v := CheckPorcupine(all, group(all), longEnough); v == nil {
		t.Error("keys vanish, and the search finds nothing wrong without knowing why")
	}
	served := WithServed(truth, all)
	if len(served) != len(all)+1 || served[len(all)].Client != Nobody || served[len(all)].Return != Each(8).Stamp {
		t.Fatalf("added: %v", served[len(all):])
	}
	for _, told := range []History{served, Settle(log, served)} {
		if report, v := CheckPorcupine(told, group(told), longEnough); v != nil || report.Undecided > 0 {
			t.Errorf("the search, knowing why: %v", v)
		}
	}
	late := WithServed(truth, append(all, Operation{Call: 1010, Return: 1011, Index: 8, Outcome: Answered,
		Request: &pb.RangeRequest{Key: []byte("b/1")}, Response: &pb.RangeResponse{Count: 1, Kvs: []*mvccpb.KeyValue{leasedKV("b/1", 7)}}}))
	if _, v := CheckPorcupine(late, group(late), longEnough); v == nil {
		t.Error("a key outlives its lease, and the search finds nothing wrong")
	}
}

// A client that ends its own lease, or may have.
func TestTheSearchKnowsOfLeasesThatAreRevoked(t *testing.T) {
	_, h := replay(t, Put("a", ""), &pb.RangeRequest{Key: []byte("a")})
	h[0].Request, h[1].Response.(*pb.RangeResponse).Kvs[0].Lease = Leased("a", 7), 7
	empty := Operation{Call: 20, Return: 21, Outcome: Answered, Request: &pb.RangeRequest{Key: []byte("a")}, Response: &pb.RangeResponse{}}
	full := h[1]
	full.Call, full.Return = 30, 31
	revoke := Operation{Call: 10, Return: 11, Outcome: Answered, Request: &pb.LeaseRevokeRequest{ID: 7}, Response: &pb.LeaseRevokeResponse{}}
	lost := Operation{Call: 10, Return: Never, Request: revoke.Request}
	for _, c := range []struct {
		name string
		h    History
		fine bool
	}{
		{"it holds no key any more", History{h[0], h[1], revoke, empty}, true},
		{"it still holds one", History{h[0], h[1], revoke, full}, false},
		{"it may have happened", History{h[0], h[1], lost, empty}, true},
		{"it may not", History{h[0], h[1], lost, full}, true},
		{"it can't be undone", History{h[0], h[1], lost, empty, full}, false},
		{"another lease's end does not matter", History{h[0], h[1], {Call: 10, Return: 11, Outcome: Answered, Request: &pb.LeaseRevokeRequest{ID: 8}}, empty}, false},
	} {
		if _, v := CheckPorcupine(c.h, onePart, longEnough); (v == nil) != c.fine {
			t.Errorf("%s: %v", c.name, v)
		}
	}
}

func leasedKV(key string, lease int64) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: []byte(key), CreateRevision: 3, ModRevision: 3, Version: 1, Lease: lease}
}

func TestServedWritesAreAddedOnce(t *testing.T) {
	lock := &pb.TxnRequest{Success: []*pb.RequestOp{OpPut(Leased("l/7", 7))}}
	log := Logged(&pb.LeaseGrantRequest{ID: 7, TTL: 5}, lock, Put("a", "mine"), Put("a", "maybe"), Delete("l/7"), &pb.LeaseRevokeRequest{ID: 9})
	mine := Operation{Call: 450, Return: 700, Index: 6, Outcome: Answered, Request: Put("a", "mine")}
	maybe := Operation{Call: 451, Return: Never, Request: Put("a", "maybe")}
	h := History{mine, maybe}
	got := WithServed(NewTruth(log, Each), h)
	if len(h) != 2 || len(got) != 4 || !proto.Equal(got[2].Request, lock) || got[2].Call != 0 || got[2].Return != 500 || got[2].Index != 5 ||
		!proto.Equal(got[3].Request, Delete("l/7")) || got[3].Call != 450 || got[3].Return != 800 || got[3].Outcome != Unknown {
		t.Errorf("%+v", got)
	}
}

// A transaction that is fenced by a lock's key goes through although no client ever wrote the key.
func TestTheSearchKnowsOfLocks(t *testing.T) {
	log := Logged(Put("lock/a", ""), FencedPut("lock/a", 2, "a's"), Delete("lock/a"), FencedPut("lock/a", 2, "too late"))
	write := func(at uint64, i int, succeeded bool) Operation {
		resp := &pb.TxnResponse{Succeeded: succeeded}
		if succeeded {
			resp.Responses = []*pb.ResponseOp{{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{}}}}
		}
		return Operation{Call: at - 1, Return: at + 1, Index: uint64(4 + i), Outcome: Answered, Request: log[i].Request.Txn, Response: resp}
	}
	h := History{write(500, 1, true), write(700, 3, false)}
	if _, v := CheckPorcupine(h, onePart, longEnough); v == nil {
		t.Error("the search takes a key for there that nobody made")
	}
	truth := NewTruth(log, Each)
	if _, v := CheckPorcupine(WithServed(truth, h), onePart, longEnough); v != nil {
		t.Error(v)
	}
	h[1] = write(700, 3, true)
	if _, v := CheckPorcupine(WithServed(truth, h), onePart, longEnough); v == nil {
		t.Error("a write goes through when its lock is gone, and the search finds nothing wrong")
	}
}

// What ends a lease may have been its time, though a client wanted it to end, too.
func TestEndsOfLeasesAreAlwaysAdded(t *testing.T) {
	revoke := &pb.LeaseRevokeRequest{ID: 7}
	log := Logged(&pb.LeaseGrantRequest{ID: 7, TTL: 5}, revoke)
	got := WithServed(NewTruth(log, Each), History{{Call: 10, Return: Never, Request: revoke}})
	if len(got) != 2 || got[1].Index != 5 {
		t.Errorf("%+v", got)
	}
}

func TestTheWitnessKnowsWhatMembersAdd(t *testing.T) {
	grant := func(id, ttl int64) *pb.LeaseGrantRequest { return &pb.LeaseGrantRequest{ID: id, TTL: ttl} }
	answered := func(index uint64, r *pb.LeaseGrantRequest, id, ttl int64) Operation {
		return Operation{Call: index, Return: index + 1, Index: index, Outcome: Answered, Request: r,
			Response: &pb.LeaseGrantResponse{Header: &pb.ResponseHeader{Revision: 1}, ID: id, TTL: ttl}}
	}
	lost := func(r proto.Message) Operation { return Operation{Call: 1, Return: Never, Request: r} }
	none := func(*pb.InternalRaftRequest) bool { return false }
	locks := func(r *pb.InternalRaftRequest) bool { return r.GetTxn() != nil }
	lock := &pb.TxnRequest{Success: []*pb.RequestOp{OpPut(Put("l/7", ""))}}
	for _, c := range []struct {
		name   string
		log    []Applied
		h      History
		served func(*pb.InternalRaftRequest) bool
		want   string
	}{
		{"an id is given", Logged(grant(7, 5)), History{answered(4, grant(0, 5), 7, 5)}, none, ""},
		{"a TTL is raised", Logged(grant(7, 2)), History{answered(4, grant(7, 1), 7, 2)}, none, ""},
		{"a TTL is cut", Logged(grant(7, 4)), History{answered(4, grant(7, 5), 7, 4)}, none, "linearizability"},
		{"another id than was asked for", Logged(grant(8, 5)), History{answered(4, grant(7, 5), 8, 5)}, none, "linearizability"},
		{"an id is given, and nobody knows", Logged(grant(9, 5)), History{lost(grant(0, 5))}, none, ""},
		{"an id is given twice for one request", Logged(grant(9, 5), grant(8, 5)), History{lost(grant(0, 5))}, none, "unasked"},
		{"an id was asked for, and nobody knows", Logged(grant(9, 5)), History{lost(grant(9, 4))}, none, ""},
		{"a lease that nobody asked for", Logged(grant(9, 5)), History{lost(grant(8, 5))}, none, "unasked"},
		{"a lock's key", Logged(lock), nil, locks, ""},
		{"a lock's key that nobody asked for", Logged(lock), nil, none, "unasked"},
		{"a put beside the locks", Logged(Put("a", "1")), nil, locks, "unasked"},
	} {
		t.Run(c.name, func(t *testing.T) { Verdict(t, CheckWitnessServing(c.log, c.h, c.served), c.want) })
	}
	h := Settle(Logged(grant(9, 5)), History{lost(grant(0, 5)), lost(grant(3, 5))})
	if h[0].Index != 4 || h[1].Outcome != Refused {
		t.Errorf("settled: %+v", h)
	}
}
