package services

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/detcd/detcd/netio/door/wire"
	"github.com/detcd/detcd/node/call"
)

// serveRange answers a range. The answer is never a message: what the state machine stores is written out as it is.
func serveRange(ctx context.Context, srv *Server, r *pb.RangeRequest) (any, error) {
	a, err := carry(ctx, srv, &srv.timedRange, r)
	if err != nil {
		return nil, err
	}
	srv.traffic.operations.ranges.Add(1)
	return wire.EncodeRange(wire.HeaderOf(a.Header), a.Result), nil
}

// newTimedRange is call.Range with its reading timed.
func newTimedRange(t *traffic) call.Unary[*pb.RangeRequest, call.RangeAnswer] {
	u := call.Range
	u.Finish = func(r *pb.RangeRequest, o call.Outcome) (call.RangeAnswer, error) {
		start := time.Now()
		a, err := call.Range.Finish(r, o)
		took := time.Since(start).Seconds()
		if err != nil {
			t.rangeFailed.Observe(took)
		} else {
			t.ranged.Observe(took)
		}
		return a, err
	}
	return u
}

// serveRangeStream answers a range in pieces of bounded size. The next one is made when the client has taken the last, and no view is held
// while it does.
func serveRangeStream(self any, stream grpc.ServerStream) error {
	srv := self.(*Server)
	r := new(pb.RangeRequest)
	if err := stream.RecvMsg(r); err != nil {
		return err
	}
	chunks, err := carry(stream.Context(), srv, &call.OpenRangeStream, r)
	if err != nil {
		return unlessEnded(stream.Context(), err)
	}
	srv.traffic.operations.ranges.Add(1)
	for !chunks.Done() {
		if stream.Context().Err() != nil {
			return ended(stream.Context())
		}
		chunk, err := chunks.Read(srv.backend)
		if err != nil {
			return err
		}
		if err := stream.SendMsg(wire.EncodeChunk(&chunk, srv.backend.Status())); err != nil {
			return err
		}
	}
	return nil
}
