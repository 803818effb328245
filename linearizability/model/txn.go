package model

import (
	"bytes"
	"cmp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Txn does one branch of a transaction, all of it or, on an error, nothing.
// Every compare, also of nested transactions, and every check sees the store
// as it was before; each operation sees what those before it wrote. All writes
// share one revision. Errors are those of the first operation, in order, that
// cannot be done: see Put and Range.
func (s *State) Txn(r *pb.TxnRequest) (*pb.TxnResponse, error) {
	chosen := s.choose(r)
	if err := s.check(chosen); err != nil {
		return nil, err
	}
	w := s.begin()
	defer w.end()
	resp := w.txn(chosen)
	resp.Header.Revision = w.revision()
	return resp, nil
}

// branch is a transaction whose compares have been decided.
type branch struct {
	succeeded bool
	ops       []*pb.RequestOp
	nested    map[int]*branch // by place in ops
}

func (s *State) choose(r *pb.TxnRequest) *branch {
	b := &branch{succeeded: true, ops: r.GetSuccess(), nested: map[int]*branch{}}
	for _, c := range r.GetCompare() {
		if !s.holds(c) {
			b.succeeded, b.ops = false, r.GetFailure()
		}
	}
	for i, op := range b.ops {
		if t := op.GetRequestTxn(); t != nil {
			b.nested[i] = s.choose(t)
		}
	}
	return b
}

func (s *State) check(b *branch) error {
	for i, op := range b.ops {
		var err error
		switch {
		case op.GetRequestRange() != nil:
			err = s.checkRange(op.GetRequestRange())
		case op.GetRequestPut() != nil:
			err = s.checkPut(op.GetRequestPut())
		case op.GetRequestTxn() != nil:
			err = s.check(b.nested[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkRange is stricter than Range: here a negative revision below the last
// compaction's is refused too, where Range takes it to mean the newest.
func (s *State) checkRange(r *pb.RangeRequest) error {
	switch {
	case r.GetRevision() == 0:
		return nil
	case r.GetRevision() > s.revision:
		return rpctypes.ErrGRPCFutureRev
	case r.GetRevision() < s.compacted:
		return rpctypes.ErrGRPCCompacted
	}
	return nil
}

func (w *writing) txn(b *branch) *pb.TxnResponse {
	resp := &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: b.succeeded}
	for i, op := range b.ops {
		resp.Responses = append(resp.Responses, w.do(op, b.nested[i]))
	}
	return resp
}

func (w *writing) do(op *pb.RequestOp, nested *branch) *pb.ResponseOp {
	switch {
	case op.GetRequestRange() != nil:
		resp, err := w.s.rangeSeeing(op.GetRequestRange(), w.revision())
		if err != nil {
			panic("model: a range that passed its check was refused: " + err.Error())
		}
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: resp}}
	case op.GetRequestPut() != nil:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: w.put(op.GetRequestPut())}}
	case op.GetRequestDeleteRange() != nil:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseDeleteRange{
			ResponseDeleteRange: w.deleteRange(op.GetRequestDeleteRange()),
		}}
	case op.GetRequestTxn() != nil:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: w.txn(nested)}}
	}
	// An operation that names nothing never passes validation.
	return &pb.ResponseOp{}
}

// holds decides one compare: over a range, every key must satisfy it. No key
// at all compares as one whose numbers are all 0, but has no value that a
// compare of values could match.
func (s *State) holds(c *pb.Compare) bool {
	versions := within(s.current, c.GetKey(), c.GetRangeEnd())
	if len(versions) == 0 {
		return c.GetTarget() != pb.Compare_VALUE && satisfies(&version{}, c)
	}
	for _, v := range versions {
		if !satisfies(v, c) {
			return false
		}
	}
	return true
}

func satisfies(v *version, c *pb.Compare) bool {
	var order int
	switch c.GetTarget() {
	case pb.Compare_VALUE:
		order = bytes.Compare(v.value, c.GetValue())
	case pb.Compare_CREATE:
		order = cmp.Compare(v.created, c.GetCreateRevision())
	case pb.Compare_MOD:
		order = cmp.Compare(v.changed, c.GetModRevision())
	case pb.Compare_VERSION:
		order = cmp.Compare(v.number, c.GetVersion())
	case pb.Compare_LEASE:
		order = cmp.Compare(v.lease, c.GetLease())
	}
	switch c.GetResult() {
	case pb.Compare_EQUAL:
		return order == 0
	case pb.Compare_NOT_EQUAL:
		return order != 0
	case pb.Compare_GREATER:
		return order > 0
	case pb.Compare_LESS:
		return order < 0
	}
	// A relation that etcd does not know holds always.
	return true
}
