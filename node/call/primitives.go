package call

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/detcd/detcd/statemachine"
)

// Pieces of the requests that the services above KV are made of.

// revisionIs compares a key's create or mod revision, 0 where there is no such key.
func revisionIs(target pb.Compare_CompareTarget, key []byte, rev int64) *pb.Compare {
	c := &pb.Compare{Key: key, Target: target, Result: pb.Compare_EQUAL}
	if target == pb.Compare_CREATE {
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: rev}
	} else {
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: rev}
	}
	return c
}

func putOp(key, value []byte, lease int64) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: value, Lease: lease}}}
}

func rangeOp(r *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}

func deleteOp(key []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key}}}
}

// firstUnder asks for the key under a prefix that was created first.
func firstUnder(prefix []byte) *pb.RangeRequest {
	return &pb.RangeRequest{Key: prefix, RangeEnd: prefixEnd(prefix), Limit: 1,
		SortTarget: pb.RangeRequest_CREATE, SortOrder: pb.RangeRequest_ASCEND}
}

// queuePrefix is where the keys of a lock or an election lie.
func queuePrefix(name []byte) []byte {
	return append(append(make([]byte, 0, len(name)+1), name...), '/')
}

// prefixEnd is the end of the range of all keys with a prefix that ends in a slash.
func prefixEnd(prefix []byte) []byte {
	last := len(prefix) - 1
	return append(prefix[:last:last], prefix[last]+1)
}

// one is the first key-value of a range at the view's head, nil if there is none.
func one(v *statemachine.View, r *pb.RangeRequest) *mvccpb.KeyValue {
	kv, err := oneAt(v, r)
	if err != nil {
		panic("call: the head can't be read: " + err.Error())
	}
	return kv
}

// oneAt is one for a range that has a revision. Its errors are those of View.Range.
func oneAt(v *statemachine.View, r *pb.RangeRequest) (*mvccpb.KeyValue, error) {
	res, err := v.Range(r)
	if err != nil || res.Len() == 0 {
		return nil, err
	}
	return res.KeyValue(0), nil
}
