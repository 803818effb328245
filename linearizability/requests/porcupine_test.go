package requests_test

import (
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	. "github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/linearizability/model"
	. "github.com/detcd/detcd/linearizability/requests"
)

// replay carries requests out one after the other and returns what a right cluster would answer.
func replay(t testing.TB, requests ...proto.Message) (log []Applied, h History) {
	t.Helper()
	state := model.New()
	for i, request := range requests {
		o := Operation{Client: 1, Call: uint64(2*i + 1), Return: uint64(2*i + 2), Request: request, Outcome: Answered, Index: uint64(len(log) + 3)}
		in := &pb.InternalRaftRequest{}
		switch r := request.(type) {
		case *pb.PutRequest:
			in.Put = r
		case *pb.DeleteRangeRequest:
			in.DeleteRange = r
		case *pb.TxnRequest:
			in.Txn = r
		case *pb.LeaseGrantRequest:
			in.LeaseGrant = r
		case *pb.RangeRequest:
			in.Range = r
		}
		var err error
		if o.Response, err = state.Apply(in); err != nil {
			t.Fatal(err)
		}
		if in.Range == nil {
			o.Index = uint64(len(log) + 4)
			log = append(log, Applied{Index: o.Index, Request: in})
		}
		h = append(h, o)
	}
	return log, h
}

func TestPorcupineKnowsEtcdsOddAnswers(t *testing.T) {
	put := func(key string) *pb.PutRequest { return &pb.PutRequest{Key: []byte(key), Value: []byte("v")} }
	all := func(r *pb.RangeRequest) *pb.RangeRequest {
		r.Key, r.RangeEnd = []byte{0}, []byte{0}
		return r
	}
	for _, c := range []struct {
		name     string
		requests []proto.Message
	}{
		{"a limit comes before a sort without an order", []proto.Message{put("a"), put("a"), put("a"), put("b"), put("b"), put("c"),
			all(&pb.RangeRequest{SortTarget: pb.RangeRequest_VERSION, Limit: 1}),
			all(&pb.RangeRequest{SortTarget: pb.RangeRequest_MOD, Limit: 1})}},
		{"a limit comes after a sort with one", []proto.Message{put("a"), put("a"), put("a"), put("b"), put("b"), put("c"),
			all(&pb.RangeRequest{SortTarget: pb.RangeRequest_VERSION, SortOrder: pb.RangeRequest_ASCEND, Limit: 1}),
			all(&pb.RangeRequest{SortTarget: pb.RangeRequest_CREATE, SortOrder: pb.RangeRequest_DESCEND, Limit: 2})}},
		{"keys alone show leases only where values are sorted", []proto.Message{&pb.LeaseGrantRequest{ID: 7, TTL: 9},
			&pb.PutRequest{Key: []byte("a"), Value: []byte("v"), Lease: 7},
			all(&pb.RangeRequest{KeysOnly: true}), all(&pb.RangeRequest{KeysOnly: true, SortTarget: pb.RangeRequest_VALUE})}},
		{"a txn deletes the key whose value it keeps", []proto.Message{put("a"), &pb.TxnRequest{Success: []*pb.RequestOp{
			{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}}},
			{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("a"), IgnoreValue: true}}},
		}}, all(&pb.RangeRequest{})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, h := replay(t, c.requests...)
			if v := CheckWitness(log, h); v != nil {
				t.Errorf("the witness: %v", v)
			}
			if _, v := CheckPorcupine(h, onePart, 10*time.Second); v != nil {
				t.Errorf("porcupine: %v", v)
			}
		})
	}
}

const longEnough = 10 * time.Second

func TestLongHistoriesAreJudgedInWindows(t *testing.T) {
	var requests []proto.Message
	whole := &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("b")}
	for i := range 700 {
		requests = append(requests, &pb.PutRequest{Key: []byte{'a', byte('0' + i%7)}, Value: []byte{byte('0' + i%10)}})
		if i%100 == 99 {
			requests = append(requests, whole)
		}
	}
	_, h := replay(t, requests...)
	report, v := CheckPorcupine(h, onePart, longEnough)
	if v != nil || report.Judged != len(h) || report.LeftOut+report.Undecided != 0 {
		t.Fatalf("%+v, %v", report, v)
	}
	last := h[len(h)-1].Response.(*pb.RangeResponse)
	last.Kvs[0].Version--
	if _, v := CheckPorcupine(h, onePart, longEnough); v == nil {
		t.Error("a wrong answer at the end is not found")
	}
	// Without the reads of everything there is nowhere to cut, and that much is said.
	var uncut History
	for _, o := range h {
		if _, read := o.Request.(*pb.RangeRequest); !read {
			uncut = append(uncut, o)
		}
	}
	report, v = CheckPorcupine(uncut, onePart, longEnough)
	if v != nil || report.LeftOut == 0 || report.Judged+report.LeftOut != len(uncut) {
		t.Errorf("%+v of %d, %v", report, len(uncut), v)
	}
}

func TestAWindowHandsOnWhatIsPending(t *testing.T) {
	_, h := replay(t, &pb.PutRequest{Key: []byte("k"), Value: []byte("one")}, &pb.RangeRequest{Key: []byte("k")},
		&pb.PutRequest{Key: []byte("k"), Value: []byte("two")}, &pb.RangeRequest{Key: []byte("k")})
	h[2].Call, h[2].Return, h[2].Outcome, h[2].Response, h[2].Index = 1, Never, Unknown, nil, 0
	h[0].Call = 2
	if report, v := CheckPorcupine(h, onePart, longEnough); v != nil || report.Judged != len(h) {
		t.Errorf("a write that was pending for long is forgotten: %+v, %v", report, v)
	}
}

func TestSettleTellsWhatBecameOfWrites(t *testing.T) {
	log, h := replay(t, &pb.PutRequest{Key: []byte("k"), Value: []byte("happened")}, &pb.PutRequest{Key: []byte("k"), Value: []byte("answered")})
	lost := func(value string) Operation {
		return Operation{Call: 1, Return: Never, Request: &pb.PutRequest{Key: []byte("k"), Value: []byte(value)}}
	}
	h[0] = lost("happened")
	h = append(h, lost("never"))
	settled := Settle(log, h)
	if o := settled[0]; o.Outcome != Unknown || o.Index != log[0].Index || o.Return != h[1].Return {
		t.Errorf("the write that happened: %+v", o)
	}
	if o := settled[2]; o.Outcome != Refused {
		t.Errorf("the write that never happened: %+v", o)
	}
	if h[2].Outcome != Unknown || h[0].Return != Never {
		t.Error("the history itself was changed")
	}
	twins := Settle(log, append(h, lost("happened")))
	if twins[0].Return != Never || twins[3].Outcome != Unknown {
		t.Error("nobody can know which of two equal writes happened")
	}
}
