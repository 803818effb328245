package linearizability

import "go.etcd.io/etcd/api/v3/mvccpb"

// unique holds the promise that a watch tells no event twice. (One transaction can change a key more than once where it deletes
// everything from some key on; these are events of their own.)
func unique(w *watched) *Violation {
	told := make(map[eventName]int)
	for _, e := range w.events() {
		name := nameEvent(e)
		told[name]++
		if told[name] > max(1, len(w.truth.named[name])) {
			return w.broken("unique", "it tells again of %s", text(e))
		}
	}
	return nil
}

type eventName struct {
	revision int64
	key      string
	kind     mvccpb.Event_EventType
}

func nameEvent(e *mvccpb.Event) eventName {
	return eventName{revisionOf(e), string(e.GetKv().GetKey()), e.GetType()}
}
