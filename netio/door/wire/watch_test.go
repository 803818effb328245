package wire

import (
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/watch"
)

// What goes over the wire is the message that the response stands for.
func TestWatchEncoder_WritesWhatTheResponseSays(t *testing.T) {
	h := Header{Cluster: 1 << 63, Member: 2, Term: 3}
	events, err := proto.Marshal(&pb.WatchResponse{Events: []*mvccpb.Event{{Kv: &mvccpb.KeyValue{}}, {Kv: &mvccpb.KeyValue{}}}})
	if err != nil {
		t.Fatal(err)
	}
	var e WatchEncoder
	var wg sync.WaitGroup
	responses := []watch.Response{
		{Revision: 9, Created: true},
		{WatchID: -1, Revision: 9, Created: true, Canceled: true, CancelReason: strings.Repeat("long ", 100)},
		{WatchID: 3, Revision: 10, Events: events, EventCount: 2},
		{WatchID: 4, Revision: 10, Events: events, EventCount: 2, Fragment: true},
		{WatchID: 4, Revision: 10, Events: events[:len(events)/2], EventCount: 1},
		{WatchID: 4, Revision: 11, Canceled: true, CompactRevision: 5},
	}
	responses = append(responses, responses...)
	for i, r := range responses {
		data := e.Encode(h, &r, min(2, len(responses)-1-i)).data
		// The next ones must not disturb what is still on its way.
		wg.Go(func() {
			got := &pb.WatchResponse{}
			if err := proto.Unmarshal(data.Materialize(), got); err != nil {
				t.Errorf("%+v: %v", r, err)
			}
			want := r.Message(&pb.ResponseHeader{ClusterId: h.Cluster, MemberId: h.Member, RaftTerm: h.Term})
			if !proto.Equal(got, want) {
				t.Errorf("%v on the wire, want %v", got, want)
			}
		})
	}
	wg.Wait()
}
