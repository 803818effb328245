package requests

import (
	"cmp"
	"slices"

	"github.com/detcd/detcd/linearizability"
)

// Settle returns a copy of a history in which the committed log tells what became of writes whose outcome is unknown. Porcupine's search would have to
// try each of these at every later moment, so this makes it much cheaper; the search depends a little on the log for that. The log must be
// final: nothing that is under way may be added to it later.
//
// A write whose request is not in the log, apart from what others can claim there, never happened: it becomes Refused. A write that is in the log and
// can be nobody else's had happened by the time that anything behind it in the log was answered: it gets its place, and that return. Its
// outcome stays Unknown, as nobody knows the answer. Where several equal requests have an unknown outcome, and only some of them are in
// the log, all stay as they are.
func Settle(log []linearizability.Applied, h linearizability.History) linearizability.History {
	settled := slices.Clone(h)
	claimed := make(map[place]bool)
	lost := make(map[string][]int)
	for i := range h {
		o := &h[i]
		switch {
		case !writes(o.Request):
		case o.Outcome == linearizability.Unknown:
			name := nameOf(wrapped(o.Request))
			lost[name] = append(lost[name], i)
		case o.Index > 0:
			claimed[place{o.Index, o.Position}] = true
		}
	}
	free, given := make(map[string][]place), givenIDs(h)
	for _, a := range log {
		if at := (place{a.Index, a.Position}); !claimed[at] {
			name := given.nameInLog(a.Request)
			free[name] = append(free[name], at)
		}
	}
	for name, ops := range lost { // the names share no operation, so the order does not matter
		for _, i := range ops {
			switch {
			case len(free[name]) == 0:
				settled[i].Outcome = linearizability.Refused
			case len(free[name]) == 1 && len(ops) == 1:
				settled[i].Index, settled[i].Position = free[name][0].index, free[name][0].position
			}
		}
	}
	return returned(settled)
}

// returned gives writes that have a place, but no answer, the first return of anything behind them.
func returned(h linearizability.History) linearizability.History {
	var placed []int
	for i := range h {
		if h[i].Index > 0 {
			placed = append(placed, i)
		}
	}
	slices.SortStableFunc(placed, func(a, b int) int { return cmp.Compare(rankOf(&h[b]), rankOf(&h[a])) })
	first := uint64(linearizability.Never)
	for _, i := range placed {
		switch o := &h[i]; {
		case o.Outcome == linearizability.Unknown && writes(o.Request):
			if first > o.Call {
				o.Return = first
			}
		case o.Outcome == linearizability.Answered && !mayBeStale(o.Request):
			first = min(first, o.Return)
		}
	}
	return h
}
