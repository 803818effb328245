package lessor

import (
	"container/heap"

	"github.com/detcd/detcd/node/port"
)

// slot is a lease's place in one of the heaps.
type slot struct {
	at port.Instant
	// place is the index in the heap plus one; 0: it is not there.
	place int
}

func (s *slot) in() bool { return s.place > 0 }

// queue is a heap of leases by (instant, id). Thanks to the id, the order of what is due does not depend on how it came into the heap.
type queue struct {
	list []*lease
	slot func(*lease) *slot
}

var _ heap.Interface = (*queue)(nil)

// append adds a lease without keeping the order of the heap: heap.Init has to follow.
func (q *queue) append(e *lease, at port.Instant) {
	q.slot(e).at = at
	q.Push(e)
}

// put adds a lease, or moves it.
func (q *queue) put(e *lease, at port.Instant) {
	s := q.slot(e)
	s.at = at
	if s.in() {
		heap.Fix(q, s.place-1)
		return
	}
	heap.Push(q, e)
}

// remove takes a lease out, if it is there.
func (q *queue) remove(e *lease) {
	if s := q.slot(e); s.in() {
		heap.Remove(q, s.place-1)
	}
}

// Len implements heap.Interface.
func (q *queue) Len() int { return len(q.list) }

// Less implements heap.Interface.
func (q *queue) Less(i, j int) bool {
	a, b := q.slot(q.list[i]), q.slot(q.list[j])
	return a.at < b.at || a.at == b.at && q.list[i].id < q.list[j].id
}

// Swap implements heap.Interface.
func (q *queue) Swap(i, j int) {
	q.list[i], q.list[j] = q.list[j], q.list[i]
	q.slot(q.list[i]).place, q.slot(q.list[j]).place = i+1, j+1
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	e := x.(*lease)
	q.list = append(q.list, e)
	q.slot(e).place = len(q.list)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	n := len(q.list) - 1
	e := q.list[n]
	q.list[n] = nil
	q.list = q.list[:n]
	q.slot(e).place = 0
	return e
}
