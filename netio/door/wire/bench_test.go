package wire

import (
	"bytes"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/netio/door/doortest"
	"github.com/detcd/detcd/node/watch"
)

// BenchmarkEncodeRange is the answer of a large range, without the network.
func BenchmarkEncodeRange(b *testing.B) {
	backend := doortest.NewSingle()
	for i := range 1000 {
		backend.Apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte{byte(i >> 8), byte(i)}, Value: bytes.Repeat([]byte{1}, 256)}})
	}
	v := backend.AcquireView()
	defer v.Release()
	r := clientv3.OpGet("\x00", clientv3.WithFromKey())
	request := &pb.RangeRequest{Key: r.KeyBytes(), RangeEnd: r.RangeBytes()}
	b.ReportAllocs()
	for b.Loop() {
		result, err := v.Range(request)
		if err != nil {
			b.Fatal(err)
		}
		EncodeRange(Header{1, 2, 3, 4}, result).data.Free()
	}
}

// BenchmarkEncodeWatch is the responses to 100 watchers of a stream that share an event, without the network; one operation is one response.
func BenchmarkEncodeWatch(b *testing.B) {
	const watchers = 100
	h := Header{1 << 63, 1 << 62, 3, 0}
	events, err := proto.Marshal(&pb.WatchResponse{Events: []*mvccpb.Event{{Kv: &mvccpb.KeyValue{Key: []byte("key"), Value: make([]byte, 256)}}}})
	if err != nil {
		b.Fatal(err)
	}
	var e WatchEncoder
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += watchers {
		for i := range watchers {
			r := watch.Response{WatchID: int64(i), Revision: int64(1_000_000 + done), Events: events, EventCount: 1}
			e.Encode(h, &r, watchers-1-i)
		}
		e.Forget()
	}
}
