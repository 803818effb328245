package statemachine

import "sort"

// chunkEvents is how many events share one allocation of the log.
const chunkEvents = 512

type eventChunk [chunkEvents]*version

// eventLog is every change that can still be read, in revision order. A position counts events from the machine's beginning, so it never changes its
// meaning. The zero value is an empty log.
//
// A copy of the struct is an immutable view of the log up to the copy's end. For the machine writes in two places only: at or after the end of
// all copies (append), and before the beginning of all copies in use (drop).
type eventLog struct {
	chunks []*eventChunk
	base   int64 // position of chunks[0][0]; a multiple of chunkEvents
	begin  int64 // first position that a reader of this copy may look at: nothing before the compacted revision
	end    int64 // one past the newest
	// dropped counts the slots of chunks' array that lie before chunks[0].
	dropped int
}

func (l *eventLog) at(pos int64) *version {
	i := pos - l.base
	return l.chunks[i/chunkEvents][i%chunkEvents]
}

func (l *eventLog) append(v *version) {
	i := l.end - l.base
	if i/chunkEvents == int64(len(l.chunks)) {
		l.chunks = append(l.chunks, new(eventChunk))
	}
	l.chunks[i/chunkEvents][i%chunkEvents] = v
	l.end++
}

// find returns the position of the first event at or after begin whose main revision is at least main.
func (l *eventLog) find(main int64) int64 {
	n := sort.Search(int(l.end-l.begin), func(i int) bool { return l.at(l.begin+int64(i)).main >= main })
	return l.begin + int64(n)
}

// drop forgets the event at pos, the oldest still held, and its chunk when that was the chunk's last.
func (l *eventLog) drop(pos int64) {
	i := pos - l.base
	l.chunks[i/chunkEvents][i%chunkEvents] = nil
	if i%chunkEvents == chunkEvents-1 {
		// Older copies share the array of chunks, so its dropped slots are not cleared. But they keep their chunks in memory: once most slots
		// are dropped, the rest goes to a new array.
		l.chunks = l.chunks[1:]
		l.base += chunkEvents
		if l.dropped++; l.dropped > len(l.chunks) {
			l.chunks = append(make([]*eventChunk, 0, len(l.chunks)+4), l.chunks...)
			l.dropped = 0
		}
	}
}
