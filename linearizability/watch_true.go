package linearizability

import (
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// filtered holds the promise that a watch tells of what happened, in the range that was asked for, and of nothing that its filters leave
// out; and of nothing that no member had applied by then. Of prev_kv see prevRight.
func filtered(w *watched) *Violation {
	there := make(map[eventName][]*mvccpb.Event)
	for _, e := range w.truth.since(0) {
		there[nameEvent(e)] = append(there[nameEvent(e)], e)
	}
	for _, u := range w.units {
		newest := w.truth.revisionAt(u.stamp)
		for _, e := range u.events {
			switch {
			case !w.matches(e):
				return w.broken("filterable", "it is not about %s", text(e))
			case !happened(there[nameEvent(e)], e):
				return w.broken("true", "nothing in the log is %s", text(e))
			case revisionOf(e) > newest:
				return w.broken("nothing before it happened", "at %d revision %d was the newest, but it tells of %s", u.stamp, newest, text(e))
			}
		}
	}
	return nil
}

func happened(there []*mvccpb.Event, e *mvccpb.Event) bool {
	for _, one := range there {
		if proto.Equal(one.GetKv(), e.GetKv()) {
			return true
		}
	}
	return false
}
