package statemachine

import (
	"cmp"
	"slices"
)

// Bounds on a search for events by key.
const (
	// seekCost is how many events of the log can be looked at for the price of one look at a key or a version. Keys lie far apart in memory, and what is
	// found is sorted.
	seekCost = 8
	// seekEventsMin is how many events are always walked: a search by key would not be worth it.
	seekEventsMin = 64
	// seekVersionsMax is how many versions a search gathers at most. A caller walks events in steps: of more than that, most would be gathered for
	// nothing.
	seekVersionsMax = 4096
)

// EventsIn is Events for a caller that needs only the changes of a range of keys, up to the revision until. key and rangeEnd are as in the API.
// The changes are found by their keys if that is less work than a walk over all changes since from. If it is not, the iterator has other
// changes too, also later ones: the caller must look.
func (v *View) EventsIn(key, rangeEnd []byte, from, until int64) (EventIterator, error) {
	all, err := v.Events(from)
	// The compacted revision may have changed one key several times. The log holds all these changes, the key's chain perhaps only the last.
	if err != nil || all.Remaining() < seekEventsMin || from == v.keys.compacted {
		return all, err
	}
	budget := int(min(all.Remaining()/seekCost, seekVersionsMax))
	found, looks, ok := v.keys.changesIn(newSpan(key, rangeEnd), from, min(until, v.keys.rev), budget)
	if ok {
		return EventIterator{view: v, found: found, end: int64(len(found))}, nil
	}
	all.vain = looks
	return all, nil
}

// changesIn gathers the changes of the keys in s at revisions in [from, until], in their order. looks is how many keys and versions it has looked
// at. If that would be more than budget, it gives up and returns false.
func (rd *reader) changesIn(s span, from, until int64, budget int) (found []*version, looks int, ok bool) {
	most := budget
	if !s.point && count(rd.live, s)+count(rd.dead, s) > budget {
		return nil, 1, false
	}
	changes := func(e entry) bool {
		budget--
		for ver := e.chain.head.Load(); ver != nil && ver.main >= from; ver = ver.prev.Load() {
			if budget--; budget < 0 {
				return false
			}
			if ver.main <= until {
				found = append(found, ver)
			}
		}
		return budget >= 0
	}
	for _, t := range [...]*keyTree{rd.live, rd.dead} {
		if s.point {
			if e, here := t.Get(pivot(s.from)); here && !changes(e) {
				return nil, most, false
			}
			continue
		}
		t.Ascend(pivot(s.from), func(e entry) bool { return !s.past(e.key) && changes(e) })
		if budget < 0 {
			return nil, most, false
		}
	}
	slices.SortFunc(found, func(a, b *version) int { return cmp.Or(cmp.Compare(a.main, b.main), cmp.Compare(a.sub, b.sub)) })
	return found, most - budget, true
}
