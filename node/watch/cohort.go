package watch

import "github.com/detcd/detcd/statemachine"

// kind is what a cohort's watchers have in common besides their range.
type kind uint8

const (
	withoutPuts kind = 1 << iota
	withoutDeletes
	withPrevKV

	kinds = 1 << iota
)

func (k kind) has(flag kind) bool { return k&flag != 0 }

// topic is one range that watchers of a stream have in common.
type topic struct {
	span     span
	interest *Interest
	live     [kinds]*cohort // those at the head, by kind
	behind   []*cohort      // those that catch up
	slot     int            // in Stream.topics
	gone     bool           // its last watcher left
	seenTo   int64          // of the interest, as of the beginning of a step with progress to tell

	nextReady *topic // in Stream.ready
}

// cohort is the watchers of one topic and kind that share a cursor.
//
// A live cohort rests until its topic is marked. Without a mark nothing has happened that concerns it. So its cursor may be far behind, and
// yet a compaction takes nothing from it. A cohort that catches up reads everything from its cursor to the head of a view, and then
// its watchers join the live cohort.
type cohort struct {
	topic *topic
	kind  kind
	live  bool
	// next is the first revision that the cohort has yet to look at. While a live cohort rests, that revision may be a later one.
	next int64
	// until is the last revision that a queued live cohort has to look at for now.
	until    int64
	queued   bool
	walk     int // for so many more events the log is walked, before the range's keys are searched again; see noteWalk
	watchers []*watcher
	// latest is the highest next of any watcher that has joined. Events from there on are for all of them.
	latest int64
}

// watcher is one watch of the client's.
type watcher struct {
	id       int64
	next     int64 // the first revision that it may be told of; while its cohort is live, the cohort's next counts if it is higher
	cohort   *cohort
	slot     int // in cohort.watchers
	fragment bool
	notify   bool // wants periodic progress notifications
	told     bool // was sent events since the last notification was due
	due      bool // a notification is due
}

func (c *cohort) wants(e statemachine.Event) bool {
	if !c.topic.span.contains(e.Key()) {
		return false
	}
	if e.Deleted() {
		return !c.kind.has(withoutDeletes)
	}
	return !c.kind.has(withoutPuts)
}

func (c *cohort) add(w *watcher) {
	w.cohort, w.slot = c, len(c.watchers)
	c.watchers = append(c.watchers, w)
	c.latest = max(c.latest, w.next)
}

func (c *cohort) remove(w *watcher) {
	last := len(c.watchers) - 1
	c.watchers[w.slot] = c.watchers[last]
	c.watchers[w.slot].slot = w.slot
	c.watchers[last] = nil
	c.watchers = c.watchers[:last]
	w.cohort = nil
}

// cohorts calls f with each cohort of the topic.
func (t *topic) cohorts(f func(*cohort)) {
	for _, c := range t.live {
		if c != nil {
			f(c)
		}
	}
	for _, c := range t.behind {
		f(c)
	}
}

func (t *topic) empty() bool {
	return len(t.behind) == 0 && t.live == [kinds]*cohort{}
}

// queue is cohorts that wait for their turn, first come, first served.
type queue struct {
	waiting []*cohort
	head    int
}

func (q *queue) push(c *cohort) {
	c.queued = true
	if q.head > 16 && q.head > len(q.waiting)/2 {
		n := copy(q.waiting, q.waiting[q.head:])
		clear(q.waiting[n:])
		q.waiting, q.head = q.waiting[:n], 0
	}
	q.waiting = append(q.waiting, c)
}

// pop skips cohorts whose watchers have all left.
func (q *queue) pop() *cohort {
	for q.head < len(q.waiting) {
		c := q.waiting[q.head]
		q.waiting[q.head] = nil
		q.head++
		c.queued = false
		if len(c.watchers) > 0 {
			return c
		}
	}
	q.waiting, q.head = q.waiting[:0], 0
	return nil
}

func (q *queue) len() int { return len(q.waiting) - q.head }

func (q *queue) watchers() (n int) {
	for _, c := range q.waiting[q.head:] {
		n += len(c.watchers)
	}
	return n
}
