package door

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/statemachine"
)

// kvService is KV with handlers of our own, so that the answer of a Range is never a message: what the state machine stores is
// written out as it is.
var kvService = grpc.ServiceDesc{
	ServiceName: pb.KV_ServiceDesc.ServiceName,
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		kvMethod("Range", func(ctx context.Context, d *Door, r *pb.RangeRequest) (any, error) {
			a, err := do(ctx, d, &d.timedRange, r)
			if err != nil {
				return nil, err
			}
			d.traffic.operations.ranges.Add(1)
			return encodeRange(headerOf(a.Header), a.Result), nil
		}),
		kvMethod("Put", func(ctx context.Context, d *Door, r *pb.PutRequest) (any, error) {
			resp, err := do(ctx, d, &call.Put, r)
			if err == nil {
				d.traffic.operations.puts.Add(1)
			}
			return resp, err
		}),
		kvMethod("DeleteRange", func(ctx context.Context, d *Door, r *pb.DeleteRangeRequest) (any, error) {
			resp, err := do(ctx, d, &call.DeleteRange, r)
			if err == nil {
				d.traffic.operations.deletes.Add(1)
			}
			return resp, err
		}),
		kvMethod("Txn", func(ctx context.Context, d *Door, r *pb.TxnRequest) (any, error) {
			resp, err := do(ctx, d, &call.Txn, r)
			if err == nil {
				d.traffic.operations.countTxn(resp)
			}
			return resp, err
		}),
		kvMethod("Compact", func(ctx context.Context, d *Door, r *pb.CompactionRequest) (any, error) {
			return do(ctx, d, &call.Compact, r)
		}),
	},
	Streams:  []grpc.StreamDesc{{StreamName: "RangeStream", ServerStreams: true, Handler: rangeStream}},
	Metadata: pb.KV_ServiceDesc.Metadata,
}

// newTimedRange is call.Range with its reading timed.
func newTimedRange(t *traffic) call.Unary[*pb.RangeRequest, call.RangeAnswer] {
	return call.Unary[*pb.RangeRequest, call.RangeAnswer]{
		Begin: call.Range.Begin,
		Finish: func(r *pb.RangeRequest, o call.Outcome) (call.RangeAnswer, error) {
			start := time.Now()
			a, err := call.Range.Finish(r, o)
			took := time.Since(start).Seconds()
			if err != nil {
				t.rangeFailed.Observe(took)
			} else {
				t.ranged.Observe(took)
			}
			return a, err
		},
	}
}

// kvMethod describes a unary method of KV.
func kvMethod[Req any](name string, handle func(context.Context, *Door, *Req) (any, error)) grpc.MethodDesc {
	full := "/" + pb.KV_ServiceDesc.ServiceName + "/" + name
	return grpc.MethodDesc{MethodName: name, Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		d := srv.(*Door)
		r := new(Req)
		if err := decode(r); err != nil {
			return nil, err
		}
		return d.observed(ctx, d.methods.byName[full], func(ctx context.Context) (any, error) { return handle(ctx, d, r) })
	}}
}

func headerOf(h *pb.ResponseHeader) header {
	return header{cluster: h.GetClusterId(), member: h.GetMemberId(), term: h.GetRaftTerm(), revision: h.GetRevision()}
}

// rangeStream answers a range in pieces of bounded size. The next one is made when the client has taken the last, and no view is held
// while it does.
func rangeStream(srv any, stream grpc.ServerStream) error {
	d := srv.(*Door)
	r := new(pb.RangeRequest)
	if err := stream.RecvMsg(r); err != nil {
		return err
	}
	chunks, way, err := call.NewRangeStream(d.config.Limits, r)
	if err != nil {
		return err
	}
	var view *statemachine.View
	if way == call.Linearized {
		if view, err = d.linearize(stream.Context()); err != nil {
			return err
		}
	} else {
		view = d.backend.View()
	}
	d.traffic.operations.ranges.Add(1)
	for {
		if err := stream.Context().Err(); err != nil {
			view.Release()
			return ended(stream.Context())
		}
		chunk, err := chunks.Next(view)
		view.Release()
		if err != nil {
			return err
		}
		if err := stream.SendMsg(encodeChunk(&chunk, d.backend.Status())); err != nil {
			return err
		}
		if chunks.Done() {
			return nil
		}
		view = d.backend.View()
	}
}
