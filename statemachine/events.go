package statemachine

import (
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Event is one change of one key, as the event log holds it. The zero Event is none.
type Event struct {
	v         *version
	compacted int64
}

// EventIterator walks a view's events in revision order.
type EventIterator struct {
	view     *View
	found    []*version // those to walk; nil: the log, from pos to end
	pos, end int64
	vain     int // see Vain
}

func (it *EventIterator) at(pos int64) *version {
	if it.found != nil {
		return it.found[pos]
	}
	return it.view.log.at(pos)
}

// Events starts at the first change at or after main revision from, which may lie in the future: then there are none.
// ErrGRPCCompacted says that from lies below the compacted revision; changes exactly at that are still there.
func (v *View) Events(from int64) (EventIterator, error) {
	if from < v.keys.compacted {
		return EventIterator{}, rpctypes.ErrGRPCCompacted
	}
	return EventIterator{view: v, pos: v.log.find(from), end: v.log.end}, nil
}

// Changes is Events of all that was applied so far, published or not. The iterator is good until the machine is changed again, and only for the
// goroutine that calls the machine.
func (m *Machine) Changes(from int64) (EventIterator, error) {
	v := &View{keys: m.reader(), log: m.log}
	return v.Events(from)
}

// Next returns the next event; false at the view's head.
func (it *EventIterator) Next() (Event, bool) {
	if it.pos >= it.end {
		return Event{}, false
	}
	e := Event{compacted: it.view.keys.compacted, v: it.at(it.pos)}
	it.pos++
	return e, true
}

// Remaining is the number of events that Next has yet to return.
func (it *EventIterator) Remaining() int64 { return it.end - it.pos }

// Vain is how many keys and versions EventsIn looked at before it gave up its search by key; 0 if it did not give up.
func (it *EventIterator) Vain() int { return it.vain }

// Revision is the change's place in the order of all.
func (e Event) Revision() Revision { return Revision{e.v.main, int64(e.v.sub)} }

// Key is the key that changed.
func (e Event) Key() []byte { return e.v.key() }

// Deleted says that the change removed the key.
func (e Event) Deleted() bool { return e.v.deleted() }

// Created says that the change made the key.
func (e Event) Created() bool { return e.v.number == 1 }

// EncodedKV is the event's kv, an encoded mvccpb.KeyValue; of a deletion the key and mod_revision only.
func (e Event) EncodedKV() []byte { return e.v.kv }

// KeyValue is the event's kv.
func (e Event) KeyValue() *mvccpb.KeyValue { return e.v.keyValue() }

// prev is the key's version at the revision before the event's. What another change of the same transaction made does not count. There is none for
// an event that creates the key, even if the same transaction deleted it before. There is none if that revision is compacted, even if
// the version is still in memory.
func (e Event) prev() *version {
	if e.v.main <= e.compacted || e.Created() {
		return nil
	}
	old := e.v.prev.Load()
	for old != nil && old.main == e.v.main {
		old = old.prev.Load()
	}
	if old == nil || old.deleted() {
		return nil
	}
	return old
}

// EncodedPrevKV is what a watcher is told as prev_kv, encoded. It is nil if the key did not exist then, or if that is compacted.
func (e Event) EncodedPrevKV() []byte {
	if old := e.prev(); old != nil {
		return old.kv
	}
	return nil
}

// PrevKV is EncodedPrevKV as a message.
func (e Event) PrevKV() *mvccpb.KeyValue { return kvOf(e.prev()) }
