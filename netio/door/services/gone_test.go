package services

import (
	"context"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/netio/door/doortest"
	"github.com/detcd/detcd/node/call"
)

// Clients may make requests and reset them at once. What nobody waits for any more must not take the time of others.

func TestDoor_ARequestOfAStreamThatIsGoneIsNotBegun(t *testing.T) {
	b := doortest.NewSingle()
	d, _ := openedServer(t, b, nil)
	defer closed(d, context.Background())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.OnLinearize = func() { t.Error("a read was begun") }
	if _, err := carry(ctx, d, &call.Range, &pb.RangeRequest{Key: []byte("a")}); status.Code(err) != codes.Canceled {
		t.Errorf("a range: error %v", err)
	}
	before := b.Status().Applied
	if _, err := carry(ctx, d, &call.Put, &pb.PutRequest{Key: []byte("a")}); status.Code(err) != codes.Canceled || b.Status().Applied != before {
		t.Errorf("a put: error %v, applied %d after %d", err, b.Status().Applied, before)
	}
}

// A client that is gone is no reason to say that an alarm is raised: none is.
func TestDoor_ARequestOfAStreamThatIsGoneRaisesNoAlarm(t *testing.T) {
	b := doortest.NewSingle()
	b.Put("k", "v")
	core, lines := observer.New(zap.InfoLevel)
	d, _ := openedServer(t, b, func(c *Config) { c.Limits.QuotaBytes, c.Logger = 1, zap.New(core) })
	defer closed(d, context.Background())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := carry(ctx, d, &call.Put, &pb.PutRequest{Key: []byte("a")}); err != rpctypes.ErrGRPCCanceled {
		t.Errorf("error %v, want %v", err, rpctypes.ErrGRPCCanceled)
	}
	if lines.Len() > 0 {
		t.Errorf("logged %v", lines.All())
	}
}

func TestDoor_AViewIsNotReadForAStreamThatIsGone(t *testing.T) {
	b := doortest.NewSingle()
	d, _ := openedServer(t, b, nil)
	defer closed(d, context.Background())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.OnLinearize = cancel // while it waits for its turn
	read := call.Range
	read.Finish = func(r *pb.RangeRequest, o call.Outcome) (call.RangeAnswer, error) {
		t.Error("the view was read")
		return call.Range.Finish(r, o)
	}
	if _, err := carry(ctx, d, &read, &pb.RangeRequest{Key: []byte("a")}); status.Code(err) != codes.Canceled {
		t.Errorf("error %v", err)
	}
	b.InTurn(func() {
		if n, _ := b.Machine.PinnedViews(); n != 0 {
			t.Errorf("%d views are still held", n)
		}
	})
}
