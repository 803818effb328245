package model

import (
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Changes is the number of changes to keys so far: the length of Events.
func (s *State) Changes() int { return len(s.history) }

// Events returns every change of a key since the empty store, in order, as a watcher that asks for prev_kv is told of it: a deletion
// has a kv of key and mod_revision alone; prev_kv is the key as it was before the whole revision, left out where the change created
// the key. Compaction takes nothing away here.
func (s *State) Events() []*mvccpb.Event {
	events := make([]*mvccpb.Event, 0, len(s.history))
	before := map[string]*version{} // as of the revision before that of the change at hand
	settled := 0                    // how many changes before has seen
	for _, v := range s.history {
		for ; s.history[settled].changed < v.changed; settled++ {
			before[s.history[settled].key] = s.history[settled]
		}
		e := &mvccpb.Event{Kv: v.keyValue()}
		created := v.created == v.changed
		if v.number == 0 {
			e.Type, created = mvccpb.Event_DELETE, false
			e.Kv = &mvccpb.KeyValue{Key: []byte(v.key), ModRevision: v.changed}
		}
		if old := before[v.key]; old != nil && old.number > 0 && !created {
			e.PrevKv = old.keyValue()
		}
		events = append(events, e)
	}
	return events
}

// Created returns the create revision of a key that exists now, 0 for one that does not.
func (s *State) Created(key []byte) int64 {
	if v := s.find(key); v != nil {
		return v.created
	}
	return 0
}

// Attached returns how many keys a lease holds now.
func (s *State) Attached(lease int64) (n int) {
	for _, v := range s.current {
		if v.lease == lease {
			n++
		}
	}
	return n
}
