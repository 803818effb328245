package watches

import (
	"github.com/detcd/detcd/linearizability"
)

// missed holds the promise that a watch misses nothing: it has told of all that matches, from where it begins up to the last revision that it has told of
// in full or bookmarked. What comes after that it may still tell: see CheckCaughtUp.
func missed(w *watched) *linearizability.Violation {
	upTo := int64(0)
	for i := range w.units {
		switch u := &w.units[i]; {
		case u.bookmark():
			upTo = max(upTo, u.revision)
		case len(u.events) > 0 && u.whole:
			upTo = max(upTo, revisionOf(u.events[len(u.events)-1]))
		}
	}
	return w.complete("nothing missed", upTo)
}

// complete wants all events up to a revision to have been told in full.
func (w *watched) complete(promise string, upTo int64) *linearizability.Violation {
	told := make(map[linearizability.EventName]bool)
	for i := range w.units {
		for _, e := range w.units[i].events {
			told[linearizability.NameEvent(e)] = told[linearizability.NameEvent(e)] || w.units[i].whole
		}
	}
	for _, e := range w.due {
		if revisionOf(e) > upTo {
			break
		}
		if !told[linearizability.NameEvent(e)] {
			return w.broken(promise, "it has told of everything up to revision %d, but not of %s", upTo, linearizability.Text(e))
		}
	}
	return nil
}

// CheckCaughtUp holds the promise that a watch lags only for a while: every watch that lives has told of everything up to the final revision. It is for the
// end of a run: the caller has waited long enough since the trouble was over.
func CheckCaughtUp(t *linearizability.Truth, watches []*Record, final int64) *linearizability.Violation {
	for i, r := range watches {
		w, v := readWatch(t, i, r)
		switch {
		case v != nil:
			return v
		case !r.Live || len(w.units) > 0 && w.units[len(w.units)-1].canceled:
			continue
		case !w.begun:
			return w.broken("caught up", "it has not even been created")
		}
		if v := w.complete("caught up", final); v != nil {
			return v
		}
	}
	return nil
}
