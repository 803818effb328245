package services

import (
	"fmt"
	"io"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/netio/door/doortest"
)

// A client that reads a stream slowly pins no view and has the server make no more than the connection takes; what it gets is still the
// state of the beginning, and a compaction meanwhile ends it.
func TestRangeStream_WaitsForTheClient(t *testing.T) {
	b := doortest.NewSingle()
	const keys = 200
	value := make([]byte, 100<<10) // all together more than the buffers between
	for i := range keys {
		b.Apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: fmt.Appendf(nil, "k%03d", i), Value: value}})
	}
	d, address := openedServer(t, b, nil)
	defer closed(d, doortest.Bounded(t))
	kv := pb.NewKVClient(doortest.Dial(t, address).ActiveConnection())
	ctx := doortest.Bounded(t)
	var streams []pb.KV_RangeStreamClient
	for range 2 {
		s, err := kv.RangeStream(ctx, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")})
		if err != nil {
			t.Fatal(err)
		}
		if first, err := s.Recv(); err != nil || len(first.RangeResponse.Kvs) == 0 || first.RangeResponse.Header != nil {
			t.Fatalf("first part: %v, error %v", first, err)
		}
		streams = append(streams, s)
	}
	doortest.Until(t, ctx, "no view is pinned", func() bool {
		pinned := 0
		b.InTurn(func() { pinned, _ = b.Machine.PinnedViews() })
		return pinned == 0
	})
	if sent := d.codec.Sent.Load(); sent > keys*uint64(len(value)) {
		t.Errorf("%d bytes were made for clients that have read a part", sent)
	}
	for i := range keys {
		b.Apply(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: fmt.Appendf(nil, "k%03d", i)}})
	}
	n := 10 // in the first part
	for {
		part, err := streams[0].Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n += len(part.RangeResponse.Kvs)
	}
	if n != keys {
		t.Errorf("%d keys, want the %d of before they were deleted", n, keys)
	}
	b.Apply(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: b.Machine.Published().Revision()}})
	var err error
	for err == nil {
		_, err = streams[1].Recv()
	}
	if status.Convert(err).Message() != rpctypes.ErrorDesc(rpctypes.ErrGRPCCompacted) {
		t.Errorf("after a compaction: %v", err)
	}
}
