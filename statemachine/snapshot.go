package statemachine

import (
	"encoding/binary"
	"io"
	"math"

	"github.com/cespare/xxhash/v2"
)

// A snapshot is the whole replicated state as a stream of records, each a varint length and that many bytes, of which the
// first says the kind:
//
//	H  format, applied index and term, revision, compacted revision, configuration state, cluster version, downgrade
//	B  a version from before the compacted revision, visible at it: sub, encoded key-value; in key order
//	E  a change from the compacted revision on: sub, encoded key-value (of a deletion: key and revision); in order
//	L  lease; by id           (which keys a lease has is in their versions)
//	S  session; by proposer
//	M  member; by id
//	R  id of a removed member; in order
//	A  alarm; by type and member
//	T  number of records before this one, state hash, xxhash64 of all bytes before this record's hash field
//
// The bytes depend on the applied index and the log only, not on how far compaction has got in this member's memory.

const (
	snapshotFormat = 1
	snapshotMagic  = "detcdkv\n"
	// snapshotFill is how many bytes a refill of the reader's buffer aims at. It ends at a record's end.
	snapshotFill = 64 << 10
)

// Kinds of records; see also the kinds of items in hash.go.
const (
	headerRecord  = 'H'
	baseRecord    = 'B'
	eventRecord   = 'E'
	trailerRecord = 'T'
)

// SnapshotReader produces a view's snapshot as it is read: its memory is bounded by snapshotFill and the largest value. It
// pins the view until Close. Only one goroutine at a time may use it.
type SnapshotReader struct {
	view    *View
	base    baseIterator
	pos     int64
	lease   int64 // id of the next lease
	step    int
	buf     []byte
	unread  []byte
	scratch []byte
	digest  *xxhash.Digest
	records uint64
	closed  bool
}

var _ io.ReadCloser = (*SnapshotReader)(nil)

// Snapshot starts a snapshot of the view, in O(1). The caller must hold a pin on the view while it calls this.
func (v *View) Snapshot() *SnapshotReader {
	if !v.Acquire() {
		panic("statemachine: a snapshot was asked of a view that is not pinned")
	}
	return &SnapshotReader{view: v, base: newBaseIterator(v), pos: v.log.begin, lease: math.MinInt64, digest: xxhash.New()}
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
		if s.closed || s.step > stepTrailer {
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
	for !s.closed && (len(s.unread) > 0 || s.step <= stepTrailer) {
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

// Steps of the stream, in order.
const (
	stepHeader = iota
	stepBase
	stepEvents
	stepLeases
	stepRest
	stepTrailer
)

// fill produces the next records.
func (s *SnapshotReader) fill() {
	s.buf = s.buf[:0]
	for len(s.buf) < snapshotFill && s.step <= stepTrailer {
		switch s.step {
		case stepHeader:
			s.buf = append(s.buf, snapshotMagic...)
			s.record(s.view.appendHeader(s.start(headerRecord)))
			s.step++
		case stepBase:
			if v := s.base.next(); v != nil {
				s.version(baseRecord, v)
			} else {
				s.step++
			}
		case stepEvents:
			if s.pos < s.view.log.end {
				s.version(eventRecord, s.view.log.at(s.pos))
				s.pos++
			} else {
				s.step++
			}
		case stepLeases:
			s.leases()
		case stepRest:
			s.rest()
			s.step++
		case stepTrailer:
			s.trailer()
			s.step++
		}
	}
	if s.step <= stepTrailer {
		_, _ = s.digest.Write(s.buf) // never fails
	}
	s.unread = s.buf
}

func (s *SnapshotReader) start(kind byte) []byte { return append(s.scratch[:0], kind) }

func (s *SnapshotReader) record(body []byte) {
	s.buf = appendString(s.buf, body)
	s.scratch = body[:0]
	s.records++
}

func (s *SnapshotReader) version(kind byte, v *version) {
	s.record(append(binary.AppendUvarint(s.start(kind), uint64(v.sub)), v.kv...))
}

// leases writes the next leases, and ends the step with the last.
func (s *SnapshotReader) leases() {
	more := false
	s.view.leases.Ascend(Lease{ID: s.lease}, func(l Lease) bool {
		if more = len(s.buf) >= snapshotFill; more {
			s.lease = l.ID
			return false
		}
		s.record(l.append(s.start(leaseItem)))
		return true
	})
	if !more {
		s.step++
	}
}

// rest writes everything of which there is little.
func (s *SnapshotReader) rest() {
	for i := range s.view.sessions {
		s.record(s.view.sessions[i].append(s.start(sessionItem)))
	}
	for _, o := range s.view.members {
		s.record(o.append(s.start(memberItem)))
	}
	for _, id := range s.view.removed {
		s.record(binary.AppendUvarint(s.start(removedItem), id))
	}
	for _, a := range s.view.alarms {
		s.record(a.append(s.start(alarmItem)))
	}
}

// trailerHashBytes is the size of the hash that ends the trailer, and the stream.
const trailerHashBytes = 8

func (s *SnapshotReader) trailer() {
	body := binary.AppendUvarint(s.start(trailerRecord), s.records)
	body = binary.LittleEndian.AppendUint64(body, s.view.StateHash())
	s.buf = binary.AppendUvarint(s.buf, uint64(len(body)+trailerHashBytes))
	s.buf = append(s.buf, body...)
	_, _ = s.digest.Write(s.buf) // never fails
	s.buf = binary.LittleEndian.AppendUint64(s.buf, s.digest.Sum64())
}

func (v *View) appendHeader(b []byte) []byte {
	b = binary.AppendUvarint(b, snapshotFormat)
	b = binary.AppendUvarint(binary.AppendUvarint(b, v.index), v.term)
	b = binary.AppendVarint(binary.AppendVarint(b, v.keys.rev), v.keys.compacted)
	b = appendString(appendString(b, v.confState), v.clusterVersion)
	return appendString(appendBool(b, v.downgrade.Enabled), v.downgrade.Target)
}
