package watches

import (
	"github.com/detcd/detcd/linearizability"
)

// filtered holds the promise that a watch tells of what happened, in the range that was asked for, and of nothing that its filters leave
// out; and of nothing that no member had applied by then. Of prev_kv see prevRight.
func filtered(w *watched) *linearizability.Violation {
	for _, u := range w.units {
		newest := w.truth.RevisionAt(u.stamp)
		for _, e := range u.events {
			switch {
			case !w.matches(e):
				return w.broken("filterable", "it is not about %s", linearizability.Text(e))
			case w.truth.Find(e) == nil:
				return w.broken("true", "nothing in the log is %s", linearizability.Text(e))
			case revisionOf(e) > newest:
				return w.broken("nothing before it happened", "at %d revision %d was the newest, but it tells of %s", u.stamp, newest, linearizability.Text(e))
			}
		}
	}
	return nil
}
