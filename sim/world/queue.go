package world

import "github.com/detcd/detcd/statemachine/format"

// event is something that will happen.
type event struct {
	kind  Kind
	host  *Host  // nil: no host's
	epoch uint32 // the host's life it belongs to; 0: any
	fn    func()

	// Of messages only.
	from      uint64
	epochFrom uint32         // the sender's life
	needs     format.Version // what the sender said that a reader needs
	payload   []byte
	sum       uint64 // payload's hash when it was sent
}

// place is an event's position in the order of things: by time, then by the order of scheduling.
type place struct {
	at, seq uint64
	slot    int32
}

func (p place) before(o place) bool { return p.at < o.at || p.at == o.at && p.seq < o.seq }

// queue is the events to come: a heap with four children to a node, of small places that point into a pool of events, so
// that ordering moves few bytes and nothing is allocated per event once the pool has grown.
type queue struct {
	heap []place
	pool []event
	free []int32
	seq  uint64
}

func (q *queue) push(at int64, e event) {
	var slot int32
	if n := len(q.free); n > 0 {
		slot = q.free[n-1]
		q.free = q.free[:n-1]
		q.pool[slot] = e
	} else {
		slot = int32(len(q.pool))
		q.pool = append(q.pool, e)
	}
	q.seq++
	p := place{uint64(at), q.seq, slot}
	q.heap = append(q.heap, p)
	i := len(q.heap) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !p.before(q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		i = parent
	}
	q.heap[i] = p
}

// next returns the time of the first event.
func (q *queue) next() (at int64, ok bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return int64(q.heap[0].at), true
}

// pop removes the first event. The queue must not be empty.
func (q *queue) pop() event {
	slot := q.heap[0].slot
	last := len(q.heap) - 1
	p := q.heap[last]
	q.heap = q.heap[:last]
	if last > 0 {
		q.sink(p)
	}
	e := q.pool[slot]
	q.pool[slot] = event{}
	q.free = append(q.free, slot)
	return e
}

// sink finds p's place from the root down.
func (q *queue) sink(p place) {
	i := 0
	for {
		least, first := -1, 4*i+1
		for c := first; c < first+4 && c < len(q.heap); c++ {
			if least < 0 || q.heap[c].before(q.heap[least]) {
				least = c
			}
		}
		if least < 0 || !q.heap[least].before(p) {
			q.heap[i] = p
			return
		}
		q.heap[i] = q.heap[least]
		i = least
	}
}
