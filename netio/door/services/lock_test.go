package services

import (
	"context"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/netio/door/doortest"
)

func TestLock_GoesFromOneToTheNext(t *testing.T) {
	b := doortest.NewSingle()
	conn := doortest.Dial(t, opened(t, b, nil)).ActiveConnection()
	locks := v3lockpb.NewLockClient(conn)
	ctx := doortest.Bounded(t)
	first, err := locks.Lock(ctx, &v3lockpb.LockRequest{Name: []byte("l"), Lease: b.Grant(1)})
	if err != nil || string(first.Key) != "l/1" || first.Header.MemberId != 1 {
		t.Fatalf("lock: %v, error %v", first, err)
	}
	// One who waits, and gives up: its place in the queue is free again.
	impatient, giveUp := context.WithCancel(ctx)
	gone := make(chan error)
	go func() {
		_, err := locks.Lock(impatient, &v3lockpb.LockRequest{Name: []byte("l"), Lease: b.Grant(2)})
		gone <- err
	}()
	doortest.Until(t, ctx, "the second one queues up", func() bool { return b.Keys() == 2 })
	giveUp()
	if err := <-gone; err == nil {
		t.Error("two hold the lock")
	}
	doortest.Until(t, ctx, "its place is given back", func() bool { return b.Keys() == 1 })
	// One who waits, and gets it.
	third := make(chan *v3lockpb.LockResponse)
	go func() {
		r, err := locks.Lock(ctx, &v3lockpb.LockRequest{Name: []byte("l"), Lease: b.Grant(3)})
		if err != nil {
			t.Error(err)
		}
		third <- r
	}()
	doortest.Until(t, ctx, "the third one queues up", func() bool { return b.Keys() == 2 })
	select {
	case <-third:
		t.Fatal("two hold the lock")
	default:
	}
	if _, err := locks.Unlock(ctx, &v3lockpb.UnlockRequest{Key: first.Key}); err != nil {
		t.Fatal(err)
	}
	if r := <-third; string(r.GetKey()) != "l/3" {
		t.Errorf("the third one got %v", r)
	}
}

func TestElection_LeadersAreObserved(t *testing.T) {
	b := doortest.NewSingle()
	elections := v3electionpb.NewElectionClient(doortest.Dial(t, opened(t, b, nil)).ActiveConnection())
	ctx := doortest.Bounded(t)
	if _, err := elections.Leader(ctx, &v3electionpb.LeaderRequest{Name: []byte("e")}); err == nil {
		t.Error("a leader before the election")
	}
	watching, stop := context.WithCancel(ctx)
	stream, err := elections.Observe(watching, &v3electionpb.LeaderRequest{Name: []byte("e")})
	if err != nil {
		t.Fatal(err)
	}
	elected, err := elections.Campaign(ctx, &v3electionpb.CampaignRequest{Name: []byte("e"), Lease: b.Grant(1), Value: []byte("a")})
	if err != nil || string(elected.Leader.Key) != "e/1" {
		t.Fatalf("campaign: %v, error %v", elected, err)
	}
	observed := func(value string) {
		t.Helper()
		if r, err := stream.Recv(); err != nil || string(r.Kv.Value) != value || r.Header.MemberId != 1 {
			t.Errorf("observed %v, error %v; want %s", r, err, value)
		}
	}
	observed("a")
	if _, err := elections.Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: elected.Leader, Value: []byte("b")}); err != nil {
		t.Fatal(err)
	}
	observed("b")
	if r, err := elections.Leader(ctx, &v3electionpb.LeaderRequest{Name: []byte("e")}); err != nil || string(r.Kv.Value) != "b" {
		t.Errorf("leader: %v, error %v", r, err)
	}
	next := make(chan *v3electionpb.CampaignResponse)
	go func() {
		r, err := elections.Campaign(ctx, &v3electionpb.CampaignRequest{Name: []byte("e"), Lease: b.Grant(2), Value: []byte("c")})
		if err != nil {
			t.Error(err)
		}
		next <- r
	}()
	doortest.Until(t, ctx, "the next one campaigns", func() bool { return b.Keys() == 2 })
	if _, err := elections.Resign(ctx, &v3electionpb.ResignRequest{Leader: elected.Leader}); err != nil {
		t.Fatal(err)
	}
	if r := <-next; string(r.GetLeader().GetKey()) != "e/2" {
		t.Errorf("the next one: %v", r)
	}
	observed("c")
	stop()
	// An observer leaves nothing behind that the member would go on telling.
	doortest.Until(t, ctx, "the observer is forgotten", func() bool {
		n := 0
		b.InTurn(func() { n = b.Hub.Stats().Interests })
		return n == 0
	})
}

// A client that reads slowly misses the oldest, and what it gets keeps its order.
func TestLeaders_AreBounded(t *testing.T) {
	l := &leaders{news: make(chan struct{}, 1)}
	const n = leadersMax + 10
	for i := range uint64(n) {
		l.push(&v3electionpb.LeaderResponse{Header: &pb.ResponseHeader{RaftTerm: i}})
	}
	<-l.news
	for i := range uint64(leadersMax) {
		if r := l.pop(); !proto.Equal(r.GetHeader(), &pb.ResponseHeader{RaftTerm: i + n - leadersMax}) {
			t.Fatalf("number %d is %v", i, r)
		}
	}
	if r := l.pop(); r != nil {
		t.Errorf("one too many: %v", r)
	}
}
