package watches

import (
	"github.com/detcd/detcd/linearizability"
)

// ordered holds the promise that a watch tells events in the order of their revisions and never goes back. For the order within one revision see
// atomic.
func ordered(w *watched) *linearizability.Violation {
	last := int64(0)
	for _, e := range w.events() {
		if revisionOf(e) < last {
			return w.broken("ordered", "after revision %d it tells of %s", last, linearizability.Text(e))
		}
		last = revisionOf(e)
	}
	return nil
}
