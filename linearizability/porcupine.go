package linearizability

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// porcupineOpsMost bounds the operations of one group that are given to porcupine, whose work can grow exponentially with those that are
// under way at a time. Of a longer history its beginning is judged.
const porcupineOpsMost = 500

// Report says what porcupine could do.
type Report struct {
	// Judged operations took part; Undecided ones belong to groups that were not decided in time.
	Judged, Undecided int
	// Picture draws the history of the group that broke the promise, as a page of HTML; nil if none did.
	Picture func(io.Writer) error
}

// CheckPorcupine holds the promise of linearizability by search (Wing and Gong's algorithm as porcupine does it), without believing the members
// anything but the answers' contents: neither places in the log nor revisions. group names the group of keys that an operation is
// about; operations of different groups must share no key, and an empty name is one that is about all keys.
//
// Left out are reads that may be stale or are of the past, and compactions; of what is left, whatever only a revision decides is taken as
// it was answered. The witness covers those.
func CheckPorcupine(h History, group func(i int) string, timeout time.Duration) (Report, *Violation) {
	var report Report
	groups := make(map[string][]int)
	for i := range h {
		if judged(&h[i]) {
			groups[group(i)] = append(groups[group(i)], i)
		}
	}
	if all := groups[""]; len(all) > 0 && len(groups) > 1 {
		for name, ops := range groups {
			if name != "" {
				all = append(all, ops...)
			}
		}
		slices.Sort(all)
		groups = map[string][]int{"": all}
	}
	names := make([]string, 0, len(groups))
	for name := range groups {
		names = append(names, name)
	}
	slices.Sort(names)
	m := kvModel.ToModel()
	deadline := time.Now().Add(timeout)
	for _, name := range names {
		ops, origin := beginning(h, groups[name])
		left := time.Until(deadline)
		if left <= 0 {
			report.Undecided += len(ops)
			continue
		}
		result, info := porcupine.CheckOperationsVerbose(m, ops, left)
		switch result {
		case porcupine.Ok:
			report.Judged += len(ops)
		case porcupine.Unknown:
			report.Undecided += len(ops)
		default:
			report.Picture = func(w io.Writer) error { return porcupine.Visualize(m, info, w) }
			return report, violation("linearizability (porcupine)", origin, "no order of the %d operations on group %q explains their answers", len(ops), name)
		}
	}
	return report, nil
}

// judged says whether an operation is in porcupine's model and can matter: one that has no answer and no effect can't.
func judged(o *Operation) bool {
	if o.Outcome == Refused || mayBeStale(o.Request) {
		return false
	}
	switch r := o.Request.(type) {
	case *pb.RangeRequest:
		return o.Outcome == Answered && r.GetRevision() <= 0
	case *pb.TxnRequest:
		return o.Outcome == Answered || !readsOnly(r)
	case *pb.PutRequest, *pb.DeleteRangeRequest:
		return true
	}
	return false
}

// beginning makes porcupine's operations of the first ones of a group. Where later ones are cut off, those that may have seen a later one's
// effect are kept without their answer.
func beginning(h History, group []int) (ops []porcupine.Operation, origin []int) {
	slices.SortStableFunc(group, func(a, b int) int { return cmp.Compare(h[a].Call, h[b].Call) })
	cut := uint64(Never)
	if len(group) > porcupineOpsMost {
		cut = h[group[porcupineOpsMost]].Call
		group = group[:porcupineOpsMost]
	}
	for _, i := range group {
		o := &h[i]
		p := porcupine.Operation{ClientId: o.Client, Input: o, Call: int64(o.Call), Return: math.MaxInt64}
		if o.Outcome == Answered && o.Return < cut {
			p.Output, p.Return = o.Response, int64(o.Return)
		} else if wrapped(o.Request) == nil {
			continue
		}
		ops, origin = append(ops, p), append(origin, i)
	}
	return ops, origin
}

var kvModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{""} },
	Step: func(state, input, output any) []any {
		next := step(decodeKeys(state.(string)), input.(*Operation), output)
		states := make([]any, len(next))
		for i, k := range next {
			states[i] = k.encode()
		}
		return states
	},
	Hash: func(state any) uint64 {
		h := fnv.New64a()
		_, _ = io.WriteString(h, state.(string)) // never fails
		return h.Sum64()
	},
	DescribeOperation: func(input, output any) string {
		o := input.(*Operation)
		if output == nil {
			return fmt.Sprintf("%v → ?", o.Request)
		}
		return fmt.Sprintf("%v → %v", o.Request, output)
	},
	DescribeState: func(state any) string { return fmt.Sprint(decodeKeys(state.(string))) },
}
