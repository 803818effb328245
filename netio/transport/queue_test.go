package transport

import (
	"bytes"
	"testing"

	"github.com/detcd/detcd/node/port"
)

// rest takes all whole messages off a queue.
func rest(q *queue, class port.Class) (messages [][]byte) {
	var m []byte
	for {
		f, ok := q.cut(class)
		if !ok {
			return messages
		}
		m = append(m, f.payload...)
		if f.flags&flagLast != 0 {
			messages, m = append(messages, m), nil
		}
	}
}

func TestQueue_KeepsTheNewestUrgent(t *testing.T) {
	var q queue
	n := limits[port.Urgent].messages
	for i := range n {
		if q.push(port.Urgent, []byte{byte(i)}) != 0 {
			t.Fatalf("message %d of %d was too many", i, n)
		}
	}
	for i := range 3 {
		if dropped := q.push(port.Urgent, []byte{'n', byte(i)}); dropped != 1 {
			t.Fatalf("%d were dropped, want one", dropped)
		}
	}
	all := rest(&q, port.Urgent)
	if len(all) != n || all[0][0] != 3 || !bytes.Equal(all[n-1], []byte{'n', 2}) {
		t.Errorf("%d messages from %v to %v", len(all), all[0], all[len(all)-1])
	}
	if q.bytes != 0 || q.len() != 0 {
		t.Errorf("%d bytes, %d messages in an empty queue", q.bytes, q.len())
	}
}

func TestQueue_KeepsTheOldestNormal(t *testing.T) {
	var q queue
	n := limits[port.Normal].messages
	for i := range n {
		q.push(port.Normal, []byte{byte(i)})
	}
	if dropped := q.push(port.Normal, []byte("new")); dropped != 1 {
		t.Errorf("%d were dropped, want one", dropped)
	}
	if all := rest(&q, port.Normal); len(all) != n || all[0][0] != 0 || len(all[n-1]) != 1 {
		t.Errorf("%d messages, or others than the oldest", len(all))
	}
}

func TestQueue_IsBoundedInBytes(t *testing.T) {
	for class := port.Urgent; class <= port.Bulk; class++ {
		var q queue
		limit := limits[class].bytes
		if q.push(class, make([]byte, 2*limit)) != 0 {
			t.Errorf("class %d: a large message alone was refused", class)
		}
		rest(&q, class)
		q.push(class, make([]byte, limit-10))
		if q.push(class, make([]byte, 11)) != 1 || q.bytes > limit {
			t.Errorf("class %d: %d bytes wait, the limit is %d", class, q.bytes, limit)
		}
	}
}

// A message that has begun can't be dropped any more: the receiver waits for its rest.
func TestQueue_FinishesWhatHasBegun(t *testing.T) {
	var q queue
	begun := pattern(fragmentBytes+100, 0)
	q.push(port.Urgent, begun)
	first, _ := q.cut(port.Urgent)
	n := limits[port.Urgent].messages
	for i := range n + 5 {
		q.push(port.Urgent, []byte{byte(i), byte(i >> 8)})
	}
	if q.len() != n {
		t.Errorf("%d messages wait, the limit is %d", q.len(), n)
	}
	all := rest(&q, port.Urgent)
	if !bytes.Equal(append(first.payload[:fragmentBytes:fragmentBytes], all[0]...), begun) {
		t.Error("the message that had begun did not arrive whole")
	}
	if last := all[len(all)-1]; last[0] != byte(n+4) {
		t.Errorf("the last message is %v", last)
	}
	if q.bytes != 0 {
		t.Errorf("%d bytes in an empty queue", q.bytes)
	}
}

func TestQueue_StartsAnewOnAnotherConnection(t *testing.T) {
	var q queue
	m := pattern(3*fragmentBytes, 0)
	q.push(port.Bulk, m)
	q.cut(port.Bulk)
	q.cut(port.Bulk)
	q.rewind()
	if all := rest(&q, port.Bulk); len(all) != 1 || !bytes.Equal(all[0], m) {
		t.Errorf("%d messages, or not the whole one", len(all))
	}
}
