package call

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/statemachine"
)

// RangeAnswer is a range's answer that is not put into a message yet, so that a door can write the stored bytes straight out. It
// stays valid after its view is released.
type RangeAnswer struct {
	Header *pb.ResponseHeader
	Result *statemachine.RangeResult
}

// Response is the answer as the API's message.
func (a RangeAnswer) Response() *pb.RangeResponse {
	r := a.Result.Response()
	r.Header = a.Header
	return r
}

// Range reads keys (KV.Range): linearized, unless it is serializable.
var Range = Unary[*pb.RangeRequest, RangeAnswer]{
	Method: pb.KV_Range_FullMethodName,
	Begin: func(_ Limits, r *pb.RangeRequest) (Step, error) {
		if err := statemachine.CheckRange(r); err != nil {
			return Step{}, err
		}
		return Step{Way: readingWay(r.GetSerializable())}, nil
	},
	Finish: func(r *pb.RangeRequest, o Outcome) (RangeAnswer, error) {
		result, err := o.View.Range(r)
		if err != nil {
			return RangeAnswer{}, err
		}
		return RangeAnswer{Header: header(o.Status, o.View.Revision()), Result: result}, nil
	},
}

// Put stores one key (KV.Put).
var Put = Unary[*pb.PutRequest, *pb.PutResponse]{
	Method: pb.KV_Put_FullMethodName,
	Begin: func(l Limits, r *pb.PutRequest) (Step, error) {
		if err := statemachine.CheckPut(r); err != nil {
			return Step{}, err
		}
		return propose(l, &pb.InternalRaftRequest{Put: r})
	},
	Finish: func(_ *pb.PutRequest, o Outcome) (*pb.PutResponse, error) {
		resp := o.Applied.Response.(*pb.PutResponse)
		complete(resp.GetHeader(), o.Status)
		return resp, nil
	},
}

// DeleteRange removes keys (KV.DeleteRange).
var DeleteRange = Unary[*pb.DeleteRangeRequest, *pb.DeleteRangeResponse]{
	Method: pb.KV_DeleteRange_FullMethodName,
	Begin: func(l Limits, r *pb.DeleteRangeRequest) (Step, error) {
		if err := statemachine.CheckDeleteRange(r); err != nil {
			return Step{}, err
		}
		return propose(l, &pb.InternalRaftRequest{DeleteRange: r})
	},
	Finish: func(_ *pb.DeleteRangeRequest, o Outcome) (*pb.DeleteRangeResponse, error) {
		resp := o.Applied.Response.(*pb.DeleteRangeResponse)
		complete(resp.GetHeader(), o.Status)
		return resp, nil
	},
}

// Txn compares and then reads or writes in one step (KV.Txn). One that can't write reads a view.
var Txn = Unary[*pb.TxnRequest, *pb.TxnResponse]{
	Method: pb.KV_Txn_FullMethodName,
	Begin: func(l Limits, r *pb.TxnRequest) (Step, error) {
		if err := statemachine.CheckTxn(r, l.MaxTxnOps); err != nil {
			return Step{}, err
		}
		if statemachine.IsReadOnly(r) {
			return Step{Way: readingWay(mayBeStale(r))}, nil
		}
		return propose(l, &pb.InternalRaftRequest{Txn: r})
	},
	Finish: func(r *pb.TxnRequest, o Outcome) (*pb.TxnResponse, error) {
		if o.View == nil {
			resp := o.Applied.Response.(*pb.TxnResponse)
			complete(resp.GetHeader(), o.Status)
			return resp, nil
		}
		resp, err := o.View.Txn(r)
		if err != nil {
			return nil, err
		}
		complete(resp.GetHeader(), o.Status)
		return resp, nil
	},
}

// Compact forgets history (KV.Compact). From its place in the log on, what is compacted can't be read any more. The memory is freed after that, in small steps. The
// answer to a physical compaction waits for that.
var Compact = Unary[*pb.CompactionRequest, *pb.CompactionResponse]{
	Method: pb.KV_Compact_FullMethodName,
	Begin: func(l Limits, r *pb.CompactionRequest) (Step, error) {
		return propose(l, &pb.InternalRaftRequest{Compaction: r})
	},
	Finish: func(_ *pb.CompactionRequest, o Outcome) (*pb.CompactionResponse, error) {
		resp := o.Applied.Response.(*pb.CompactionResponse)
		complete(resp.GetHeader(), o.Status)
		return resp, nil
	},
}

func readingWay(serializable bool) Way {
	if serializable {
		return Locally
	}
	return Linearized
}

func propose(l Limits, r *pb.InternalRaftRequest) (Step, error) {
	if proto.Size(r) > l.MaxRequestBytes {
		return Step{}, rpctypes.ErrGRPCRequestTooLarge
	}
	return Step{Way: Proposed, Request: r}, nil
}

// mayBeStale says whether a read-only transaction may be answered from an old state. A transaction that holds another one may not: etcd puts those through the log,
// so nobody expects a stale answer from them.
func mayBeStale(r *pb.TxnRequest) bool {
	for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range ops {
			if !op.GetRequestRange().GetSerializable() {
				return false
			}
		}
	}
	return true
}
