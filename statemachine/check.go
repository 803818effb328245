package statemachine

import (
	"bytes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// CheckRange says what is wrong with a range request, whatever the state: ErrGRPCEmptyKey or ErrGRPCInvalidSortOption.
func CheckRange(r *pb.RangeRequest) error {
	if len(r.GetKey()) == 0 {
		return rpctypes.ErrGRPCEmptyKey
	}
	if _, known := pb.RangeRequest_SortOrder_name[int32(r.GetSortOrder())]; !known {
		return rpctypes.ErrGRPCInvalidSortOption
	}
	if _, known := pb.RangeRequest_SortTarget_name[int32(r.GetSortTarget())]; !known {
		return rpctypes.ErrGRPCInvalidSortOption
	}
	return nil
}

// CheckPut says what is wrong with a put request, whatever the state: ErrGRPCEmptyKey, ErrGRPCValueProvided or ErrGRPCLeaseProvided.
func CheckPut(r *pb.PutRequest) error {
	switch {
	case len(r.GetKey()) == 0:
		return rpctypes.ErrGRPCEmptyKey
	case r.GetIgnoreValue() && len(r.GetValue()) != 0:
		return rpctypes.ErrGRPCValueProvided
	case r.GetIgnoreLease() && r.GetLease() != 0:
		return rpctypes.ErrGRPCLeaseProvided
	}
	return nil
}

// CheckDeleteRange says what is wrong with a delete request, whatever the state: ErrGRPCEmptyKey.
func CheckDeleteRange(r *pb.DeleteRangeRequest) error {
	if len(r.GetKey()) == 0 {
		return rpctypes.ErrGRPCEmptyKey
	}
	return nil
}

// CheckTxn says what is wrong with a transaction, whatever the state: too many operations (ErrGRPCTooManyOps; maxOps bounds the longest
// of its lists, plus that of the transactions nested in it), a part that is wrong in itself, or a key that one branch would write
// twice (ErrGRPCDuplicateKey).
func CheckTxn(r *pb.TxnRequest, maxOps int) error {
	if err := checkTxnParts(r, maxOps); err != nil {
		return err
	}
	if _, err := branchWrites(r.GetSuccess()); err != nil {
		return err
	}
	_, err := branchWrites(r.GetFailure())
	return err
}

func checkTxnParts(r *pb.TxnRequest, maxOps int) error {
	ops := max(len(r.GetCompare()), len(r.GetSuccess()), len(r.GetFailure()))
	if ops > maxOps {
		return rpctypes.ErrGRPCTooManyOps
	}
	for _, c := range r.GetCompare() {
		if len(c.GetKey()) == 0 {
			return rpctypes.ErrGRPCEmptyKey
		}
	}
	for _, branch := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range branch {
			if err := checkOp(op, maxOps-ops); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkOp(op *pb.RequestOp, maxOps int) error {
	switch op := op.GetRequest().(type) {
	case *pb.RequestOp_RequestRange:
		return CheckRange(op.RequestRange)
	case *pb.RequestOp_RequestPut:
		return CheckPut(op.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		return CheckDeleteRange(op.RequestDeleteRange)
	case *pb.RequestOp_RequestTxn:
		return checkTxnParts(op.RequestTxn, maxOps)
	}
	return rpctypes.ErrGRPCKeyNotFound // an operation that is none; etcd's answer
}

// writes are the keys that a list of operations may put, and the ranges it may delete.
type writes struct {
	puts    map[string]struct{}
	deletes []*pb.DeleteRangeRequest
}

// branchWrites collects the writes of one branch. Two operations of a branch must not put one key, nor one put what another deletes;
// the two branches of a nested transaction exclude each other, so between them that is allowed.
func branchWrites(ops []*pb.RequestOp) (writes, error) {
	all := writes{puts: map[string]struct{}{}}
	for _, op := range ops {
		var one writes
		switch op := op.GetRequest().(type) {
		case *pb.RequestOp_RequestPut:
			one.puts = map[string]struct{}{string(op.RequestPut.GetKey()): {}}
		case *pb.RequestOp_RequestDeleteRange:
			one.deletes = []*pb.DeleteRangeRequest{op.RequestDeleteRange}
		case *pb.RequestOp_RequestTxn:
			var err error
			if one, err = branchWrites(op.RequestTxn.GetSuccess()); err != nil {
				return writes{}, err
			}
			other, err := branchWrites(op.RequestTxn.GetFailure())
			if err != nil {
				return writes{}, err
			}
			one.add(other)
		default:
			continue
		}
		if all.conflicts(one) {
			return writes{}, rpctypes.ErrGRPCDuplicateKey
		}
		all.add(one)
	}
	return all, nil
}

func (w *writes) add(o writes) {
	for key := range o.puts {
		w.puts[key] = struct{}{}
	}
	w.deletes = append(w.deletes, o.deletes...)
}

func (w *writes) conflicts(o writes) bool {
	for key := range o.puts {
		if _, twice := w.puts[key]; twice || deletesKey(w.deletes, key) {
			return true
		}
	}
	for key := range w.puts {
		if deletesKey(o.deletes, key) {
			return true
		}
	}
	return false
}

func deletesKey(deletes []*pb.DeleteRangeRequest, key string) bool {
	k := []byte(key)
	for _, d := range deletes {
		switch {
		case len(d.GetRangeEnd()) == 0:
			if bytes.Equal(d.GetKey(), k) {
				return true
			}
		case bytes.Compare(d.GetKey(), k) <= 0 && (isFromKey(d.GetRangeEnd()) || bytes.Compare(k, d.GetRangeEnd()) < 0):
			return true
		}
	}
	return false
}

// isFromKey says whether a range end means "all keys from the first on".
func isFromKey(end []byte) bool { return len(end) == 1 && end[0] == 0 }
