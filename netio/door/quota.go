package door

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
)

// What a stored key costs beside its own bytes and those of its value, and what a lease costs, as etcd estimates it.
const (
	keyOverhead = 256
	leaseCost   = 64
)

// withinQuota refuses a request that would store more than the quota allows, and raises the alarm with which the whole cluster then
// refuses to store anything, until an operator has made room and ends it. A member looks at its own state, before the
// request is proposed: the bound is approximate, as etcd's is.
func (d *Door) withinQuota(ctx context.Context, r *pb.InternalRaftRequest) error {
	if d.config.Limits.QuotaBytes <= 0 {
		return nil
	}
	cost := storageCost(r)
	if cost == 0 {
		return nil
	}
	view := d.backend.View()
	total, _ := view.Sizes()
	view.Release()
	if total+cost < d.config.Limits.QuotaBytes {
		return nil
	}
	self := uint64(d.backend.Status().ID)
	d.log.Warn("the space quota is used up; raising the alarm", zap.Int64("size", total), zap.Int64("quota", d.config.Limits.QuotaBytes))
	raise := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: self, Alarm: pb.AlarmType_NOSPACE}
	if _, err := d.backend.Propose(ctx, &pb.InternalRaftRequest{Alarm: raise}); err != nil {
		d.log.Warn("failed to raise the alarm", zap.Error(err))
	}
	return rpctypes.ErrGRPCNoSpace
}

// storageCost estimates what a request will store, in bytes; 0: nothing.
func storageCost(r *pb.InternalRaftRequest) int64 {
	switch {
	case r.Put != nil:
		return putCost(r.Put)
	case r.Txn != nil:
		return txnCost(r.Txn)
	case r.LeaseGrant != nil:
		return leaseCost
	}
	return 0
}

func putCost(r *pb.PutRequest) int64 { return keyOverhead + int64(len(r.GetKey())+len(r.GetValue())) }

// txnCost is that of the branch that would store more.
func txnCost(r *pb.TxnRequest) int64 {
	branch := func(ops []*pb.RequestOp) (sum int64) {
		for _, op := range ops {
			if p := op.GetRequestPut(); p != nil {
				sum += putCost(p)
			} else if t := op.GetRequestTxn(); t != nil {
				sum += txnCost(t)
			}
		}
		return sum
	}
	return max(branch(r.GetSuccess()), branch(r.GetFailure()))
}
