package call

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
)

// What a stored key costs beside its own bytes and those of its value, and what a lease costs, in bytes, as etcd estimates it.
const (
	keyOverhead = 256
	leaseCost   = 64
)

// overQuota judges a request that is about to be proposed. Nil: it fits, or stores nothing. Otherwise raise is to be proposed in its place. It raises the alarm: from
// then on the whole cluster refuses to store anything, until an operator has made room and ends the alarm. Once raise is applied, or has failed, the client is answered
// ErrGRPCNoSpace.
//
// A member looks at its own state, before the request has its place in the log. So the bound is approximate, as etcd's is. While the alarm is up the state machine
// itself refuses such requests. A quota of 0 or less is none.
func overQuota(l Limits, r *pb.InternalRaftRequest, v *statemachine.View, self port.MemberID) (raise *pb.InternalRaftRequest) {
	if l.QuotaBytes <= 0 {
		return nil
	}
	cost := storageCost(r)
	if total, _ := v.Sizes(); cost == 0 || total+cost < l.QuotaBytes {
		return nil
	}
	return &pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{
		Action: pb.AlarmRequest_ACTIVATE, MemberID: uint64(self), Alarm: pb.AlarmType_NOSPACE,
	}}
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
