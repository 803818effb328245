package statemachine

import (
	"cmp"
	"slices"
)

// Bounds on a search for events by key.
const (
	// seekCost is what a look at a key or one of its versions costs, in looks at an event of the log: memory far apart, and a sort.
	seekCost = 8
	// seekEventsMin is how many events are walked without a thought for another way.
	seekEventsMin = 64
	// seekVersionsMax is how many versions are gathered at most. Where there are more, most of them are for another step of the caller's.
	seekVersionsMax = 4096
)

// EventsIn is Events for whom only changes of a range of keys concern, which key and rangeEnd say as in the API, at revisions up to until.
// They are found by the keys where that is less work than to walk all changes since from; where it is not, other changes, and later
// ones, are among them.
func (v *View) EventsIn(key, rangeEnd []byte, from, until int64) (EventIterator, error) {
	all, err := v.Events(from)
	// At the compacted revision itself the log alone knows all: of several changes of one key in it the chain may hold the last only.
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

// changesIn gathers the changes of the keys in s at revisions in [from, until], in their order. False: that takes more than budget looks;
// so many were had.
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
