package watches

import (
	"github.com/detcd/detcd/linearizability"
)

// unique holds the promise that a watch tells no event twice. (One transaction can change a key more than once where it deletes
// everything from some key on; these are events of their own.)
func unique(w *watched) *linearizability.Violation {
	told := make(map[linearizability.EventName]int)
	for _, e := range w.events() {
		name := linearizability.NameEvent(e)
		told[name]++
		if told[name] > max(1, len(w.truth.Named(name))) {
			return w.broken("unique", "it tells again of %s", linearizability.Text(e))
		}
	}
	return nil
}
