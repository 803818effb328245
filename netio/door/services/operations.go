package services

import (
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// operations counts what clients of this member asked of the keys and got. (etcd counts on every member what that member applies; here each
// operation is counted once in the cluster, at the member that answers it.)
type operations struct {
	ranges, puts, deletes, txns atomic.Uint64
}

// countTxn counts a transaction as etcd does: its operations each, and itself if it made more than one.
func (o *operations) countTxn(r *pb.TxnResponse) {
	if o.countOps(r) > 1 {
		o.txns.Add(1)
	}
}

func (o *operations) countOps(r *pb.TxnResponse) (sum int) {
	for _, op := range r.GetResponses() {
		switch op := op.GetResponse().(type) {
		case *pb.ResponseOp_ResponseRange:
			o.ranges.Add(1)
		case *pb.ResponseOp_ResponsePut:
			o.puts.Add(1)
		case *pb.ResponseOp_ResponseDeleteRange:
			o.deletes.Add(1)
		case *pb.ResponseOp_ResponseTxn:
			sum += o.countOps(op.ResponseTxn) - 1
		}
		sum++
	}
	return sum
}
