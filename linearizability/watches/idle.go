package watches

import (
	"github.com/detcd/detcd/linearizability"
)

// sparedIdle holds the promise that a compaction ends no watch whose range saw no change: it has nothing to tell, so it has missed nothing.
// It is held for watches that begin with what is yet to happen. Of watches that begin in the past a client can't say when they have caught up.
func sparedIdle(w *watched) *linearizability.Violation {
	if len(w.units) == 0 || w.Unsure {
		return nil
	}
	u := &w.units[len(w.units)-1]
	if u.compacted == 0 || w.Request.GetStartRevision() != 0 && w.Request.GetStartRevision() <= w.units[0].revision {
		return nil
	}
	next, newest := w.Next(), w.truth.RevisionAt(u.stamp)
	for _, e := range w.truth.Since(next) {
		if revisionOf(e) > newest {
			break
		}
		if w.concerns(e) {
			return nil
		}
	}
	return w.broken("idle is spared", "it was canceled at %d for compact_revision %d, but nothing happened in its range from revision %d to %d",
		u.stamp, u.compacted, next, newest)
}
