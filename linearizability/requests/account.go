package requests

import (
	"cmp"
	"slices"

	"github.com/detcd/detcd/linearizability"
)

// account wants somebody to have asked for everything in the log. An entry that no answered operation claims must be a request of unknown outcome. Each of
// these stands for one entry at most, and for none before what had been answered when it was called.
func (w *witness) account() *linearizability.Violation {
	free := make(map[string][]int) // places in the log that nobody claims, by request
	var names []string             // of free, in order of their first place
	given := givenIDs(w.history)
	for at, a := range w.log {
		if _, ours := w.claimed[place{a.Index, a.Position}]; ours || !ofClients(a.Request) || w.served(a.Request) {
			continue
		}
		name := given.nameInLog(a.Request)
		if free[name] == nil {
			names = append(names, name)
		}
		free[name] = append(free[name], at)
	}
	if len(names) == 0 {
		return nil
	}
	lost, floors := make(map[string][]int), w.floors()
	for i := range w.history {
		if o := &w.history[i]; o.Outcome == linearizability.Unknown && writes(o.Request) {
			name := nameOf(wrapped(o.Request))
			lost[name] = append(lost[name], i)
		}
	}
	for _, name := range names {
		if at := w.unaccounted(free[name], lost[name], floors); at >= 0 {
			a := &w.log[at]
			return linearizability.Broken("nothing happens unasked, or twice", lost[name], "nobody can have asked for what is at %d.%d in the log: %s",
				a.Index, a.Position, linearizability.Text(a.Request))
		}
	}
	return nil
}

// unaccounted pairs places in the log with equal requests of unknown outcome. It returns the first place that is left over, or -1. A request can stand
// only behind its floor. So a place is left over if fewer requests have their floor before it than there are places up to it.
func (w *witness) unaccounted(free, lost []int, floors map[int]uint64) int {
	byFloor := slices.Clone(lost)
	slices.SortStableFunc(byFloor, func(a, b int) int { return cmp.Compare(floors[a], floors[b]) })
	ready := 0
	for taken, at := range free {
		here := linearizability.Operation{Request: requestIn(w.log[at].Request), Index: w.log[at].Index, Position: w.log[at].Position}
		for ready < len(byFloor) && floors[byFloor[ready]] < rankOf(&here) {
			ready++
		}
		if ready <= taken {
			return at
		}
	}
	return -1
}

// floors gives for each operation of unknown outcome the last place that had been answered when it was called.
func (w *witness) floors() map[int]uint64 {
	var lost, placed []int
	for i := range w.history {
		switch o := &w.history[i]; {
		case o.Outcome == linearizability.Unknown:
			lost = append(lost, i)
		case o.Index > 0:
			placed = append(placed, i)
		}
	}
	slices.SortStableFunc(lost, func(a, b int) int { return cmp.Compare(w.history[a].Call, w.history[b].Call) })
	slices.SortStableFunc(placed, func(a, b int) int { return cmp.Compare(w.history[a].Return, w.history[b].Return) })
	floors := make(map[int]uint64, len(lost))
	floor := uint64(0)
	for _, i := range lost {
		for len(placed) > 0 && w.history[placed[0]].Return < w.history[i].Call {
			floor = max(floor, rankOf(&w.history[placed[0]]))
			placed = placed[1:]
		}
		floors[i] = floor
	}
	return floors
}
