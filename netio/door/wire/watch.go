package wire

import (
	"unsafe"

	"google.golang.org/grpc/mem"

	"github.com/detcd/detcd/node/watch"
)

// WatchEncoder encodes the responses of a stream. The events of watchers that share them go to the wire from one piece of memory; what
// differs is written for each, many to an allocation.
type WatchEncoder struct {
	// header is the one of the responses as of a revision, encoded.
	header   []byte
	of       Header
	prefixes []byte            // room for what comes before the events of the next responses
	slices   []mem.SliceBuffer // room for their prefixes as buffers
	parts    []mem.Buffer      // room for their lists of parts
	message  Encoded
	// events is the last response's, as a buffer.
	events     []byte
	eventsData mem.Buffer
	rooms      []mem.Buffer // that hold events of responses which are yet to be encoded
}

const (
	// watchFieldsMax is room for all fields of a response but its header, a cancel reason and the events; watchFields is enough for the
	// id of a watcher.
	watchFieldsMax, watchFields = 48, 1 + 10
	// watchTogether bounds how many responses share an allocation, which lives until the last of them is sent.
	watchTogether = 64
)

// Encode writes a WatchResponse, after which left others follow soon. The result is valid until the next call; what it was sent as stays as
// it is.
func (e *WatchEncoder) Encode(h Header, r *watch.Response, left int) *Encoded {
	if h.Revision = r.Revision; h != e.of {
		e.header, e.of = h.appendFields(e.header[:0]), h
	}
	e.makeRoom(r, left)
	bare := *r
	bare.Events = nil
	start, first := len(e.prefixes), len(e.parts)
	e.prefixes = bare.Append(e.prefixes, e.header)
	e.slices = append(e.slices, mem.SliceBuffer(e.prefixes[start:len(e.prefixes):len(e.prefixes)]))
	e.parts = append(e.parts, &e.slices[len(e.slices)-1]) // a pointer, because an interface would have each slice's header copied to the heap
	if room := e.inRoom(r.Events); room != nil {
		e.parts = append(e.parts, room)
	} else if len(r.Events) > 0 {
		if len(e.events) != len(r.Events) || unsafe.SliceData(e.events) != unsafe.SliceData(r.Events) {
			e.events, e.eventsData = r.Events, mem.SliceBuffer(r.Events)
		}
		e.parts = append(e.parts, e.eventsData)
	}
	e.message.data = e.parts[first:len(e.parts):len(e.parts)]
	return &e.message
}

// makeRoom sees to it that nothing which is on its way has to move.
func (e *WatchEncoder) makeRoom(r *watch.Response, left int) {
	n := min(left+1, watchTogether)
	if cap(e.slices) == len(e.slices) || cap(e.parts)-len(e.parts) < 2 {
		e.slices, e.parts = make([]mem.SliceBuffer, 0, n), make([]mem.Buffer, 0, 2*n)
	}
	header := 2 + len(e.header) // its tag, its length and itself
	if most := header + watchFieldsMax + len(r.CancelReason); cap(e.prefixes)-len(e.prefixes) < most {
		e.prefixes = make([]byte, 0, most+(n-1)*(header+watchFields))
	}
}

// Forget lets go of what was sent.
func (e *WatchEncoder) Forget() {
	for i, r := range e.rooms {
		r.Free()
		e.rooms[i] = nil
	}
	*e = WatchEncoder{header: e.header, of: e.of, rooms: e.rooms[:0]}
}
