package transport

import "github.com/detcd/detcd/node/port"

// limits bound what waits for one peer, by class. A message that is larger than its bound is taken if nothing else waits.
var limits = [classes]struct {
	bytes, messages int
	// newest says which messages are kept if there are too many. Of urgent ones it is the newest: an old heartbeat is worth nothing. Of
	// log entries it is the oldest: a gap among them would have raft go back.
	newest bool
}{
	port.Urgent: {bytes: 4 << 20, messages: 4096, newest: true},
	port.Normal: {bytes: 64 << 20, messages: 16384},
	port.Bulk:   {bytes: 16 << 20, messages: 256},
}

// queue is the messages of one class that wait for a peer.
type queue struct {
	messages [][]byte
	head     int // index of the oldest
	bytes    int
	offset   int // bytes of the oldest that have been cut off already
}

func (q *queue) len() int { return len(q.messages) - q.head }

// push adds a message. It returns how many messages were dropped, as there was no room; the new one may be among them.
func (q *queue) push(class port.Class, payload []byte) (dropped int) {
	l := &limits[class]
	for q.len() > 0 && (q.len() >= l.messages || q.bytes+len(payload) > l.bytes) {
		if !l.newest || !q.dropOldest() {
			return dropped + 1
		}
		dropped++
	}
	if q.head > 64 && q.head > len(q.messages)/2 {
		n := copy(q.messages, q.messages[q.head:])
		clear(q.messages[n:])
		q.messages, q.head = q.messages[:n], 0
	}
	q.messages = append(q.messages, payload)
	q.bytes += len(payload)
	return dropped
}

// dropOldest drops the oldest message of which nothing was sent yet.
func (q *queue) dropOldest() bool {
	i := q.head
	if q.offset > 0 {
		if i++; i == len(q.messages) {
			return false
		}
		// The message that has begun to be sent stays the first.
		q.messages[i-1], q.messages[i] = q.messages[i], q.messages[i-1]
		q.bytes -= len(q.messages[i-1])
		q.messages[i-1] = nil
		q.head++
		return true
	}
	q.pop()
	return true
}

func (q *queue) pop() {
	q.bytes -= len(q.messages[q.head])
	q.messages[q.head] = nil
	q.head++
	q.offset = 0
	if q.head == len(q.messages) {
		q.messages, q.head = q.messages[:0], 0
	}
}

// cut takes the next frame off the queue.
func (q *queue) cut(class port.Class) (frame, bool) {
	if q.len() == 0 {
		return frame{}, false
	}
	m := q.messages[q.head]
	end := min(q.offset+fragmentBytes, len(m))
	f := frame{kind: frameData, class: class, total: uint32(len(m)), payload: m[q.offset:end]}
	if q.offset == 0 {
		f.flags |= flagFirst
	}
	q.offset = end
	if end == len(m) {
		f.flags |= flagLast
		q.pop()
	}
	return f, true
}

// rewind has the message that has begun to be sent start anew, on another connection.
func (q *queue) rewind() { q.offset = 0 }

// drop drops all, and returns how many messages those were.
func (q *queue) drop() int {
	n := q.len()
	*q = queue{}
	return n
}
