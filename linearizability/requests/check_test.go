package requests_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	. "github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/linearizability/model"
	. "github.com/detcd/detcd/linearizability/requests"
)

func putOp(client int, call, ret, index uint64, key, value string, revision int64) Operation {
	return Operation{Client: client, Call: call, Return: ret, Index: index, Outcome: Answered,
		Request:  &pb.PutRequest{Key: []byte(key), Value: []byte(value)},
		Response: &pb.PutResponse{Header: &pb.ResponseHeader{Revision: revision}}}
}

func getOp(client int, call, ret, index uint64, key, value string, mod, version, revision int64) Operation {
	resp := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: revision}}
	if value != "" {
		resp.Count = 1
		resp.Kvs = []*mvccpb.KeyValue{{Key: []byte(key), Value: []byte(value), CreateRevision: mod - version + 1, ModRevision: mod, Version: version}}
	}
	return Operation{Client: client, Call: call, Return: ret, Index: index, Outcome: Answered,
		Request: &pb.RangeRequest{Key: []byte(key)}, Response: resp}
}

func logOf(h ...Operation) (log []Applied) {
	for _, o := range h {
		if r, ok := o.Request.(*pb.PutRequest); ok {
			log = append(log, Applied{Index: o.Index, Position: o.Position, Request: &pb.InternalRaftRequest{Put: r}})
		}
	}
	return log
}

func onePart(int) string { return "a" }

// check runs all checks over a finished history and returns the first promise broken.
func check(t testing.TB, log []Applied, h History) *Violation {
	t.Helper()
	if v := CheckWitness(log, h); v != nil {
		return v
	}
	if v := CheckRevisions(h); v != nil {
		return v
	}
	for _, told := range []History{h, Settle(log, h)} {
		report, v := CheckPorcupine(told, onePart, 10*time.Second)
		if v != nil {
			return v
		}
		if report.Undecided > 0 {
			t.Fatalf("porcupine left %d operations undecided", report.Undecided)
		}
	}
	return nil
}

func TestAnomaliesAreFound(t *testing.T) {
	w1 := putOp(1, 1, 2, 4, "k", "one", 2)
	w2 := putOp(1, 3, 4, 5, "k", "two", 3)
	for _, c := range []struct {
		name    string
		log     []Applied
		history History
		witness string // what the log tells; empty: the history is right
		search  bool   // porcupine finds it too, without the log
	}{
		{"all is well", logOf(w1, w2), History{w1, w2, getOp(2, 5, 6, 5, "k", "two", 3, 2, 3)}, "", false},
		{"an overlapping read may see either", logOf(w1, w2), History{w1, w2, getOp(2, 3, 9, 4, "k", "one", 2, 1, 2)}, "", false},
		{"a stale read", logOf(w1, w2), History{w1, w2, getOp(2, 5, 6, 4, "k", "one", 2, 1, 2)}, "real time", true},
		{"a lost write", logOf(w1), History{w1, w2}, "nothing acknowledged is lost", false},
		{"a lost write, read", logOf(w1), History{w1, w2, getOp(2, 5, 6, 4, "k", "one", 2, 1, 2)}, "nothing acknowledged is lost", true},
		{"a write applied twice", append(logOf(w1), Applied{Index: 5, Request: logOf(w1)[0].Request}),
			History{w1, getOp(2, 5, 6, 4, "k", "one", 3, 2, 3)}, "linearizability", true},
		{"a value nobody wrote", logOf(w1), History{w1, getOp(2, 5, 6, 4, "k", "three", 2, 1, 2)}, "linearizability", true},
		{"two at one place", logOf(w1), History{w1, putOp(2, 1, 2, 4, "k", "one", 2)}, "linearizability", false},
		{"a wrong revision", logOf(w1), History{putOp(1, 1, 2, 4, "k", "one", 7)}, "linearizability", false},
		{"answered from nowhere", logOf(w1), History{putOp(1, 1, 2, 0, "k", "one", 2)}, "linearizability", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := CheckWitness(c.log, c.history)
			if (v != nil) != (c.witness != "") || v != nil && !strings.Contains(v.Promise, c.witness) {
				t.Errorf("the witness says %v, want %q", v, c.witness)
			}
			report, v := CheckPorcupine(c.history, onePart, 10*time.Second)
			if (v != nil) != c.search {
				t.Errorf("porcupine says %v, want a violation: %v", v, c.search)
			}
			if v != nil {
				var page bytes.Buffer
				if err := report.Picture(&page); err != nil || page.Len() == 0 {
					t.Errorf("no picture: %v", err)
				}
			} else if report.Judged != len(c.history) {
				t.Errorf("judged %d of %d", report.Judged, len(c.history))
			}
		})
	}
}

func TestUnknownWritesMayOrMayNotHappen(t *testing.T) {
	unknown := Operation{Client: 1, Call: 1, Return: Never, Request: &pb.PutRequest{Key: []byte("k"), Value: []byte("one")}}
	for _, h := range []History{
		{unknown, getOp(2, 5, 6, 3, "k", "", 0, 0, 1)},
		{unknown, getOp(2, 5, 6, 4, "k", "one", 2, 1, 2)},
		{unknown, getOp(2, 5, 6, 3, "k", "", 0, 0, 1), getOp(2, 7, 8, 4, "k", "one", 2, 1, 2)},
	} {
		if _, v := CheckPorcupine(h, onePart, 10*time.Second); v != nil {
			t.Errorf("%v", v)
		}
	}
	h := History{unknown, getOp(2, 5, 6, 4, "k", "one", 2, 1, 2), getOp(2, 7, 8, 3, "k", "", 0, 0, 1)}
	if _, v := CheckPorcupine(h, onePart, 10*time.Second); v == nil {
		t.Error("a write that was seen vanished, and nobody noticed")
	}
}

func TestRevisionsOnlyGrow(t *testing.T) {
	h := History{putOp(1, 1, 2, 4, "k", "one", 5), putOp(2, 3, 4, 5, "k", "two", 4)}
	if CheckRevisions(h) == nil {
		t.Error("a revision went back, and nobody noticed")
	}
	h[1].Call = 2
	if v := CheckRevisions(h); v != nil {
		t.Errorf("overlapping requests may be answered in any order: %v", v)
	}
	stale := getOp(2, 9, 10, 4, "k", "one", 2, 1, 2)
	stale.Request.(*pb.RangeRequest).Serializable = true
	stale.Member = 1
	if v := CheckRevisions(append(h[:1:1], stale)); v != nil {
		t.Errorf("a serializable read may be of the past: %v", v)
	}
	h = History{getOp(3, 5, 6, 4, "k", "one", 4, 1, 4), stale}
	h[0].Member = 1
	if CheckRevisions(h) == nil {
		t.Error("a member's state went back, and nobody noticed")
	}
	h[1].Incarnation = 2
	h[0].Request.(*pb.RangeRequest).Serializable = true
	if v := CheckRevisions(h); v != nil {
		t.Errorf("a member that restarted may know less for a while: %v", v)
	}
}

// drawn is a right history: requests carried out one after the other by the model, and stretched in time so that they overlap.
func drawn(t *rapid.T) ([]Applied, History) {
	state := model.New()
	var log []Applied
	var h History
	key := rapid.SampledFrom([]string{"a", "b", "c"})
	value := rapid.SampledFrom([]string{"1", "2", "3"})
	n := rapid.IntRange(1, 40).Draw(t, "requests")
	index := uint64(3)
	for i := range n {
		k, v := []byte(key.Draw(t, "key")), []byte(value.Draw(t, "value"))
		var request proto.Message
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0, 1:
			request = &pb.PutRequest{Key: k, Value: v, PrevKv: rapid.Bool().Draw(t, "prev")}
		case 2:
			request = &pb.DeleteRangeRequest{Key: k, PrevKv: true}
		case 3:
			request = &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("z"), Limit: rapid.Int64Range(0, 2).Draw(t, "limit"),
				KeysOnly: rapid.Bool().Draw(t, "keys only"), SortOrder: pb.RangeRequest_SortOrder(rapid.IntRange(0, 2).Draw(t, "order")),
				SortTarget: pb.RangeRequest_SortTarget(rapid.IntRange(0, 4).Draw(t, "target"))}
		case 4:
			request = &pb.RangeRequest{Key: k}
		default:
			request = &pb.TxnRequest{
				Compare: []*pb.Compare{{Key: k, Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: v}},
					{Key: k, Target: pb.Compare_MOD, Result: pb.Compare_GREATER, TargetUnion: &pb.Compare_ModRevision{ModRevision: 3}}},
				Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: k, Value: []byte("swapped")}}}},
				Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: k}}}},
			}
		}
		at := uint64(i+1) * 100
		if rapid.IntRange(0, 9).Draw(t, "never happens") == 0 {
			h = append(h, Operation{Client: i, Call: at + 50, Return: Never, Request: &pb.PutRequest{Key: k, Value: []byte("never")}})
		}
		o := Operation{Client: i, Request: request, Outcome: Answered, Call: at - rapid.Uint64Range(1, 99+100*uint64(min(i, 2))).Draw(t, "before"),
			Return: at + rapid.Uint64Range(1, 299).Draw(t, "after")}
		var in *pb.InternalRaftRequest
		switch r := request.(type) {
		case *pb.PutRequest:
			in = &pb.InternalRaftRequest{Put: r}
		case *pb.DeleteRangeRequest:
			in = &pb.InternalRaftRequest{DeleteRange: r}
		case *pb.TxnRequest:
			in = &pb.InternalRaftRequest{Txn: r}
		case *pb.RangeRequest:
			in = &pb.InternalRaftRequest{Range: r}
		}
		if in.Range == nil {
			index++
			log = append(log, Applied{Index: index, Request: in})
		}
		o.Index = index
		response, err := state.Apply(in)
		if err != nil {
			t.Fatal(err)
		}
		o.Response = response
		if rapid.IntRange(0, 9).Draw(t, "lost") == 0 {
			o.Outcome, o.Response, o.Return, o.Index = Unknown, nil, Never, 0
		}
		h = append(h, o)
	}
	return log, h
}

func TestRightHistoriesPass(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log, h := drawn(rt)
		if v := check(t, log, h); v != nil {
			rt.Fatalf("a right history is taken for wrong: %v", v)
		}
	})
}

func TestWrongAnswersAreFound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log, h := drawn(rt)
		i := rapid.IntRange(0, len(h)-1).Draw(rt, "victim")
		if h[i].Outcome != Answered {
			rt.Skip("it has no answer")
		}
		wrong := proto.Clone(h[i].Response)
		switch r := wrong.(type) {
		case *pb.PutResponse:
			r.Header.Revision += rapid.Int64Range(1, 3).Draw(rt, "off")
		case *pb.DeleteRangeResponse:
			r.Deleted++
		case *pb.RangeResponse:
			if len(r.Kvs) > 0 && rapid.Bool().Draw(rt, "value") {
				r.Kvs[0].Value = []byte("wrong")
			} else {
				r.Count++
			}
		case *pb.TxnResponse:
			r.Succeeded = !r.Succeeded
		}
		h[i].Response = wrong
		if CheckWitness(log, h) == nil {
			rt.Fatalf("operation %d was answered %v, and nobody noticed", i, wrong)
		}
	})
}

func TestPorcupineJudgesTheBeginningOfLongHistories(t *testing.T) {
	var h History
	for i := range 1200 {
		h = append(h, putOp(1, uint64(2*i+1), uint64(2*i+2), uint64(i+4), "k", fmt.Sprint(i), int64(i+2)))
	}
	report, v := CheckPorcupine(h, onePart, 10*time.Second)
	if v != nil || report.Judged < 400 || report.Judged == len(h) {
		t.Fatalf("judged %d of %d: %v", report.Judged, len(h), v)
	}
	h[100].Response.(*pb.PutResponse).PrevKv = nil
	h[100].Request.(*pb.PutRequest).PrevKv = true
	if _, v := CheckPorcupine(h, onePart, 10*time.Second); v == nil {
		t.Fatal("an answer in the beginning that can't be explained goes unnoticed")
	}
}
