package door

import (
	"unsafe"

	"google.golang.org/grpc/mem"

	"github.com/detcd/detcd/node/watch"
)

// watchEncoder encodes the responses of a stream. The events of watchers that share them go to the wire from one piece of memory; what
// differs is written for each, many to an allocation.
type watchEncoder struct {
	header   []byte
	prefixes []byte       // room for what comes before the events of the next responses
	parts    []mem.Buffer // room for their lists of parts
	message  encoded
	// events is the last response's, as a buffer.
	events     []byte
	eventsData mem.Buffer
}

const (
	// watchPrefixMax is room for all fields of a response but a long cancel reason and the events.
	watchPrefixMax = headerMax + 48
	// watchTogether bounds how many responses share an allocation, which lives until the last of them is sent.
	watchTogether = 64
)

// head is the header of answers, but for the revision.
func (d *Door) head() header {
	s := d.backend.Status()
	return header{cluster: s.ClusterID, member: uint64(s.ID), term: s.Term}
}

// encode writes a WatchResponse, after which left others follow soon. The result is valid until the next call; what it was sent as stays as
// it is.
func (e *watchEncoder) encode(h header, r *watch.Response, left int) *encoded {
	if cap(e.prefixes)-len(e.prefixes) < watchPrefixMax || cap(e.parts)-len(e.parts) < 2 {
		n := min(left+1, watchTogether)
		e.prefixes, e.parts = make([]byte, 0, n*watchPrefixMax), make([]mem.Buffer, 0, 2*n)
	}
	h.revision = r.Revision
	e.header = h.appendFields(e.header[:0])
	bare := *r
	bare.Events = nil
	start, first := len(e.prefixes), len(e.parts)
	e.prefixes = bare.Append(e.prefixes, e.header)
	e.parts = append(e.parts, mem.SliceBuffer(e.prefixes[start:len(e.prefixes):len(e.prefixes)]))
	if len(r.Events) > 0 {
		if len(e.events) != len(r.Events) || unsafe.SliceData(e.events) != unsafe.SliceData(r.Events) {
			e.events, e.eventsData = r.Events, mem.SliceBuffer(r.Events)
		}
		e.parts = append(e.parts, e.eventsData)
	}
	e.message.data = e.parts[first:len(e.parts):len(e.parts)]
	return &e.message
}

// forget lets go of what was sent.
func (e *watchEncoder) forget() { *e = watchEncoder{header: e.header} }
