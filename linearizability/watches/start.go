package watches

import (
	"cmp"
	"slices"

	"github.com/detcd/detcd/linearizability"
)

// started holds the promise that a watch begins where it was asked to: at its start revision, also if that lies in the future. Without a start
// revision it begins behind the revision in the header of the created response. It never tells of anything older. A request that is not
// wrong is not refused. That header's revision may be an old one, as a member may lag; nowOnlyGrows says how old.
func started(w *watched) *linearizability.Violation {
	if len(w.units) > 0 && w.units[0].canceled && w.units[0].compacted == 0 && !w.Refusable {
		return w.broken("created", "it was refused: %q", w.units[0].reason)
	}
	for _, e := range w.events() {
		if revisionOf(e) < w.first {
			return w.broken("starts where asked", "it begins at revision %d, but tells of %s", w.first, linearizability.Text(e))
		}
	}
	return nil
}

// nowOnlyGrows holds the promise that one run of one member does not go back: when a watch is created, the header names no older revision than that run
// had told any watch before this one was asked for.
func nowOnlyGrows(t *linearizability.Truth, watches []*Record) *linearizability.Violation {
	type run struct{ member, incarnation uint64 }
	type shown struct {
		stamp    uint64
		revision int64
	}
	told := make(map[run][]shown)
	for _, w := range watches {
		for _, u := range unitsOf(w) {
			at := run{w.Member, w.Incarnation}
			told[at] = append(told[at], shown{u.stamp, u.revision})
		}
	}
	for at, all := range told {
		slices.SortStableFunc(all, func(a, b shown) int { return cmp.Compare(a.stamp, b.stamp) })
		for i := 1; i < len(all); i++ {
			all[i].revision = max(all[i].revision, all[i-1].revision)
		}
		told[at] = all
	}
	for i, r := range watches {
		all := told[run{r.Member, r.Incarnation}]
		before, _ := slices.BinarySearchFunc(all, r.Call, func(s shown, call uint64) int { return cmp.Compare(s.stamp, call) })
		units := unitsOf(r)
		if before == 0 || len(units) == 0 || units[0].revision >= all[before-1].revision {
			continue
		}
		w := &watched{Record: r, truth: t, name: i}
		return w.broken("a member's state never goes back", "created as of revision %d, when that run of the member had shown %d",
			units[0].revision, all[before-1].revision)
	}
	return nil
}
