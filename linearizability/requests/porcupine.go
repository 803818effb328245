package requests

import (
	"io"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/linearizability"
)

const (
	// porcupineOpsMost is how many operations porcupine is given at a time. Of a longer window (see windows) only the beginning is judged.
	porcupineOpsMost = 500
	// porcupineStepsMost is how many steps a search may take. Their number can grow exponentially with the operations that are under way at
	// a time. This bound makes the verdict the same on every machine, which a time-out does not.
	porcupineStepsMost = 50_000
)

// Report says what porcupine could do.
type Report struct {
	// Judged operations took part. Undecided ones are in windows whose search took too many steps, or too long. LeftOut ones are those
	// beyond a window's bound.
	Judged, Undecided, LeftOut int
	// Picture draws the history of the group that broke the promise, as a page of HTML; nil if none did.
	Picture func(io.Writer) error
}

// CheckPorcupine holds the promise of linearizability by search (Wing and Gong's algorithm, as porcupine does it). It looks at the contents of the
// answers alone: it uses neither places in the log nor revisions. group names the group of keys that an operation is about. Operations of
// different groups must share no key; the empty name is for an operation that is about all keys.
//
// The end of a lease is part of every group. Each group is searched by itself, so the search may put that end at another time in each. It knows only
// of ends that are in the history; WithServed adds those that no client asked for.
//
// Left out are reads that may be stale, reads of the past, compactions, and grants of leases. In the other operations, what only a revision
// decides is taken as it was answered. CheckWitness covers all of that.
func CheckPorcupine(h linearizability.History, group func(i int) string, timeout time.Duration) (Report, *linearizability.Violation) {
	var report Report
	groups := make(map[string][]int)
	var ends []int // of leases, which take keys of all groups with them
	for i := range h {
		switch _, end := h[i].Request.(*pb.LeaseRevokeRequest); {
		case !judged(&h[i]):
		case end:
			ends = append(ends, i)
		default:
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
	for name, ops := range groups {
		names = append(names, name)
		if len(ends) > 0 {
			ops = append(ops, ends...)
			slices.Sort(ops)
			groups[name] = ops
		}
	}
	slices.Sort(names)
	deadline := time.Now().Add(timeout)
	for _, name := range names {
		for _, w := range windows(h, groups[name]) {
			report.LeftOut += w.over
			left := time.Until(deadline)
			if left <= 0 {
				report.Undecided += w.own
				continue
			}
			s := newSearch(w.from, porcupineStepsMost)
			result := porcupine.CheckOperationsTimeout(s.model(), w.ops, left)
			switch {
			case result == porcupine.Ok:
				report.Judged += w.own
			case result == porcupine.Unknown || s.exhausted():
				report.Undecided += w.own
			default:
				report.Picture = w.picture
				return report, linearizability.Broken("linearizability (porcupine)", w.origin, "no order of the %d operations on group %q from event %d on explains their answers",
					len(w.ops), name, w.ops[0].Call)
			}
		}
	}
	return report, nil
}

// picture draws the window as a page of HTML. The search is made once more for it: only a verbose one says how far it came.
func (w *window) picture(out io.Writer) error {
	s := newSearch(w.from, math.MaxInt)
	model := s.model()
	_, info := porcupine.CheckOperationsVerbose(model, w.ops, 0)
	return porcupine.Visualize(model, info, out)
}

// judged says whether an operation is in porcupine's model, and matters: one without an answer and without an effect does not.
func judged(o *linearizability.Operation) bool {
	if o.Outcome == linearizability.Refused || mayBeStale(o.Request) {
		return false
	}
	switch r := o.Request.(type) {
	case *pb.RangeRequest:
		return o.Outcome == linearizability.Answered && r.GetRevision() <= 0
	case *pb.TxnRequest:
		return o.Outcome == linearizability.Answered || !readsOnly(r)
	case *pb.PutRequest, *pb.DeleteRangeRequest, *pb.LeaseRevokeRequest:
		return true
	}
	return false
}
