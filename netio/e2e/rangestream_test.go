package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// TestRangeStream_EveryOrderAndFilter: what RangeStream answers, put together, is what Range answers to the same request, whatever its order, filters
// and limit. etcd streams some of them only.
func TestRangeStream_EveryOrderAndFilter(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	kv := pb.NewKVClient(dialRaw(t, c.members[0]))
	ctx, cancel := context.WithTimeout(t.Context(), answerPatience)
	defer cancel()
	for i := range 90 { // neither keys, values, versions nor revisions come in the same order
		key, value := fmt.Sprintf("k%02d", i*7%30), fmt.Sprintf("%02d", i*11%90)
		if _, err := kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 {
			if _, err := kv.Put(ctx, &pb.PutRequest{Key: []byte(key)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, shape := range []*pb.RangeRequest{{}, {Limit: 13}, {MinModRevision: 30, MaxModRevision: 100}, {MaxCreateRevision: 25, Limit: 7}, {KeysOnly: true}, {CountOnly: true}} {
		for target := range pb.RangeRequest_SortTarget_name {
			for order := range pb.RangeRequest_SortOrder_name {
				r := proto.CloneOf(shape)
				r.Key, r.RangeEnd = []byte("k"), []byte("l")
				r.SortTarget, r.SortOrder = pb.RangeRequest_SortTarget(target), pb.RangeRequest_SortOrder(order)
				compareStream(t, ctx, kv, r)
			}
		}
	}
}

func compareStream(t *testing.T, ctx context.Context, kv pb.KVClient, r *pb.RangeRequest) {
	t.Helper()
	want, err := kv.Range(ctx, r)
	if err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	got, err := streamed(ctx, kv, r)
	if stockEtcd {
		filtered := r.GetMinModRevision()+r.GetMaxModRevision()+r.GetMinCreateRevision()+r.GetMaxCreateRevision() != 0
		inOrder := r.GetSortOrder() == pb.RangeRequest_NONE || r.GetSortOrder() == pb.RangeRequest_ASCEND && r.GetSortTarget() == pb.RangeRequest_KEY
		if !inOrder || filtered {
			if got := outcome(nil, err); !strings.HasPrefix(got, `Unimplemented "RangeStream does not support `) {
				t.Errorf("%v: %s", r, got)
			}
			return
		}
		if err == nil && r.GetSortTarget() != pb.RangeRequest_KEY {
			return // it sorts each chunk by itself: as a whole they are in no order
		}
	}
	if err != nil {
		t.Errorf("%v: %v", r, err)
	} else if !proto.Equal(got, want) {
		t.Errorf("%v:\n got %v\nwant %v", r, got, want)
	}
}

// streamed is the sum of a stream's chunks.
func streamed(ctx context.Context, kv pb.KVClient, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	stream, err := kv.RangeStream(ctx, r)
	if err != nil {
		return nil, err
	}
	sum := &pb.RangeResponse{}
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return sum, nil
		}
		if err != nil {
			return nil, err
		}
		proto.Merge(sum, chunk.GetRangeResponse())
	}
}
