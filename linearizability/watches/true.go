package watches

import (
	"github.com/detcd/detcd/linearizability"
)

// filtered holds the promise that a watch tells only of what happened, in the range that was asked for, and passed by its filters. Nothing is told before
// a member has applied it. For prev_kv see prevRight.
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
