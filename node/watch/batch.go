package watch

import (
	"sort"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/statemachine"
)

// A step has a budget of bytes. What it spends its time on besides copying events costs as much as so many bytes.
const (
	costScan     = 32 // looking at an event that may not match
	costResponse = 32 // one response of a cohort
	costRun      = 64 // looking after a cohort
)

// batch is a pack of events for one cohort: many revisions, each of them whole, encoded once for all its watchers. The next pack uses the
// memory of events and ends again, but never that of encoded.
type batch struct {
	events  []statemachine.Event
	encoded []byte
	ends    []int // ends[i] is where the i-th event ends in encoded
	next    int64 // the first revision that was not looked at
	cost    int
	looked  int // at how many events
}

// limits bound a pack.
type limits struct {
	cost   int // checked between two revisions, so a pack may cost somewhat more
	bytes  int // a revision that is larger by itself makes a larger pack
	events int // checked between two revisions, so a pack may hold somewhat more
}

// gather fills the batch with the cohort's events in [from, until], at least one whole revision, within the limits. It never splits a
// revision. room makes the memory for the encoded events.
func (b *batch) gather(events statemachine.EventIterator, c *cohort, from, until int64, most limits, room func(bytes int) []byte) {
	b.events, b.ends, b.encoded = b.events[:0], b.ends[:0], nil
	b.next, b.cost, b.looked = until+1, 0, 0
	size, last := 0, from-1
	whole, wholeSize := 0, 0 // the events of the revisions before last
	for e, ok := events.Next(); ok; e, ok = events.Next() {
		main := e.Revision().Main
		if main > until {
			break
		}
		if main != last {
			if b.cost >= most.cost || len(b.events) >= most.events {
				b.next = main
				break
			}
			last, whole, wholeSize = main, len(b.events), size
		}
		b.looked++
		b.cost += costScan
		if !c.wants(e) {
			continue
		}
		n := sizeEventField(e, c.kind.has(withPrevKV))
		if size += n; size > most.bytes && whole > 0 {
			// This revision begins the next pack.
			clear(b.events[whole:])
			b.events, size, b.next = b.events[:whole], wholeSize, main
			break
		}
		b.cost += n
		b.events = append(b.events, e)
	}
	if len(b.events) > 0 {
		b.encode(room(size), c.kind.has(withPrevKV))
	}
}

// encode appends the events to memory that is large enough.
func (b *batch) encode(to []byte, prevKV bool) {
	b.encoded = to[:0]
	for _, e := range b.events {
		b.encoded = appendEventField(b.encoded, e, prevKV)
		b.ends = append(b.ends, len(b.encoded))
	}
}

// forget lets go of the events, so that scratch keeps no versions alive.
func (b *batch) forget() {
	clear(b.events)
	b.events, b.encoded = b.events[:0], nil
}

// start is the index of the first event at or after a revision.
func (b *batch) start(next int64) int {
	if len(b.events) == 0 || b.events[0].Revision().Main >= next {
		return 0
	}
	return sort.Search(len(b.events), func(i int) bool { return b.events[i].Revision().Main >= next })
}

// bytes are the encoded events [from, to).
func (b *batch) bytes(from, to int) []byte {
	begin, end := 0, 0
	if from > 0 {
		begin = b.ends[from-1]
	}
	if to > 0 {
		end = b.ends[to-1]
	}
	return b.encoded[begin:end:end]
}

// fragment returns where the longest run of events ends that begins with the event from and fits into so many bytes. The run holds at least
// one event.
func (b *batch) fragment(from, bytesMax int) (to int) {
	begin := 0
	if from > 0 {
		begin = b.ends[from-1]
	}
	n := sort.Search(len(b.ends)-from, func(i int) bool { return b.ends[from+i]-begin > bytesMax })
	return from + max(n, 1)
}

func eventParts(e statemachine.Event, prevKV bool) (kv, prev []byte, size int) {
	kv = e.EncodedKV()
	size = protowire.SizeTag(fieldEventKV) + protowire.SizeBytes(len(kv))
	if e.Deleted() {
		size += protowire.SizeTag(fieldEventType) + 1
	}
	if prevKV {
		if prev = e.EncodedPrevKV(); prev != nil {
			size += protowire.SizeTag(fieldEventPrevKV) + protowire.SizeBytes(len(prev))
		}
	}
	return kv, prev, size
}

func sizeEventField(e statemachine.Event, prevKV bool) int {
	_, _, size := eventParts(e, prevKV)
	return protowire.SizeTag(fieldEvents) + protowire.SizeBytes(size)
}

// appendEventField appends an `events` field of a WatchResponse: an mvccpb.Event{type, kv, prev_kv}, where PUT, being 0, is left out.
func appendEventField(dst []byte, e statemachine.Event, prevKV bool) []byte {
	kv, prev, size := eventParts(e, prevKV)
	dst = protowire.AppendTag(dst, fieldEvents, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	if e.Deleted() {
		dst = appendIntField(dst, fieldEventType, 1)
	}
	dst = appendBytesField(dst, fieldEventKV, kv)
	if prev != nil {
		dst = appendBytesField(dst, fieldEventPrevKV, prev)
	}
	return dst
}
