package door

import (
	"bytes"
	"context"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/watch"
)

// benchmark makes calls from many goroutines over a few connections to a door whose backend costs next to nothing.
func benchmark(b *testing.B, call func(context.Context, pb.KVClient) error) {
	backend := newSingle()
	backend.apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("key"), Value: make([]byte, 256)}})
	address := opened(b, backend, nil)
	var clients []pb.KVClient
	for range 8 {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		clients = append(clients, pb.NewKVClient(conn))
	}
	next := make(chan pb.KVClient, 256)
	for i := range cap(next) {
		next <- clients[i%len(clients)]
	}
	b.SetParallelism(cap(next) / 2)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		c := <-next
		defer func() { next <- c }()
		for p.Next() {
			if err := call(context.Background(), c); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkRange(b *testing.B) {
	r := &pb.RangeRequest{Key: []byte("key")}
	benchmark(b, func(ctx context.Context, c pb.KVClient) error { _, err := c.Range(ctx, r); return err })
}

func BenchmarkPut(b *testing.B) {
	r := &pb.PutRequest{Key: []byte("key"), Value: make([]byte, 256)}
	benchmark(b, func(ctx context.Context, c pb.KVClient) error { _, err := c.Put(ctx, r); return err })
}

// BenchmarkEncodeRange is the answer of a large range, without the network.
func BenchmarkEncodeRange(b *testing.B) {
	backend := newSingle()
	for i := range 1000 {
		backend.apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte{byte(i >> 8), byte(i)}, Value: bytes.Repeat([]byte{1}, 256)}})
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
		encodeRange(header{1, 2, 3, 4}, result).data.Free()
	}
}

// BenchmarkEncodeWatch is the responses to 100 watchers of a stream that share an event, without the network; one operation is one response.
func BenchmarkEncodeWatch(b *testing.B) {
	const watchers = 100
	h := header{1 << 63, 1 << 62, 3, 0}
	events, err := proto.Marshal(&pb.WatchResponse{Events: []*mvccpb.Event{{Kv: &mvccpb.KeyValue{Key: []byte("key"), Value: make([]byte, 256)}}}})
	if err != nil {
		b.Fatal(err)
	}
	var e watchEncoder
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += watchers {
		for i := range watchers {
			r := watch.Response{WatchID: int64(i), Revision: int64(1_000_000 + done), Events: events, EventCount: 1}
			e.encode(h, &r, watchers-1-i)
		}
		e.forget()
	}
}
