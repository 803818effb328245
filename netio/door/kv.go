package door

import (
	"context"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
			a, err := do(ctx, d, &call.Range, r)
			if err != nil {
				return nil, err
			}
			return encodeRange(headerOf(a.Header), a.Result), nil
		}),
		kvMethod("Put", func(ctx context.Context, d *Door, r *pb.PutRequest) (any, error) { return do(ctx, d, &call.Put, r) }),
		kvMethod("DeleteRange", func(ctx context.Context, d *Door, r *pb.DeleteRangeRequest) (any, error) {
			return do(ctx, d, &call.DeleteRange, r)
		}),
		kvMethod("Txn", func(ctx context.Context, d *Door, r *pb.TxnRequest) (any, error) { return do(ctx, d, &call.Txn, r) }),
		kvMethod("Compact", func(ctx context.Context, d *Door, r *pb.CompactionRequest) (any, error) {
			return do(ctx, d, &call.Compact, r)
		}),
	},
	Streams:  []grpc.StreamDesc{{StreamName: "RangeStream", ServerStreams: true, Handler: rangeStream}},
	Metadata: pb.KV_ServiceDesc.Metadata,
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

// RangeStream's chunks: the first has few keys, the next as many as should make up streamBytes.
const (
	streamFirst = 16
	streamBytes = 1 << 20
)

// rangeStream answers a range in pieces of bounded size, all from one view: header, count and more come with the last.
func rangeStream(srv any, stream grpc.ServerStream) error {
	d := srv.(*Door)
	r := new(pb.RangeRequest)
	if err := stream.RecvMsg(r); err != nil {
		return err
	}
	if err := checkRangeStream(r); err != nil {
		return err
	}
	view := d.backend.View()
	if !r.GetSerializable() {
		view.Release()
		if d.backend.Status().Learner {
			return rpctypes.ErrGRPCNotSupportedForLearner
		}
		var err error
		if view, err = d.backend.Linearize(stream.Context()); err != nil {
			return err
		}
	}
	defer view.Release()
	return d.sendRange(view, r, func(part *pb.RangeResponse) error {
		return stream.SendMsg(&pb.RangeStreamResponse{RangeResponse: part})
	})
}

// checkRangeStream refuses what etcd refuses; clients fall back to Range on Unimplemented.
func checkRangeStream(r *pb.RangeRequest) error {
	if err := statemachine.CheckRange(r); err != nil {
		return err
	}
	ascending := r.GetSortOrder() == pb.RangeRequest_NONE || r.GetSortOrder() == pb.RangeRequest_ASCEND
	if r.GetSortTarget() != pb.RangeRequest_KEY || !ascending {
		return status.Error(codes.Unimplemented, "RangeStream does not support custom sort orders")
	}
	if r.GetMinModRevision() != 0 || r.GetMaxModRevision() != 0 || r.GetMinCreateRevision() != 0 || r.GetMaxCreateRevision() != 0 {
		return status.Error(codes.Unimplemented, "RangeStream does not support revision filters")
	}
	return nil
}

// sendRange reads r from view, a chunk at a time.
func (d *Door) sendRange(view *statemachine.View, r *pb.RangeRequest, send func(*pb.RangeResponse) error) error {
	left := r.GetLimit()
	if left <= 0 {
		left = math.MaxInt64
	}
	total := int64(-1)
	for chunk := int64(streamFirst); ; {
		r.Limit = min(chunk, left)
		part, err := view.Range(r)
		if err != nil {
			return err
		}
		if total < 0 {
			total = part.Count
		}
		n := int64(part.Len())
		left -= n
		resp := part.Response()
		resp.Header, resp.Count, resp.More = nil, 0, false
		if r.GetCountOnly() || !part.More || left == 0 {
			s := d.backend.Status()
			resp.Header = header{s.ClusterID, uint64(s.ID), s.Term, view.Revision()}.message()
			resp.Count, resp.More = total, part.More && !r.GetCountOnly()
			return send(resp)
		}
		if err := send(resp); err != nil {
			return err
		}
		last := resp.GetKvs()[n-1].GetKey()
		r.Key = append(last[:len(last):len(last)], 0)
		chunk = max(1, min(n*streamBytes/int64(part.Size()), 8*chunk))
	}
}
