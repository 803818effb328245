package watches

import (
	"github.com/detcd/detcd/linearizability"
)

// bookmarked holds the promise of bookmarks: a response without events says that all up to the revision in its header has been told, so no such
// event may come after it. And no header names an older revision than the events beneath it.
func bookmarked(w *watched) *linearizability.Violation {
	mark, at := int64(0), uint64(0)
	for i := range w.units {
		u := &w.units[i]
		for _, e := range u.events {
			switch {
			case revisionOf(e) <= mark:
				return w.broken("bookmarkable", "at %d everything up to revision %d had been told, now comes %s", at, mark, linearizability.Text(e))
			case u.whole && revisionOf(e) > u.revision:
				return w.broken("bookmarkable", "the header at %d names revision %d, above %s", u.stamp, u.revision, linearizability.Text(e))
			}
		}
		if u.bookmark() && u.revision > mark {
			mark, at = u.revision, u.stamp
		}
	}
	return nil
}
