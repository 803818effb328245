package watch

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/detcd/detcd/statemachine"
)

// Hub knows who is interested in which keys. The zero value is ready. It is called within turns of its member.
type Hub struct {
	seen   atomic.Int64 // the head of the last view published, once everyone that it concerns has been woken
	looked int64        // the head of the last view published
	noted  int64        // the last revision that Look has seen; it means nothing while it is below looked
	view   *statemachine.View
	all    roster // every interest, in the order of attachment
	keys   map[string]*audience
	ranges tree

	// Scratch of Publish.
	found, touched []*audience
	woken          []*Interest
}

// audience is everyone interested in the same range.
type audience struct {
	span      span
	interests roster
	// The revisions of matching events that no mark tells of yet; first is 0 while there is none.
	first, last int64
}

// HubStats are figures of a hub.
type HubStats struct {
	Interests int   // attached
	Keys      int   // distinct single keys of interest
	Ranges    int   // distinct ranges of interest, single keys aside
	Revision  int64 // the head of the last view published
}

// Stats returns the hub's figures.
func (h *Hub) Stats() HubStats {
	return HubStats{Interests: h.all.len(), Keys: len(h.keys), Ranges: h.ranges.len, Revision: h.looked}
}

// Publish marks the interests that the events since the last published view match, and wakes those that were unmarked, in the order of
// their attachment. The member calls it in a turn after v became what AcquireView returns.
//
// restored says that a snapshot has taken the place of the machine. Then every interest is marked, from the revision after the last
// published one on, and each stream finds out by itself what its watchers missed. Every interest is marked in two more cases: at the first
// publication, so that no turn walks a whole log; and where a compaction has hidden some of the new events. The last case ends watches that
// may have missed nothing. A member avoids it by calling Look before it applies a compaction.
func (h *Hub) Publish(v *statemachine.View, restored bool) {
	head, from := v.Revision(), h.looked+1
	if head < from {
		h.view = v
		return
	}
	events, err := v.Events(max(from, h.noted+1))
	if restored || h.looked == 0 || err != nil {
		h.forgetNoted()
		h.markAll(from, head)
	} else {
		h.note(events)
		h.markNoted()
	}
	h.looked, h.view = head, v
	h.wake()
	// This comes last. A stream that reads the new value must find every marked topic among those that are ready; else it would pass over
	// their events.
	h.seen.Store(head)
}

func (h *Hub) markAll(first, last int64) {
	for _, i := range h.all.list {
		if i != nil && i.mark(first, last) {
			h.woken = append(h.woken, i)
		}
	}
}

// Look notes whom the newest events concern, before a compaction hides these events from Publish. It marks and wakes nobody. changes returns
// the events from a revision on, up to head. The member calls Look within a turn; nothing may be attached before that turn has published.
func (h *Hub) Look(changes func(from int64) (statemachine.EventIterator, error), head int64) {
	if h.looked == 0 {
		return // the first Publish marks everybody
	}
	events, err := changes(max(h.looked, h.noted) + 1)
	if err != nil {
		return // the log has not got them any more; Publish will see that, too, and mark everybody
	}
	h.note(events)
	h.noted = head
}

// note finds the audiences of events.
func (h *Hub) note(events statemachine.EventIterator) {
	for e, ok := events.Next(); ok; e, ok = events.Next() {
		main, key := e.Revision().Main, e.Key()
		h.found = h.ranges.appendContaining(h.found[:0], key)
		if a := h.keys[string(key)]; a != nil {
			h.found = append(h.found, a)
		}
		for _, a := range h.found {
			if a.first == 0 {
				a.first = main
				h.touched = append(h.touched, a)
			}
			a.last = main
		}
	}
}

// markNoted visits each audience that was noted once, however many events concern it.
func (h *Hub) markNoted() {
	for _, a := range h.touched {
		for _, i := range a.interests.list {
			if i != nil && i.mark(a.first, a.last) {
				h.woken = append(h.woken, i)
			}
		}
	}
	if len(h.touched) > 1 {
		slices.SortFunc(h.woken, func(a, b *Interest) int { return cmp.Compare(a.slot[ofAll], b.slot[ofAll]) })
	}
	h.forgetNoted()
}

func (h *Hub) forgetNoted() {
	for _, a := range h.touched {
		a.first, a.last = 0, 0
	}
	clear(h.touched)
	h.touched = h.touched[:0]
}

// wake calls those that became marked. They may attach and detach, so it comes last.
func (h *Hub) wake() {
	for _, i := range h.woken {
		if i.audience != nil {
			i.wake()
		}
	}
	clear(h.woken)
	h.woken = h.woken[:0]
}

// attachScanMax is how many events Attach looks at, at most.
const attachScanMax = 4096

// Attach has i marked for every matching event with a main revision of at least from. If there are such events among those published
// already, i is marked at once. Attach panics if i is attached already, and if it is called between Look and Publish.
func (h *Hub) Attach(i *Interest, from int64) {
	switch {
	case i.audience != nil:
		panic("watch: an interest was attached twice")
	case h.noted > h.looked:
		panic("watch: an interest was attached between Look and Publish")
	}
	i.first.Store(0) // a mark of an earlier attachment means nothing now
	h.all.add(i)
	i.audience, i.floor = h.audienceOf(i.span), from
	i.audience.interests.add(i)
	first, last := h.matching(i.span, max(from, 1))
	if first != 0 && i.mark(first, last) {
		i.wake()
	}
	i.seen.Store(&h.seen) // last, as in Publish
}

// matching finds the first and the last revision of published events that match, from a revision on; 0 if none do. The answer is exact
// if few events have to be looked at. A mark without a matching event costs its owner a look, and a compaction could then end a watch that
// has missed nothing.
func (h *Hub) matching(s span, from int64) (first, last int64) {
	seen := h.looked
	if seen < from {
		return 0, 0
	}
	if !h.view.Acquire() {
		return from, seen
	}
	defer h.view.Release()
	events, err := h.view.Events(from)
	if err != nil || events.Remaining() > attachScanMax {
		return from, seen
	}
	for e, ok := events.Next(); ok; e, ok = events.Next() {
		if s.contains(e.Key()) {
			last = e.Revision().Main
			if first == 0 {
				first = last
			}
		}
	}
	return first, last
}

// Detach undoes Attach; i is not woken any more, and may be attached again. One that is not attached is left alone.
func (h *Hub) Detach(i *Interest) {
	a := i.audience
	if a == nil {
		return
	}
	i.seen.Store(nil)
	i.audience = nil
	h.all.remove(i)
	a.interests.remove(i)
	if a.interests.len() > 0 {
		return
	}
	if a.span.single() {
		delete(h.keys, a.span.start)
	} else {
		h.ranges.remove(a.span)
	}
}

func (h *Hub) audienceOf(s span) *audience {
	if !s.single() {
		return h.ranges.get(s)
	}
	a := h.keys[s.start]
	if a == nil {
		if h.keys == nil {
			h.keys = make(map[string]*audience)
		}
		a = newAudience(s)
		h.keys[s.start] = a
	}
	return a
}

func newAudience(s span) *audience { return &audience{span: s, interests: roster{which: ofAudience}} }
