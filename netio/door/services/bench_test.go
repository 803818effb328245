package services

import (
	"context"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/detcd/detcd/netio/door/doortest"
)

// benchmark makes calls from many goroutines over a few connections to a door whose backend costs next to nothing.
func benchmark(b *testing.B, call func(context.Context, pb.KVClient) error) {
	backend := doortest.NewSingle()
	backend.Apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("key"), Value: make([]byte, 256)}})
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
