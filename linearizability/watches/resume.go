package watches

import (
	"bytes"
	"slices"

	"github.com/detcd/detcd/linearizability"
)

// resumed holds the promise that a watch can go on at any member, from the revision after the last that was told. The second watch tells the rest,
// and nothing twice. As missed holds for both watches, nothing falls between them. compactedRight says when the second may be refused.
func resumed(w *watched) *linearizability.Violation {
	before := w.Resumes
	if before == nil {
		return nil
	}
	next, a, b := before.Next(), before.Request, w.Request
	if b.GetStartRevision() != next || !bytes.Equal(a.GetKey(), b.GetKey()) || !bytes.Equal(a.GetRangeEnd(), b.GetRangeEnd()) ||
		!slices.Equal(a.GetFilters(), b.GetFilters()) {
		return w.broken("the record is one", "it does not go on from revision %d of %s", next, linearizability.Text(a))
	}
	for _, e := range w.events() {
		if revisionOf(e) < next {
			return w.broken("resumable", "it goes on from revision %d, but tells again of %s", next, linearizability.Text(e))
		}
	}
	return nil
}
