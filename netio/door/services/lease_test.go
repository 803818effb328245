package services

import (
	"io"
	"slices"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/netio/door/doortest"
)

func TestLease_WithEtcdsClient(t *testing.T) {
	c := doortest.Dial(t, opened(t, doortest.NewSingle(), func(c *Config) { c.Limits.MinLeaseTTL = 5 }))
	ctx := doortest.Bounded(t)
	chosen, err := c.Grant(ctx, 60)
	if err != nil || chosen.ID == 0 || chosen.TTL != 60 {
		t.Fatalf("grant: %v, error %v", chosen, err)
	}
	short, err := c.Grant(ctx, 1)
	if err != nil || short.TTL != 5 || short.ID == chosen.ID {
		t.Errorf("grant of less than the least: %v, error %v", short, err)
	}
	if _, err := c.Put(ctx, "k", "v", clientv3.WithLease(chosen.ID)); err != nil {
		t.Fatal(err)
	}
	left, err := c.TimeToLive(ctx, chosen.ID, clientv3.WithAttachedKeys())
	if err != nil || left.TTL != 60 || left.GrantedTTL != 60 || len(left.Keys) != 1 || string(left.Keys[0]) != "k" {
		t.Errorf("time to live: %v, error %v", left, err)
	}
	if bare, err := c.TimeToLive(ctx, chosen.ID); err != nil || len(bare.Keys) != 0 || bare.TTL != 60 {
		t.Errorf("time to live without keys: %v, error %v", bare, err)
	}
	if all, err := c.Leases(ctx); err != nil || len(all.Leases) != 2 {
		t.Errorf("leases: %v, error %v", all, err)
	}
	if kept, err := c.KeepAliveOnce(ctx, chosen.ID); err != nil || kept.TTL != 60 {
		t.Errorf("keep-alive: %v, error %v", kept, err)
	}
	if _, err := c.Revoke(ctx, chosen.ID); err != nil {
		t.Error(err)
	}
	if got, err := c.Get(ctx, "k"); err != nil || got.Count != 0 {
		t.Errorf("the key of a revoked lease: %v, error %v", got, err)
	}
	if _, err := c.KeepAliveOnce(ctx, chosen.ID); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("keep-alive of a lease that is gone: %v", err)
	}
	if left, err := c.TimeToLive(ctx, chosen.ID); err != nil || left.TTL != -1 {
		t.Errorf("time to live of a lease that is gone: %v, error %v", left, err)
	}
	if _, err := c.Revoke(ctx, chosen.ID); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("revoking twice: %v", err)
	}
}

// A stream's renewals are under way together, and answered in the order of the requests, whichever is ready first. After the last request
// they are all answered, and the stream ends.
func TestLeaseKeepAlive_IsPipelined(t *testing.T) {
	b := doortest.NewSingle()
	const n = 50
	for id := range int64(n) {
		b.Apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: id + 1, TTL: 100 + id}})
	}
	var begun []func()
	b.OnRenew = func(id int64, done func(int64, error)) {
		begun = append(begun, func() { done(99+id, nil) })
		if len(begun) == n {
			slices.Reverse(begun)
			b.Later, begun = append(b.Later, begun...), nil
		}
	}
	stream, err := pb.NewLeaseClient(doortest.Dial(t, opened(t, b, nil)).ActiveConnection()).LeaseKeepAlive(doortest.Bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	for id := range int64(n) {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id + 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for id := range int64(n) {
		if r, err := stream.Recv(); err != nil || r.ID != id+1 || r.TTL != 100+id || r.Header.Revision != 1 {
			t.Fatalf("answer %d: %v, error %v", id+1, r, err)
		}
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("after the last answer: %v", err)
	}
}

// The header's revision is one at which the lease was surely alive: of before the renewal, not of what happened until the answer.
func TestLeaseKeepAlive_HeaderIsFromBefore(t *testing.T) {
	b := doortest.NewSingle()
	b.Apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: 7, TTL: 60}})
	b.OnRenew = func(_ int64, done func(int64, error)) {
		b.ApplyInTurn(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("k")}})
		done(60, nil)
	}
	stream, err := pb.NewLeaseClient(doortest.Dial(t, opened(t, b, nil)).ActiveConnection()).LeaseKeepAlive(doortest.Bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 7}); err != nil {
		t.Fatal(err)
	}
	if r, err := stream.Recv(); err != nil || r.Header.Revision != 1 {
		t.Errorf("%v, error %v", r, err)
	}
}

// However many requests a client sends without a renewal coming to an end, a bounded number are under way, and the end of the member ends
// the stream.
func TestLeaseKeepAlive_IsBoundedAndEndsWithTheMember(t *testing.T) {
	b := doortest.NewSingle()
	var begun atomic.Int64
	b.OnRenew = func(int64, func(int64, error)) { begun.Add(1) }
	d, address := openedServer(t, b, nil)
	stream, err := pb.NewLeaseClient(doortest.Dial(t, address).ActiveConnection()).LeaseKeepAlive(doortest.Bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 4 * renewalsMax {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 1}); err != nil {
			t.Fatal(err)
		}
	}
	doortest.Until(t, doortest.Bounded(t), "as many renewals as may be are under way", func() bool { return begun.Load() == renewalsMax })
	if err := closed(d, doortest.Bounded(t)); err != nil {
		t.Error(err)
	}
	if n := begun.Load(); n > renewalsMax {
		t.Errorf("%d renewals were under way", n)
	}
	if _, err := stream.Recv(); status.Convert(err).Message() != rpctypes.ErrorDesc(rpctypes.ErrGRPCStopped) {
		t.Errorf("error %v, want %v", err, rpctypes.ErrGRPCStopped)
	}
}

// An error that is not about the lease ends the stream, after the answers before it.
func TestLeaseKeepAlive_EndsWithAnError(t *testing.T) {
	b := doortest.NewSingle()
	b.OnRenew = func(id int64, done func(int64, error)) {
		if id == 2 {
			done(0, rpctypes.ErrGRPCTimeout)
			return
		}
		done(5, nil)
	}
	stream, err := pb.NewLeaseClient(doortest.Dial(t, opened(t, b, nil)).ActiveConnection()).LeaseKeepAlive(doortest.Bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []int64{1, 2, 3} {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
			break // the stream has ended already
		}
	}
	if r, err := stream.Recv(); err != nil || r.ID != 1 || r.TTL != 5 {
		t.Errorf("%v, error %v", r, err)
	}
	if r, err := stream.Recv(); status.Convert(err).Message() != rpctypes.ErrorDesc(rpctypes.ErrGRPCTimeout) {
		t.Errorf("%v, error %v, want %v", r, err, rpctypes.ErrGRPCTimeout)
	}
}

func TestLease_NotOnALearner(t *testing.T) {
	b := doortest.NewSingle()
	b.State.Learner = true
	leases := pb.NewLeaseClient(doortest.Dial(t, opened(t, b, nil)).ActiveConnection())
	want := rpctypes.ErrorDesc(rpctypes.ErrGRPCNotSupportedForLearner)
	if _, err := leases.LeaseTimeToLive(doortest.Bounded(t), &pb.LeaseTimeToLiveRequest{ID: 1}); status.Convert(err).Message() != want {
		t.Errorf("time to live: %v", err)
	}
	stream, err := leases.LeaseKeepAlive(doortest.Bounded(t))
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Convert(err).Message() != want {
		t.Errorf("keep-alive: %v", err)
	}
}
