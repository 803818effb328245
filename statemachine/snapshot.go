package statemachine

import (
	"encoding/binary"
	"io"

	"github.com/cespare/xxhash/v2"
)

// A snapshot is the whole replicated state as a stream of records, each a varint length and that many bytes, of which the
// first says the kind:
//
//	H  cluster's format version, applied index and term, revision, compacted revision, configuration state, cluster version, downgrade
//	B  a version from before the compacted revision, visible at it: sub, encoded key-value; in key order
//	E  a change from the compacted revision on: sub, encoded key-value (of a deletion: key and revision); in order
//	L  lease; by id           (which keys a lease has is in their versions)
//	S  session; by proposer
//	M  member; by id
//	R  id of a removed member; in order
//	A  alarm; by type and member
//	T  number of records before this one, state hash, xxhash64 of all bytes before this record's hash field
//
// All but the last are the items of a Walk, in its order. What the records look like depends on the cluster's format version. (Version 2 differs from 1
// in nothing but that number, and in that the state hash counts it.)

const (
	snapshotMagic = "detcdkv\n"
	trailerRecord = 'T'
	// trailerHashBytes is the size of the hash that ends the trailer, and the stream.
	trailerHashBytes = 8
	// snapshotFill is how many bytes a refill of the reader's buffer aims at. It ends at a record's end.
	snapshotFill = 64 << 10
)

// SnapshotReader produces a view's snapshot as it is read: its memory is bounded by snapshotFill and the largest value. It
// pins the view until Close. Only one goroutine at a time may use it.
type SnapshotReader struct {
	view    *View
	walk    *Walk
	buf     []byte
	unread  []byte
	scratch []byte
	digest  *xxhash.Digest
	records uint64
	ended   bool // the trailer is in buf
	closed  bool
}

var _ io.ReadCloser = (*SnapshotReader)(nil)

// Snapshot starts a snapshot of the view, in O(1). The caller must hold a pin on the view while it calls this.
func (v *View) Snapshot() *SnapshotReader {
	if !v.Acquire() {
		panic("statemachine: a snapshot was asked of a view that is not pinned")
	}
	return &SnapshotReader{view: v, walk: v.Walk(), digest: xxhash.New()}
}

// Close releases the view. It never fails; calling it again does nothing.
func (s *SnapshotReader) Close() error {
	if !s.closed {
		s.closed = true
		s.view.Release()
	}
	return nil
}

// Read implements io.Reader. Its only error is io.EOF, at the end or after Close.
func (s *SnapshotReader) Read(p []byte) (int, error) {
	for len(s.unread) == 0 {
		if s.closed || s.ended {
			return 0, io.EOF
		}
		s.fill()
	}
	n := copy(p, s.unread)
	s.unread = s.unread[n:]
	return n, nil
}

// WriteTo implements io.WriterTo, handing on each buffer without copying it.
func (s *SnapshotReader) WriteTo(w io.Writer) (total int64, err error) {
	for !s.closed && (len(s.unread) > 0 || !s.ended) {
		if len(s.unread) == 0 {
			s.fill()
		}
		n, err := w.Write(s.unread)
		total += int64(n)
		s.unread = s.unread[n:]
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// fill produces the next records.
func (s *SnapshotReader) fill() {
	s.buf = s.buf[:0]
	if s.records == 0 {
		s.buf = append(s.buf, snapshotMagic...)
	}
	for len(s.buf) < snapshotFill {
		item, more := s.walk.Next()
		if !more {
			s.trailer()
			s.ended = true
			break
		}
		s.item(item)
	}
	if !s.ended {
		_, _ = s.digest.Write(s.buf) // never fails
	}
	s.unread = s.buf
}

// item writes the record of one item.
func (s *SnapshotReader) item(item Item) {
	body := append(s.scratch[:0], item.kind)
	switch item.kind {
	case headItem:
		body = item.head.append(body)
	case baseItem, eventItem:
		body = append(binary.AppendUvarint(body, uint64(item.change.sub)), item.change.kv...)
	default:
		body = append(body[:0], item.row...)
	}
	s.buf = appendString(s.buf, body)
	s.scratch = body
	s.records++
}

func (s *SnapshotReader) trailer() {
	body := binary.AppendUvarint(append(s.scratch[:0], trailerRecord), s.records)
	body = binary.LittleEndian.AppendUint64(body, s.view.StateHash())
	s.buf = binary.AppendUvarint(s.buf, uint64(len(body)+trailerHashBytes))
	s.buf = append(s.buf, body...)
	_, _ = s.digest.Write(s.buf) // never fails
	s.buf = binary.LittleEndian.AppendUint64(s.buf, s.digest.Sum64())
}
