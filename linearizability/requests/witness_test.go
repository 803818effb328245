package requests_test

import (
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	. "github.com/detcd/detcd/linearizability"
	. "github.com/detcd/detcd/linearizability/requests"
)

// in moves an operation to a member, and to a place within its entry.
func in(o Operation, member uint64, position uint32) Operation {
	o.Member, o.Position = member, position
	return o
}

func stale(o Operation) Operation {
	o.Request.(*pb.RangeRequest).Serializable = true
	return o
}

func refused(call, index uint64, r *pb.PutRequest, err error) Operation {
	return Operation{Client: 9, Call: call, Return: call + 1, Request: r, Outcome: Refused, Err: err, Index: index}
}

func TestWitnessAccountsForTheLog(t *testing.T) {
	w1 := putOp(1, 1, 2, 4, "k", "one", 2)
	twice := append(logOf(w1), Applied{Index: 5, Request: logOf(w1)[0].Request})
	unknown := Operation{Client: 2, Call: 1, Return: Never, Request: w1.Request}
	late := unknown
	late.Call = 9
	other := putOp(1, 1, 2, 5, "k", "two", 3)
	lease := &pb.PutRequest{Key: []byte("k"), Lease: 7}
	leaseLog := []Applied{{Index: 4, Request: &pb.InternalRaftRequest{Put: lease}}}
	expiry := append(logOf(w1), Applied{Index: 5, Request: &pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: 7}}})
	for _, c := range []struct {
		name    string
		log     []Applied
		history History
		want    string
	}{
		{"carried out twice", twice, History{w1}, "unasked, or twice"},
		{"asked for twice, with one outcome unknown", twice, History{w1, unknown}, ""},
		{"asked for again only after what stands behind it was answered", append(twice, logOf(putOp(1, 5, 6, 6, "k", "three", 4))...),
			History{w1, putOp(1, 5, 6, 6, "k", "three", 4), late}, "unasked, or twice"},
		{"asked for by nobody", append(logOf(w1), logOf(other)...), History{w1}, "unasked, or twice"},
		{"refused, and yet there", logOf(w1), History{refused(1, 0, w1.Request.(*pb.PutRequest), rpctypes.ErrGRPCNoLeader)}, "unasked, or twice"},
		{"refused by the state", leaseLog, History{refused(1, 4, lease, rpctypes.ErrGRPCLeaseNotFound)}, ""},
		{"refused by the state for another reason", leaseLog, History{refused(1, 4, lease, rpctypes.ErrGRPCKeyNotFound)}, "linearizability"},
		{"refused for the state's reasons by none", nil, History{refused(1, 0, lease, rpctypes.ErrGRPCLeaseNotFound)}, "linearizability"},
		{"a lease expired", expiry, History{w1}, ""},
		{"half of the log is missing", expiry[1:], History{w1}, "nothing acknowledged is lost"},
		{"a log out of order", []Applied{expiry[1], expiry[0]}, History{w1}, "linearizability"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := CheckWitness(c.log, c.history)
			if (v != nil) != (c.want != "") || v != nil && !strings.Contains(v.Promise, c.want) {
				t.Errorf("the witness says %v, want %q", v, c.want)
			}
		})
	}
}

func TestWitnessKnowsOrder(t *testing.T) {
	w1, w2 := putOp(1, 1, 2, 4, "k", "one", 2), putOp(2, 3, 4, 5, "k", "two", 3)
	log := logOf(w1, w2)
	first, second := in(putOp(1, 3, 4, 4, "k", "one", 2), 1, 0), in(putOp(2, 1, 2, 4, "j", "two", 3), 1, 1)
	for _, c := range []struct {
		name    string
		log     []Applied
		history History
		want    string
	}{
		{"in one entry against real time", logOf(first, second), History{first, second}, "real time"},
		{"a member shows an older state, though it may be stale", log,
			History{w1, w2, in(stale(getOp(3, 5, 6, 5, "k", "two", 3, 2, 3)), 1, 0), in(stale(getOp(4, 7, 8, 4, "k", "one", 2, 1, 2)), 1, 0)}, "never goes back"},
		{"another member does", log,
			History{w1, w2, in(stale(getOp(3, 5, 6, 5, "k", "two", 3, 2, 3)), 1, 0), in(stale(getOp(4, 7, 8, 4, "k", "one", 2, 1, 2)), 2, 0)}, ""},
		{"what a stale read saw, all see", log,
			History{w1, in(w2, 0, 0), in(stale(getOp(3, 3, 4, 5, "k", "two", 3, 2, 3)), 1, 0), in(getOp(4, 7, 8, 4, "k", "one", 2, 1, 2), 2, 0)}, "real time"},
		{"a stale read of what never was", log, History{w1, w2, stale(getOp(3, 5, 6, 4, "k", "two", 3, 2, 3))}, "linearizability"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := CheckWitness(c.log, c.history)
			if (v != nil) != (c.want != "") || v != nil && !strings.Contains(v.Promise, c.want) {
				t.Errorf("the witness says %v, want %q", v, c.want)
			}
		})
	}
}

func TestATxnMayBeStaleByEtcdsRule(t *testing.T) {
	w1, w2 := putOp(1, 1, 2, 4, "k", "one", 2), putOp(2, 3, 4, 5, "k", "two", 3)
	past := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("x"), Serializable: true}}}
	nested := &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{}}}
	for _, c := range []struct {
		name string
		ops  []*pb.RequestOp
		may  bool
	}{{"serializable ranges", []*pb.RequestOp{past}, true}, {"nothing", nil, true}, {"a txn inside", []*pb.RequestOp{past, nested}, false}} {
		o := Operation{Client: 3, Call: 5, Return: 6, Index: 4, Outcome: Answered, Request: &pb.TxnRequest{Failure: c.ops},
			Response: &pb.TxnResponse{Header: &pb.ResponseHeader{Revision: 2}, Succeeded: true}}
		if v := CheckWitness(logOf(w1, w2), History{w1, w2, o}); (v == nil) != c.may {
			t.Errorf("%s: may be stale: %v, but the witness says %v", c.name, c.may, v)
		}
	}
}

func TestHalfATxnIsFound(t *testing.T) {
	both := &pb.TxnRequest{Success: []*pb.RequestOp{
		{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("a"), Value: []byte("1")}}},
		{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("b"), Value: []byte("1")}}},
	}}
	log, h := replay(t, both, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	if v := check(t, log, h); v != nil {
		t.Fatal(v)
	}
	seen := h[1].Response.(*pb.RangeResponse)
	seen.Kvs, seen.Count = seen.Kvs[:1], 1
	if CheckWitness(log, h) == nil {
		t.Error("the witness takes half a txn for a whole one")
	}
	if _, v := CheckPorcupine(h, onePart, longEnough); v == nil {
		t.Error("porcupine takes half a txn for a whole one")
	}
}

func TestRevisionsOfWritesAreNew(t *testing.T) {
	read, write := getOp(1, 1, 2, 4, "k", "one", 5, 1, 5), putOp(2, 3, 4, 5, "k", "two", 5)
	if CheckRevisions(History{read, write}) == nil {
		t.Error("a write has a revision that had been shown before")
	}
	write.Call = 1
	if v := CheckRevisions(History{read, write}); v != nil {
		t.Errorf("a read may show a write that is under way: %v", v)
	}
	if CheckRevisions(History{write, putOp(3, 1, 9, 6, "j", "two", 5)}) == nil {
		t.Error("two writes have one revision")
	}
}
