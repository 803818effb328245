package wire

import (
	"math/bits"
	"sync"
	"unsafe"

	"google.golang.org/grpc/mem"
)

// Rooms are memory for the encoded events of a watch stream. They are used again when their events have been sent. Otherwise the runtime would have to clear, and to
// collect, as much memory as is sent to a watcher that catches up. Memory smaller than roomBytesMin or larger than roomBytesMax comes from the heap.
const (
	roomBytesMinLog, roomBytesMaxLog = 16, 21
	roomBytesMin, roomBytesMax       = 1 << roomBytesMinLog, 1 << roomBytesMaxLog
)

// roomPool is the rooms of all streams that are not in use, by the logarithm of their size.
type roomPool [roomBytesMaxLog + 1]sync.Pool

var rooms roomPool

var _ mem.BufferPool = (*roomPool)(nil)

// Get implements mem.BufferPool. What is in the memory is of no meaning.
func (p *roomPool) Get(bytes int) *[]byte {
	size := bits.Len(uint(bytes - 1))
	if room, ok := p[size].Get().(*[]byte); ok {
		*room = (*room)[:bytes]
		return room
	}
	room := make([]byte, bytes, 1<<size)
	return &room
}

// Put implements mem.BufferPool.
func (p *roomPool) Put(room *[]byte) {
	p[bits.Len(uint(cap(*room)-1))].Put(room)
}

// Room makes memory for events of the next responses. It returns to the pool when they have been sent, after Forget.
func (e *WatchEncoder) Room(bytes int) []byte {
	if bytes < roomBytesMin || bytes > roomBytesMax {
		return make([]byte, 0, bytes)
	}
	memory := rooms.Get(bytes)
	e.rooms = append(e.rooms, mem.NewBuffer(memory, &rooms))
	return (*memory)[:0]
}

// inRoom is a part of a room as a buffer of its own, which the sender frees; nil if the bytes are not in one.
func (e *WatchEncoder) inRoom(events []byte) mem.Buffer {
	if len(events) == 0 || len(e.rooms) == 0 {
		return nil
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(events)))
	for _, r := range e.rooms {
		whole := r.ReadOnlyData()
		if begin := uintptr(unsafe.Pointer(unsafe.SliceData(whole))); at >= begin && at < begin+uintptr(len(whole)) {
			from := int(at - begin)
			return r.Slice(from, from+len(events))
		}
	}
	return nil
}
