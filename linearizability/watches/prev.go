package watches

import (
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
)

// prevRight holds the promise of prev_kv. A watch that asked for it is told of the key as it was before the event's revision. There is none where the
// event created the key, and there may be none where that older revision had been compacted when the event was told. A watch that did not
// ask for it gets none.
func prevRight(w *watched) *linearizability.Violation {
	for _, u := range w.units {
		for _, e := range u.events {
			want := w.truth.Find(e).GetPrevKv()
			switch got := e.GetPrevKv(); {
			case got == nil && want == nil:
			case !w.Request.GetPrevKv() && got != nil:
				return w.broken("prev_kv", "nobody asked for one: %s", linearizability.Text(e))
			case !w.Request.GetPrevKv():
			case got == nil && !w.truth.CompactedBy(revisionOf(e), u.stamp):
				return w.broken("prev_kv", "it is missing at %d, with no compaction up to there: %s, want %s", u.stamp, linearizability.Text(e), linearizability.Text(want))
			case got != nil && !proto.Equal(got, want):
				return w.broken("prev_kv", "%s, want %s", linearizability.Text(e), linearizability.Text(want))
			}
		}
	}
	return nil
}
