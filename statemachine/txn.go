package statemachine

import (
	"bytes"
	"cmp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// A transaction is a tree of requests. It is walked three times:
//   - decide evaluates all compares, also nested ones, on the store as it was before the transaction;
//   - check looks for an operation of the chosen branches that must be refused. Nothing has changed yet, and every member finds the same;
//   - exec makes the changes and the reads.

// txnRun is one transaction under way. before is the store before it. m is nil if it only reads, on a view.
type txnRun struct {
	m      *Machine
	before reader
	want   bool
	// took says of each transaction whether its compares held, in the order in which a walk meets the nested ones. next is the walk's place.
	took []bool
	next int
}

// txn applies a transaction: one revision for all its changes, none if it changes nothing.
func (m *Machine) txn(r *pb.TxnRequest, want bool) (*pb.TxnResponse, error) {
	t := txnRun{m: m, before: m.reader(), want: want, took: m.decisions[:0]}
	t.decide(r)
	m.decisions = t.took
	if err := t.check(r); err != nil {
		return nil, err
	}
	t.next = 0
	resp := t.exec(r)
	m.commit()
	if resp != nil {
		resp.Header.Revision = m.rev
	}
	return resp, nil
}

// Txn answers a transaction that only reads; see IsReadOnly. It panics on one that writes.
func (rd *reader) Txn(r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if !IsReadOnly(r) {
		panic("statemachine: a transaction that writes was asked of a view")
	}
	t := txnRun{before: *rd, want: true}
	t.decide(r)
	if err := t.check(r); err != nil {
		return nil, err
	}
	t.next = 0
	resp := t.exec(r)
	resp.Header.Revision = rd.rev
	return resp, nil
}

// IsReadOnly says that no branch of r, nested ones included, can change anything, so that a view can answer it.
func IsReadOnly(r *pb.TxnRequest) bool {
	for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range ops {
			switch o := op.GetRequest().(type) {
			case *pb.RequestOp_RequestRange:
			case *pb.RequestOp_RequestTxn:
				if !IsReadOnly(o.RequestTxn) {
					return false
				}
			default:
				return false
			}
		}
	}
	return true
}

// branch returns the operations that the next transaction of the walk chose.
func (t *txnRun) branch(r *pb.TxnRequest) []*pb.RequestOp {
	took := t.took[t.next]
	t.next++
	if took {
		return r.GetSuccess()
	}
	return r.GetFailure()
}

func (t *txnRun) decide(r *pb.TxnRequest) {
	t.took = append(t.took, t.before.holdAll(r.GetCompare()))
	for _, op := range t.branch(r) {
		if nested, ok := op.GetRequest().(*pb.RequestOp_RequestTxn); ok {
			t.decide(nested.RequestTxn)
		}
	}
}

// check walks from the beginning, like exec: callers reset next between the two.
func (t *txnRun) check(r *pb.TxnRequest) error {
	t.next = 0
	return t.checkOps(r)
}

func (t *txnRun) checkOps(r *pb.TxnRequest) (err error) {
	for _, op := range t.branch(r) {
		switch o := op.GetRequest().(type) {
		case *pb.RequestOp_RequestRange:
			err = t.before.checkRevision(o.RequestRange.GetRevision())
		case *pb.RequestOp_RequestPut:
			err = t.m.checkPut(t.before, o.RequestPut)
		case *pb.RequestOp_RequestTxn:
			err = t.checkOps(o.RequestTxn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkRevision refuses a range within a transaction by its revision. A negative revision is compared like any other, and refused if it is below the
// compacted one, which is -1 at first. A range by itself takes a negative revision for the head. Both are etcd's ways.
func (rd *reader) checkRevision(rev int64) error {
	switch {
	case rev == 0:
		return nil
	case rev > rd.rev:
		return rpctypes.ErrGRPCFutureRev
	case rev < rd.compacted:
		return rpctypes.ErrGRPCCompacted
	}
	return nil
}

// exec makes the operations of the chosen branch, in order. The header of a nested answer stays empty, as in etcd. The caller fills in that of the
// outermost.
func (t *txnRun) exec(r *pb.TxnRequest) (resp *pb.TxnResponse) {
	succeeded := t.took[t.next]
	ops := t.branch(r)
	if t.want {
		resp = &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: succeeded}
		if len(ops) > 0 {
			resp.Responses = make([]*pb.ResponseOp, len(ops))
		}
	}
	for i, op := range ops {
		if answer := t.execOp(op); t.want {
			resp.Responses[i] = answer
		}
	}
	return resp
}

// execOp makes one operation; its answer is nil where none is wanted.
func (t *txnRun) execOp(op *pb.RequestOp) *pb.ResponseOp {
	answer := &pb.ResponseOp{}
	switch o := op.GetRequest().(type) {
	case *pb.RequestOp_RequestRange:
		if t.want {
			answer.Response = &pb.ResponseOp_ResponseRange{ResponseRange: t.execRange(o.RequestRange)}
		}
	case *pb.RequestOp_RequestPut:
		if put := t.m.execPut(o.RequestPut, t.want); t.want {
			answer.Response = &pb.ResponseOp_ResponsePut{ResponsePut: put}
		}
	case *pb.RequestOp_RequestDeleteRange:
		if del := t.m.execDeleteRange(o.RequestDeleteRange, t.want); t.want {
			answer.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: del}
		}
	case *pb.RequestOp_RequestTxn:
		if nested := t.exec(o.RequestTxn); t.want {
			answer.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: nested}
		}
	}
	return answer
}

func (t *txnRun) execRange(r *pb.RangeRequest) *pb.RangeResponse {
	rd := t.before
	if t.m != nil {
		rd = t.m.reader() // sees the transaction's own changes
	}
	res, err := rd.Range(r)
	if err != nil {
		panic("statemachine: a range that was checked before the transaction failed in it: " + err.Error())
	}
	return res.Response()
}

func (rd *reader) holdAll(cs []*pb.Compare) bool {
	for _, c := range cs {
		if !rd.holds(c) {
			return false
		}
	}
	return true
}

// holds says whether every key in the compare's range passes. If there is no key, the compare looks at a version whose numbers are all zero; a compare
// of values fails then.
func (rd *reader) holds(c *pb.Compare) bool {
	s := newSpan(c.GetKey(), c.GetRangeEnd())
	found, all := false, true
	if s.point {
		if v := rd.get(s.from, rd.rev); v != nil {
			return passes(c, v)
		}
	} else {
		rd.visit(s, rd.rev, func(v *version) bool {
			found, all = true, passes(c, v)
			return all
		})
	}
	if found {
		return all
	}
	return c.GetTarget() != pb.Compare_VALUE && passes(c, &version{})
}

// passes compares one version. If target_union is of another kind than the target, it counts as zero. With an unknown target, all are equal. With an
// unknown result, every comparison passes. So does etcd.
func passes(c *pb.Compare, v *version) bool {
	var result int
	switch c.GetTarget() {
	case pb.Compare_VALUE:
		result = bytes.Compare(v.value(), c.GetValue())
	case pb.Compare_CREATE:
		result = cmp.Compare(v.create, c.GetCreateRevision())
	case pb.Compare_MOD:
		result = cmp.Compare(v.main, c.GetModRevision())
	case pb.Compare_VERSION:
		result = cmp.Compare(v.number, c.GetVersion())
	case pb.Compare_LEASE:
		result = cmp.Compare(v.lease, c.GetLease())
	}
	switch c.GetResult() {
	case pb.Compare_EQUAL:
		return result == 0
	case pb.Compare_NOT_EQUAL:
		return result != 0
	case pb.Compare_GREATER:
		return result > 0
	case pb.Compare_LESS:
		return result < 0
	}
	return true
}

// kvOf is a version's message, nil for none.
func kvOf(v *version) *mvccpb.KeyValue {
	if v == nil {
		return nil
	}
	return v.keyValue()
}
