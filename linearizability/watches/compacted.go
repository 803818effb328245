package watches

import (
	"github.com/detcd/detcd/linearizability"
)

// compactedRight holds the promise that a watch ends by itself for one reason only: there was a compaction, to the revision that compact_revision names,
// and the watch had yet to tell of an older one. Any other end was asked for. A watch that ends although it had told of everything in its
// range is not noticed here: see sparedIdle.
func compactedRight(w *watched) *linearizability.Violation {
	if len(w.units) == 0 {
		return nil
	}
	u := &w.units[len(w.units)-1]
	switch {
	case !u.canceled && u.compacted != 0:
		return w.broken("compacted", "the response at %d names compact_revision %d, but does not cancel", u.stamp, u.compacted)
	case !u.canceled:
		return nil
	case u.compacted == 0:
		if asked := w.CancelCall > 0 && w.CancelCall < u.stamp; !asked && !u.created {
			return w.broken("compacted", "it was canceled at %d for no reason that it names: %q", u.stamp, u.reason)
		}
		return nil
	}
	next := w.Next()
	if next >= u.compacted {
		return w.broken("compacted", "it was canceled at %d for compact_revision %d, but goes on from %d", u.stamp, u.compacted, next)
	}
	for _, c := range w.truth.Compactions() {
		if c.Revision == u.compacted && w.truth.When(c.Place).Stamp <= u.stamp {
			return nil
		}
	}
	return w.broken("compacted", "it was canceled at %d for compact_revision %d, which nothing was compacted to by then", u.stamp, u.compacted)
}
