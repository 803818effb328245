package services

import (
	"context"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/netio/door/doortest"
)

// A client whose stream this side ends is told why. "Canceled" would be its own word: it has not cancelled anything, and would not try again.

func TestRangeStream_EndedWhileItWaitsSaysWhy(t *testing.T) {
	b := doortest.NewSingle()
	b.Stuck = make(chan struct{})
	d, address := openedServer(t, b, nil)
	stream, err := pb.NewKVClient(doortest.Dial(t, address).ActiveConnection()).RangeStream(doortest.Bounded(t), &pb.RangeRequest{Key: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	doortest.Until(t, doortest.Bounded(t), "the stream is open", func() bool { return d.UnderWay() == 1 })
	if err := closed(d, doortest.Bounded(t)); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); status.Convert(err).Message() != rpctypes.ErrorDesc(rpctypes.ErrGRPCStopped) {
		t.Errorf("error %v, want %v", err, rpctypes.ErrGRPCStopped)
	}
}

// endedObserver is an observer's stream. This side ends it while it sends, and the member has forgotten the observer by the time that it has sent.
type endedObserver struct {
	grpc.ServerStream
	ctx  context.Context
	sent func()
}

func (s *endedObserver) Context() context.Context { return s.ctx }

func (s *endedObserver) RecvMsg(m any) error {
	m.(*v3electionpb.LeaderRequest).Name = []byte("e")
	return nil
}

func (s *endedObserver) SendMsg(any) error {
	s.sent()
	return nil
}

func TestObserve_EndedWhileItSendsSaysWhy(t *testing.T) {
	b := doortest.NewSingle()
	b.Apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("e/1"), Lease: b.Grant(1)}})
	d, _ := openedServer(t, b, nil)
	defer closed(d, context.Background())
	for range 100 { // the two ends of the stream race
		ctx, end := context.WithCancelCause(t.Context())
		s := &endedObserver{ctx: ctx, sent: func() {
			end(rpctypes.ErrGRPCStopped)
			doortest.Until(t, doortest.Bounded(t), "the observer is forgotten", func() bool {
				n := 0
				b.InTurn(func() { n = b.Hub.Stats().Interests })
				return n == 0
			})
		}}
		if err := serveObserve(d, s); err != rpctypes.ErrGRPCStopped {
			t.Fatalf("error %v, want %v", err, rpctypes.ErrGRPCStopped)
		}
	}
}
