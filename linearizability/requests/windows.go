package requests

import (
	"bytes"
	"cmp"
	"math"
	"slices"

	"github.com/anishathalye/porcupine"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/linearizability"
)

// window is a part of a group's history that can be judged by itself.
type window struct {
	from   keys // the state in which it begins
	ops    []porcupine.Operation
	origin []int // of ops, in the history
	own    int   // how many of the operations are in no earlier window
	over   int   // how many operations beyond the bound were left out
}

// windows cuts a group's history at each read of all its keys that no other operation overlaps: the answer of such a read is the group's state at that
// time. A write that has not returned by then may also take effect in a later window, and is repeated there. So it could happen twice
// unnoticed; CheckWitness notices that.
func windows(h linearizability.History, group []int) []window {
	group = slices.Clone(group)
	slices.SortStableFunc(group, func(a, b int) int { return cmp.Compare(h[a].Call, h[b].Call) })
	least, most := writtenKeys(h, group)
	var ws []window
	var pending, part []int
	from, carried := keys(nil), 0
	end := func(cut uint64) {
		w := window{from: from, own: len(part) - carried}
		w.fill(h, part, cut)
		ws = append(ws, w)
	}
	last := uint64(0) // the last return so far
	for n, i := range group {
		o := &h[i]
		part = append(part, i)
		if o.Return == linearizability.Never && writes(o.Request) {
			pending = append(pending, i)
		}
		alone := o.Call > last && (n+1 == len(group) || h[group[n+1]].Call > o.Return)
		if o.Return != linearizability.Never {
			last = max(last, o.Return)
		}
		if alone && showsAll(o, least, most) {
			end(linearizability.Never)
			from = stateIn(o.Response.(*pb.RangeResponse))
			part, carried = slices.Clone(pending), len(pending)
		}
	}
	if len(part) > carried {
		end(linearizability.Never)
	}
	return ws
}

// fill makes porcupine's operations of a window's first ones. Where later ones are left out, an operation that overlaps them may have seen their
// effect, so it is kept without its answer.
func (w *window) fill(h linearizability.History, part []int, cut uint64) {
	if len(part) > porcupineOpsMost {
		cut = h[part[porcupineOpsMost]].Call
		w.over = len(part) - porcupineOpsMost
		w.own -= w.over
		part = part[:porcupineOpsMost]
	}
	for _, i := range part {
		o := &h[i]
		p := porcupine.Operation{ClientId: o.Client, Input: o, Call: int64(o.Call), Return: math.MaxInt64}
		switch {
		case o.Return >= cut || o.Return == linearizability.Never:
			if !writes(o.Request) {
				w.own--
				continue
			}
		case o.Outcome == linearizability.Answered:
			p.Output, p.Return = o.Response, int64(o.Return)
		default:
			p.Return = int64(o.Return) // see Settle
		}
		w.ops, w.origin = append(w.ops, p), append(w.origin, i)
	}
}

// showsAll says whether an answer shows all there is between two keys, and beyond.
func showsAll(o *linearizability.Operation, least, most []byte) bool {
	r, ok := o.Request.(*pb.RangeRequest)
	if !ok || o.Outcome != linearizability.Answered || r.GetRevision() > 0 || r.GetKeysOnly() || r.GetCountOnly() || byRevisions(r) {
		return false
	}
	whole := !o.Response.(*pb.RangeResponse).GetMore()
	return whole && linearizability.InSpan(least, r.GetKey(), r.GetRangeEnd()) && linearizability.InSpan(most, r.GetKey(), r.GetRangeEnd())
}

// stateIn is the state that such an answer shows.
func stateIn(resp *pb.RangeResponse) (k keys) {
	for _, kv := range byKey(resp.GetKvs()) {
		k = append(k, key{name: kv.GetKey(), value: kv.GetValue(), version: kv.GetVersion(), lease: kv.GetLease()})
	}
	return k
}

// writtenKeys returns the first and the last key that a group can have.
func writtenKeys(h linearizability.History, group []int) (least, most []byte) {
	note := func(k []byte) {
		if least == nil || bytes.Compare(k, least) < 0 {
			least = k
		}
		if most == nil || bytes.Compare(k, most) > 0 {
			most = k
		}
	}
	var inTxn func(r *pb.TxnRequest)
	inTxn = func(r *pb.TxnRequest) {
		for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
			for _, op := range ops {
				if p := op.GetRequestPut(); p != nil {
					note(p.GetKey())
				}
				inTxn(op.GetRequestTxn())
			}
		}
	}
	for _, i := range group {
		switch r := h[i].Request.(type) {
		case *pb.PutRequest:
			note(r.GetKey())
		case *pb.TxnRequest:
			inTxn(r)
		}
	}
	return least, most
}
