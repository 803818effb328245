package watch

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// What etcd says of a watch that it refuses, to the letter.
const (
	reasonEmptyRange  = "mvcc: watcher range is empty"
	reasonDuplicateID = "mvcc: duplicate watch ID provided on the WatchStream"
)

// create makes a watcher and says so. The answer's revision is the head of the view: a watch without a start revision begins after it.
func (s *Stream) create(r *pb.WatchCreateRequest) {
	head := s.head()
	answer := Response{WatchID: EveryWatch, Revision: head, Created: true}
	key, end := r.GetKey(), r.GetRangeEnd()
	if len(key) == 0 {
		key = []byte{0} // the smallest key
	}
	sp, id := spanOf(key, end), r.GetWatchId()
	switch _, taken := s.watchers[id]; {
	case r.GetStartRevision() < 0:
		answer.CancelReason = rpctypes.ErrCompacted.Error()
	case !sp.single() && !sp.open && sp.start >= sp.end:
		answer.CancelReason = reasonEmptyRange
	case id != 0 && taken:
		answer.CancelReason = reasonDuplicateID
	}
	if answer.CancelReason != "" {
		answer.Canceled = true
		s.answers = append(s.answers, answer)
		return
	}
	if id == 0 {
		id = s.chooseID()
	}
	answer.WatchID = id
	s.answers = append(s.answers, answer)

	w := &watcher{id: id, next: r.GetStartRevision(), fragment: r.GetFragment(), notify: r.GetProgressNotify()}
	if w.next == 0 {
		w.next = head + 1
	}
	s.watchers[id] = w
	s.place(w, s.topic(sp, head), kindOf(r), head)
}

// chooseID is the next id that is free, counting from 0.
func (s *Stream) chooseID() int64 {
	for s.watchers[s.nextID] != nil {
		s.nextID++
	}
	s.nextID++
	return s.nextID - 1
}

func kindOf(r *pb.WatchCreateRequest) (k kind) {
	for _, f := range r.GetFilters() {
		switch f {
		case pb.WatchCreateRequest_NOPUT:
			k |= withoutPuts
		case pb.WatchCreateRequest_NODELETE:
			k |= withoutDeletes
		}
	}
	if r.GetPrevKv() {
		k |= withPrevKV
	}
	return k
}

// topic finds or makes the topic of a range. Its interest is marked for what comes after the head. A watcher that starts at the head or
// before it catches up first.
func (s *Stream) topic(sp span, head int64) *topic {
	if t := s.bySpan[sp]; t != nil {
		return t
	}
	t := &topic{span: sp, slot: len(s.topics)}
	t.interest = &Interest{span: sp, wake: func() { s.wakeTopic(t) }}
	s.bySpan[sp] = t
	s.topics = append(s.topics, t)
	s.port.Attach(t.interest, head+1)
	return t
}

// place puts a new watcher into the cohort with its cursor.
func (s *Stream) place(w *watcher, t *topic, k kind, head int64) {
	if w.next > head {
		t.liveCohort(k, head+1).add(w)
		return
	}
	for _, c := range t.behind {
		if c.kind == k && c.next == w.next {
			c.add(w)
			return
		}
	}
	c := &cohort{topic: t, kind: k, next: w.next}
	c.add(w)
	t.behind = append(t.behind, c)
	s.behind.push(c)
}

// liveCohort finds the live cohort of a kind, or makes one that has seen everything before next.
func (t *topic) liveCohort(k kind, next int64) *cohort {
	if t.live[k] == nil {
		t.live[k] = &cohort{topic: t, kind: k, live: true, next: next}
	}
	return t.live[k]
}

func (t *topic) dropBehind(c *cohort) {
	for i := range t.behind {
		if t.behind[i] == c {
			t.behind = append(t.behind[:i], t.behind[i+1:]...)
			return
		}
	}
}
