package door

import (
	"unsafe"

	"google.golang.org/grpc/mem"

	"github.com/detcd/detcd/node/watch"
)

// watchEncoder encodes the responses of a stream. The events of watchers that share them go to the wire from one piece of memory: what is
// made for each is what differs.
type watchEncoder struct {
	header []byte
	// events is the last response's, as a buffer.
	events     []byte
	eventsData mem.Buffer
}

// watchPrefixMax is room for all fields of a response but a long cancel reason and the events.
const watchPrefixMax = headerMax + 48

// head is the header of answers, but for the revision.
func (d *Door) head() header {
	s := d.backend.Status()
	return header{cluster: s.ClusterID, member: uint64(s.ID), term: s.Term}
}

// encode writes a WatchResponse.
func (e *watchEncoder) encode(h header, r *watch.Response) *encoded {
	h.revision = r.Revision
	e.header = h.appendFields(e.header[:0])
	bare := *r
	bare.Events = nil
	data := make(mem.BufferSlice, 1, 2)
	data[0] = mem.SliceBuffer(bare.Append(make([]byte, 0, watchPrefixMax), e.header))
	if len(r.Events) == 0 {
		return &encoded{data}
	}
	if len(e.events) != len(r.Events) || unsafe.SliceData(e.events) != unsafe.SliceData(r.Events) {
		e.events, e.eventsData = r.Events, mem.SliceBuffer(r.Events)
	}
	return &encoded{append(data, e.eventsData)}
}

// forget lets go of the last events.
func (e *watchEncoder) forget() { e.events, e.eventsData = nil, nil }
