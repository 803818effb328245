package statemachine_test

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"
)

// world is what a generator knows of the store, so that some of the revisions and leases that it draws exist, and some do not.
type world struct {
	rev, compacted int64
}

func genKey(t *rapid.T) []byte {
	return []byte(rapid.SampledFrom([]string{"a", "aa", "ab", "b", "b\x00", "c", "d", "e", "f\xff", "g"}).Draw(t, "key"))
}

func genEnd(t *rapid.T) []byte {
	return []byte(rapid.SampledFrom([]string{"", "", "\x00", "b", "c", "g", "a", "z"}).Draw(t, "end"))
}

// genRevision mostly draws the head's revision, often another one that can be read, and at times a compacted or a future one.
func (w world) genRevision(t *rapid.T) int64 {
	switch rapid.IntRange(0, 9).Draw(t, "which revision") {
	case 0:
		return rapid.Int64Range(-2, w.rev+2).Draw(t, "any revision")
	case 1, 2, 3:
		return rapid.Int64Range(max(w.compacted, 0), w.rev).Draw(t, "old revision")
	}
	return 0
}

func genLease(t *rapid.T) int64 { return rapid.Int64Range(0, 4).Draw(t, "lease") }

func (w world) genRange(t *rapid.T) *pb.RangeRequest {
	r := &pb.RangeRequest{Key: genKey(t), RangeEnd: genEnd(t), Revision: w.genRevision(t)}
	if rapid.Bool().Draw(t, "from all") {
		r.Key, r.RangeEnd = []byte{0}, []byte{0}
	}
	r.Limit = rapid.SampledFrom([]int64{0, 0, 1, 2, 3, 5, 100, -1}).Draw(t, "limit")
	r.SortOrder = pb.RangeRequest_SortOrder(rapid.IntRange(0, 2).Draw(t, "order"))
	r.SortTarget = pb.RangeRequest_SortTarget(rapid.IntRange(0, 4).Draw(t, "target"))
	r.Serializable = rapid.Bool().Draw(t, "serializable")
	r.KeysOnly = rapid.IntRange(0, 3).Draw(t, "keys only") == 0
	r.CountOnly = rapid.IntRange(0, 5).Draw(t, "count only") == 0
	if rapid.IntRange(0, 2).Draw(t, "filtered") == 0 {
		bound := func(name string) int64 {
			return max(0, rapid.Int64Range(-w.rev, w.rev+1).Draw(t, name))
		}
		r.MinModRevision, r.MaxModRevision = bound("min mod"), bound("max mod")
		r.MinCreateRevision, r.MaxCreateRevision = bound("min create"), bound("max create")
	}
	return r
}

func genPut(t *rapid.T) *pb.PutRequest {
	r := &pb.PutRequest{Key: genKey(t), PrevKv: rapid.Bool().Draw(t, "prev")}
	r.IgnoreValue = rapid.IntRange(0, 5).Draw(t, "ignore value") == 0
	r.IgnoreLease = rapid.IntRange(0, 5).Draw(t, "ignore lease") == 0
	if !r.IgnoreValue {
		r.Value = rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "value")
	}
	if !r.IgnoreLease && rapid.Bool().Draw(t, "leased") {
		r.Lease = genLease(t)
	}
	return r
}

func genDelete(t *rapid.T) *pb.DeleteRangeRequest {
	return &pb.DeleteRangeRequest{Key: genKey(t), RangeEnd: genEnd(t), PrevKv: rapid.Bool().Draw(t, "prev")}
}

func (w world) genCompare(t *rapid.T) *pb.Compare {
	c := &pb.Compare{Key: genKey(t), RangeEnd: genEnd(t)}
	c.Result = pb.Compare_CompareResult(rapid.IntRange(0, 3).Draw(t, "result"))
	c.Target = pb.Compare_CompareTarget(rapid.IntRange(0, 4).Draw(t, "compare target"))
	switch rapid.IntRange(0, 5).Draw(t, "union") {
	case 0:
		c.TargetUnion = &pb.Compare_Value{Value: rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "compared value")}
	case 1:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: rapid.Int64Range(0, w.rev).Draw(t, "create")}
	case 2:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: rapid.Int64Range(0, w.rev).Draw(t, "mod")}
	case 3:
		c.TargetUnion = &pb.Compare_Version{Version: rapid.Int64Range(0, 4).Draw(t, "version")}
	case 4:
		c.TargetUnion = &pb.Compare_Lease{Lease: genLease(t)}
	}
	return c
}

func (w world) genOps(t *rapid.T, depth int) (ops []*pb.RequestOp) {
	for range rapid.IntRange(0, 3).Draw(t, "operations") {
		op := &pb.RequestOp{}
		switch rapid.IntRange(0, 2+min(depth, 2)).Draw(t, "operation") {
		case 0:
			op.Request = &pb.RequestOp_RequestPut{RequestPut: genPut(t)}
		case 1:
			op.Request = &pb.RequestOp_RequestRange{RequestRange: w.genRange(t)}
		case 2:
			op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: genDelete(t)}
		default:
			op.Request = &pb.RequestOp_RequestTxn{RequestTxn: w.genTxn(t, depth-1)}
		}
		ops = append(ops, op)
	}
	return ops
}

func (w world) genTxn(t *rapid.T, depth int) *pb.TxnRequest {
	r := &pb.TxnRequest{}
	for range rapid.IntRange(0, 2).Draw(t, "compares") {
		r.Compare = append(r.Compare, w.genCompare(t))
	}
	r.Success, r.Failure = w.genOps(t, depth), w.genOps(t, depth)
	return r
}

// genRequest draws one request of the kinds that the model knows.
func (w world) genRequest(t *rapid.T) *pb.InternalRaftRequest {
	r := &pb.InternalRaftRequest{ID: rapid.Uint64Range(0, 3).Draw(t, "request id")}
	switch rapid.IntRange(0, 15).Draw(t, "request") {
	case 0, 1, 2, 3, 4:
		r.Put = genPut(t)
	case 5, 6:
		r.DeleteRange = genDelete(t)
	case 7, 8, 9, 10, 11:
		r.Txn = w.genTxn(t, 2)
	case 12:
		r.Range = w.genRange(t)
	case 13:
		r.Compaction = &pb.CompactionRequest{
			Revision: rapid.Int64Range(max(w.compacted, -1), w.rev+1).Draw(t, "compaction"),
			Physical: rapid.Bool().Draw(t, "physical"),
		}
	case 14:
		r.LeaseGrant = &pb.LeaseGrantRequest{ID: genLease(t), TTL: rapid.SampledFrom([]int64{1, 60, 9_000_000_001}).Draw(t, "ttl")}
	default:
		r.LeaseRevoke = &pb.LeaseRevokeRequest{ID: genLease(t)}
	}
	return r
}
