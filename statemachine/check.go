package statemachine

import (
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

// CheckTxn says what is wrong with a transaction, whatever the state: it has too many operations (ErrGRPCTooManyOps), a part is wrong in itself, or
// one branch would write a key twice (ErrGRPCDuplicateKey). maxOps bounds the longest list of a transaction together with the longest of the
// transaction nested in it, and so on.
func CheckTxn(r *pb.TxnRequest, maxOps int) error {
	if err := checkTxnParts(r, maxOps); err != nil {
		return err
	}
	if _, err := checkOverlap(r.GetSuccess()); err != nil {
		return err
	}
	_, err := checkOverlap(r.GetFailure())
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
