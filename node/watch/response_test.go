package watch_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/watch"
)

// TestResponse_AppendIsTheMessageEncoded for every field, and for real events.
func TestResponse_AppendIsTheMessageEncoded(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{RangeEnd: []byte{0}, PrevKv: true})
	w.put("a", "1")
	w.txn("a", "b")
	w.del("a")
	w.catchUp()
	responses, _ := c.stream.Step()
	if len(responses) != 2 || responses[1].EventCount != 4 {
		t.Fatalf("%d answers", len(responses))
	}
	responses = append(responses,
		watch.Response{},
		watch.Response{WatchID: -1, Revision: 9},
		watch.Response{WatchID: 1 << 40, Canceled: true, CompactRevision: 1 << 33, CancelReason: "why"},
		watch.Response{WatchID: 3, Fragment: true, Revision: 7, Events: responses[1].Events},
	)
	for _, r := range responses {
		m := r.Message(&pb.ResponseHeader{ClusterId: 1 << 63, MemberId: 2, RaftTerm: 3})
		if m.Header.Revision != r.Revision {
			t.Errorf("header %v, want revision %d", m.Header, r.Revision)
		}
		head, err := proto.Marshal(m.Header)
		if err != nil {
			t.Fatal(err)
		}
		got := &pb.WatchResponse{}
		if err := proto.Unmarshal(r.Append([]byte{}, head), got); err != nil || !proto.Equal(got, m) {
			t.Errorf("%v\n got %v\nwant %v", err, got, m)
		}
		if len(got.ProtoReflect().GetUnknown()) > 0 {
			t.Errorf("unknown fields in %v", got)
		}
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if got := r.Append(nil, head); err != nil || string(got) != string(want) {
			t.Errorf("%v\n got %x\nwant %x", err, got, want)
		}
	}
}
