package services

import (
	"context"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/netio/door/doortest"
)

func TestErrors_OfImpatientClients(t *testing.T) {
	b := doortest.NewSingle()
	b.Stuck = make(chan struct{})
	defer close(b.Stuck)
	kv := pb.NewKVClient(doortest.Dial(t, opened(t, b, nil)).ActiveConnection())
	// The server's own answer is not seen by a client whose deadline has passed; so the handlers are asked.
	d, _ := openedServer(t, b, nil)
	defer closed(d, context.Background())
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	put := func(ctx context.Context) error {
		_, err := d.observed(ctx, d.methods.byName["/etcdserverpb.KV/Put"], func(ctx context.Context) (any, error) {
			return api[0].Methods[1].Handler(d, ctx, func(m any) error { m.(*pb.PutRequest).Key = []byte("k"); return nil }, nil)
		})
		return err
	}
	read := func(ctx context.Context) error {
		_, err := api[0].Methods[0].Handler(d, ctx, func(m any) error { m.(*pb.RangeRequest).Key = []byte("k"); return nil }, nil)
		return err
	}
	for _, c := range []struct {
		name      string
		got, want error
	}{
		{"put, cancelled", put(ended), rpctypes.ErrGRPCCanceled},
		{"put, too late", put(late), rpctypes.ErrGRPCTimeout},
		{"range, cancelled", read(ended), status.Error(codes.Canceled, "context canceled")},
		{"range, too late", read(late), status.Error(codes.DeadlineExceeded, "context deadline exceeded")},
	} {
		if c.got == nil || c.got.Error() != c.want.Error() {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	if _, err := kv.Put(ended, &pb.PutRequest{Key: []byte("k")}); status.Code(err) != codes.Canceled {
		t.Errorf("a cancelled put at the client: %v", err)
	}
}
