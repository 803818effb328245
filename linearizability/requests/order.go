package requests

import (
	"cmp"
	"slices"

	"github.com/detcd/detcd/linearizability"
)

// ordering is the promise that a rank follows real time: an operation that was called after another one had returned has no lower rank.
type ordering struct {
	promise string
	among   []int // the operations that have a rank
	rank    func(*linearizability.Operation) uint64
	excused func(*linearizability.Operation) bool // if set: operations whose own rank may be too low, while others may still not fall below it
	beyond  func(*linearizability.Operation) bool // if set: operations that must have a greater rank, not just no lower one
}

// overtaken looks for an operation out of order, in linear time but for sorting.
func (o ordering) overtaken(h linearizability.History) *linearizability.Violation {
	byCall, byReturn := slices.Clone(o.among), slices.Clone(o.among)
	slices.SortStableFunc(byCall, func(a, b int) int { return cmp.Compare(h[a].Call, h[b].Call) })
	slices.SortStableFunc(byReturn, func(a, b int) int { return cmp.Compare(h[a].Return, h[b].Return) })
	best, next := -1, 0
	for _, i := range byCall {
		for ; next < len(byReturn) && h[byReturn[next]].Return < h[i].Call; next++ {
			if j := byReturn[next]; best < 0 || o.rank(&h[j]) > o.rank(&h[best]) {
				best = j
			}
		}
		if best < 0 || o.excused != nil && o.excused(&h[i]) {
			continue
		}
		least, got := o.rank(&h[best]), o.rank(&h[i])
		if got < least || got == least && o.beyond != nil && o.beyond(&h[i]) {
			return linearizability.Broken(o.promise, []int{best, i}, "operation %d was called after operation %d was answered, but comes before it:\n%s\n%s",
				i, best, describe(best, &h[best]), describe(i, &h[i]))
		}
	}
	return nil
}

// byRun sorts operations by the run of the member that answered them. Runs are in the order in which they first appear.
func byRun(h linearizability.History, among []int) [][]int {
	type run struct{ member, incarnation uint64 }
	places := make(map[run]int)
	var parts [][]int
	for _, i := range among {
		at := run{h[i].Member, h[i].Incarnation}
		part, known := places[at]
		if !known {
			part = len(parts)
			places[at], parts = part, append(parts, nil)
		}
		parts[part] = append(parts[part], i)
	}
	return parts
}
