package watches

import (
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
)

// prevRight holds the promise of prev_kv: with it, an event comes with the key as it was before the event's revision, unless it created
// the key, or unless that older revision had been compacted when the event was told; without it, never.
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
