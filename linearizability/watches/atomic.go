package watches

import (
	"github.com/detcd/detcd/linearizability"
)

// atomic holds the promise that all events of one revision come in one response, or in fragments of one, in the order in which they happened. Fragments
// whose last one did not come count as not told, but what came must still be in order.
func atomic(w *watched) *linearizability.Violation {
	next := 0 // in due
	for i := range w.units {
		u := &w.units[i]
		for len(u.events) > 0 && next < len(w.due) && revisionOf(w.due[next]) < revisionOf(u.events[0]) {
			next++ // see missed
		}
		for n, e := range u.events {
			for next < len(w.due) && revisionOf(w.due[next]) < revisionOf(e) {
				if n > 0 && revisionOf(u.events[n-1]) == revisionOf(w.due[next]) {
					return w.broken("atomic", "the response at %d has only some of revision %d: %s is not there", u.stamp, revisionOf(w.due[next]), linearizability.Text(w.due[next]))
				}
				next++
			}
			if next == len(w.due) || linearizability.NameEvent(w.due[next]) != linearizability.NameEvent(e) {
				return w.broken("atomic", "the response at %d has the events of revision %d in parts, or out of order, at %s", u.stamp, revisionOf(e), linearizability.Text(e))
			}
			next++
		}
		if n := len(u.events); n > 0 && u.whole && next < len(w.due) && revisionOf(w.due[next]) == revisionOf(u.events[n-1]) {
			return w.broken("atomic", "the response at %d ends within revision %d: %s is not there", u.stamp, revisionOf(w.due[next]), linearizability.Text(w.due[next]))
		}
	}
	return nil
}
