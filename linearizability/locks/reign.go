package locks

import (
	"bytes"
	"cmp"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/detcd/detcd/linearizability"
)

// span is some of the log's states in a row, [from, to). State n is what the first n requests of the log made.
type span struct{ from, to int }

// within says whether one of the states is among those from one to another, both included.
func (s span) within(from, to int) bool { return s.from <= to && s.to > from }

// reign is a time in which one key was the oldest of a lock or an election, unchanged.
type reign struct {
	span
	kv *mvccpb.KeyValue
}

// tenancy is a time in which a key of a lock or an election was there: from its creation until it was gone.
type tenancy struct {
	span
	key     []byte
	created int64
	lease   int64
}

// queue is the history of one lock or election: its keys, the oldest of which holds it.
type queue struct {
	reigns    []reign
	tenancies []tenancy
}

// queueOf replays the keys under a name.
func queueOf(t *linearizability.Truth, name []byte) *queue {
	q := &queue{}
	alive := make(map[string]*mvccpb.KeyValue)
	tenants := make(map[string]int) // in tenancies
	for at := range t.Log() {
		touched := false
		for _, e := range t.ChangesOf(at) {
			kv := e.GetKv()
			if !under(kv.GetKey(), name) {
				continue
			}
			touched = true
			old, now := alive[string(kv.GetKey())], kv
			if e.GetType() == mvccpb.Event_DELETE {
				now = nil
			}
			if old != nil && now.GetCreateRevision() != old.GetCreateRevision() {
				q.tenancies[tenants[string(kv.GetKey())]].to = at + 1
			}
			if now != nil && now.GetCreateRevision() != old.GetCreateRevision() {
				tenants[string(kv.GetKey())] = len(q.tenancies)
				q.tenancies = append(q.tenancies, tenancy{span{at + 1, linearizability.Nowhere}, kv.GetKey(), kv.GetCreateRevision(), kv.GetLease()})
			}
			if alive[string(kv.GetKey())] = now; now == nil {
				delete(alive, string(kv.GetKey()))
			}
		}
		if touched {
			q.crown(at+1, oldest(alive))
		}
	}
	return q
}

// crown notes who is the oldest from a state on.
func (q *queue) crown(from int, kv *mvccpb.KeyValue) {
	if n := len(q.reigns); n > 0 && q.reigns[n-1].to == linearizability.Nowhere {
		if q.reigns[n-1].kv == kv {
			return
		}
		q.reigns[n-1].to = from
	}
	if kv != nil {
		q.reigns = append(q.reigns, reign{span{from, linearizability.Nowhere}, kv})
	}
}

// oldest is the key with the smallest create revision, nil if there is none.
func oldest(alive map[string]*mvccpb.KeyValue) (first *mvccpb.KeyValue) {
	for _, kv := range alive { // the least of them, in whatever order
		if first == nil || cmp.Or(cmp.Compare(kv.GetCreateRevision(), first.GetCreateRevision()), bytes.Compare(kv.GetKey(), first.GetKey())) < 0 {
			first = kv
		}
	}
	return first
}

// reigned says whether a key was the oldest in some state from one to another, as it was created in a revision (0: in any).
func (q *queue) reigned(key []byte, created int64, from, to int) bool {
	for _, r := range q.reigns {
		if r.within(from, to) && bytes.Equal(r.kv.GetKey(), key) && (created == 0 || created == r.kv.GetCreateRevision()) {
			return true
		}
	}
	return false
}

// absent says whether a key, as it was created in a revision, was not there in some state from one to another.
func (q *queue) absent(key []byte, created int64, from, to int) bool {
	for _, t := range q.tenancies {
		if t.created == created && bytes.Equal(t.key, key) && t.from <= from && t.to > to {
			return false
		}
	}
	return true
}

// empty says whether there was no key at all in some state from one to another.
func (q *queue) empty(from, to int) bool {
	for n := from; n <= to; {
		next := n
		for _, r := range q.reigns {
			if r.from <= n && n < r.to {
				next = r.to
			}
		}
		if next == n {
			return true
		}
		n = next
	}
	return false
}
