package requests

import (
	"bytes"
	"cmp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// txn returns the states that a transaction may lead to from k. Its comparisons see before, the state in which the outermost began.
func txn(before, k keys, r *pb.TxnRequest, resp *pb.TxnResponse) []keys {
	can := holds(before, r.GetCompare())
	var next []keys
	for _, succeeded := range []bool{true, false} {
		if can != maybe && (can == yes) != succeeded || resp != nil && resp.GetSucceeded() != succeeded {
			continue
		}
		ops := r.GetFailure()
		if succeeded {
			ops = r.GetSuccess()
		}
		if resp != nil && len(resp.GetResponses()) != len(ops) {
			continue
		}
		states := []keys{k}
		for i, op := range ops {
			var answer *pb.ResponseOp
			if resp != nil {
				answer = resp.GetResponses()[i]
			}
			var after []keys
			for _, s := range states {
				after = append(after, txnOp(before, s, op, answer)...)
			}
			states = after
		}
		next = append(next, states...)
	}
	return next
}

func txnOp(before, k keys, op *pb.RequestOp, answer *pb.ResponseOp) []keys {
	switch {
	case op.GetRequestRange() != nil:
		r := op.GetRequestRange()
		if answer == nil || r.GetRevision() > 0 || explainsRange(k, r, answer.GetResponseRange()) {
			return []keys{k}
		}
	case op.GetRequestPut() != nil:
		if to, ok := put(before, k, op.GetRequestPut(), answer.GetResponsePut()); ok {
			return []keys{to}
		}
	case op.GetRequestDeleteRange() != nil:
		if to, ok := deleteRange(k, op.GetRequestDeleteRange(), answer.GetResponseDeleteRange()); ok {
			return []keys{to}
		}
	case op.GetRequestTxn() != nil:
		return txn(before, k, op.GetRequestTxn(), answer.GetResponseTxn())
	}
	return nil
}

type truth uint8

const (
	no truth = iota
	yes
	maybe // a revision decides
)

func holds(k keys, compares []*pb.Compare) truth {
	all := yes
	for _, c := range compares {
		in := k.within(c.GetKey(), c.GetRangeEnd())
		if len(in) == 0 {
			if c.GetTarget() == pb.Compare_VALUE {
				return no
			}
			in = keys{{}}
		}
		for _, one := range in {
			switch compareHolds(one, c) {
			case no:
				return no
			case maybe:
				all = maybe
			}
		}
	}
	return all
}

func compareHolds(one key, c *pb.Compare) truth {
	var order int
	revision := func(than int64) (known bool) {
		switch {
		case one.version == 0:
			order = cmp.Compare(0, than)
		case than <= 1: // the first revision that a write can have is 2
			order = 1
		default:
			return false
		}
		return true
	}
	switch c.GetTarget() {
	case pb.Compare_VALUE:
		order = bytes.Compare(one.value, c.GetValue())
	case pb.Compare_VERSION:
		order = cmp.Compare(one.version, c.GetVersion())
	case pb.Compare_LEASE:
		order = cmp.Compare(one.lease, c.GetLease())
	case pb.Compare_CREATE:
		if !revision(c.GetCreateRevision()) {
			return maybe
		}
	case pb.Compare_MOD:
		if !revision(c.GetModRevision()) {
			return maybe
		}
	}
	var ok bool
	switch c.GetResult() {
	case pb.Compare_EQUAL:
		ok = order == 0
	case pb.Compare_NOT_EQUAL:
		ok = order != 0
	case pb.Compare_GREATER:
		ok = order > 0
	case pb.Compare_LESS:
		ok = order < 0
	}
	if ok {
		return yes
	}
	return no
}
