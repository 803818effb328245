package statemachine

import (
	"encoding/binary"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"
	"google.golang.org/protobuf/encoding/protowire"
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
	view *View
	step snapshotStep

	base       baseIterator
	pos        int64 // of the next event
	leases     btree.IterG[Lease]
	moreLeases bool

	buf     []byte
	unread  []byte // the part of buf that Read has yet to hand out
	digest  *xxhash.Digest
	records uint64
	closed  bool
}

var (
	_ io.ReadCloser = (*SnapshotReader)(nil)
	_ io.WriterTo   = (*SnapshotReader)(nil)
)

// snapshotStep is the part of the stream that comes next.
type snapshotStep int

const (
	stepHeader snapshotStep = iota
	stepBase
	stepEvents
	stepLeases
	stepSmall
	stepTrailer
	stepEnd
)

// Snapshot starts a snapshot of the view, in O(1). The caller must hold a pin on the view while it calls this.
func (v *View) Snapshot() *SnapshotReader {
	if !v.Acquire() {
		panic("statemachine: a snapshot was asked of a view that is not pinned")
	}
	s := &SnapshotReader{
		view: v, base: newBaseIterator(v), pos: v.log.begin, leases: v.leases.Iter(), digest: xxhash.New(),
	}
	s.moreLeases = s.leases.First()
	return s
}

// Close releases the view. It never fails; calling it again does nothing.
func (s *SnapshotReader) Close() error {
	if !s.closed {
		s.closed, s.unread, s.step = true, nil, stepEnd
		s.view.Release()
	}
	return nil
}

// Read implements io.Reader. Its only error is io.EOF, at the end or after Close.
func (s *SnapshotReader) Read(p []byte) (int, error) {
	if !s.ready() {
		return 0, io.EOF
	}
	n := copy(p, s.unread)
	s.unread = s.unread[n:]
	return n, nil
}

// WriteTo implements io.WriterTo: it writes what has not been read yet, a buffer at a time. Its errors are w's.
func (s *SnapshotReader) WriteTo(w io.Writer) (total int64, err error) {
	for err == nil && s.ready() {
		var n int
		n, err = w.Write(s.unread)
		total += int64(n)
		s.unread = s.unread[n:]
	}
	return total, err
}

// ready sees to it that there is something unread; false at the end.
func (s *SnapshotReader) ready() bool {
	if len(s.unread) == 0 && s.step < stepEnd {
		s.fill()
	}
	return len(s.unread) > 0
}

// fill produces the next records.
func (s *SnapshotReader) fill() {
	s.buf = s.buf[:0]
	for len(s.buf) < snapshotFill && s.step < stepTrailer {
		if !s.produce() {
			s.step++
		}
	}
	if s.step == stepTrailer && len(s.buf) < snapshotFill {
		s.trailer()
		s.step = stepEnd
	} else {
		_, _ = s.digest.Write(s.buf) // never fails
	}
	s.unread = s.buf
}

// produce appends the next record of the step; false when the step has no more.
func (s *SnapshotReader) produce() bool {
	switch s.step {
	case stepHeader:
		s.buf = append(s.buf, snapshotMagic...)
		s.record(s.view.appendHeader([]byte{headerRecord}))
	case stepBase:
		if v := s.base.next(); v != nil {
			s.version(baseRecord, v)
			return true
		}
	case stepEvents:
		if s.pos < s.view.log.end {
			s.version(eventRecord, s.view.log.at(s.pos))
			s.pos++
			return true
		}
	case stepLeases:
		if s.moreLeases {
			s.record(s.leases.Item().append([]byte{leaseItem}))
			s.moreLeases = s.leases.Next()
			return true
		}
	case stepSmall:
		s.small()
	}
	return false
}

func (s *SnapshotReader) record(body []byte) {
	s.buf = appendString(s.buf, body)
	s.records++
}

func (s *SnapshotReader) version(kind byte, v *version) {
	size := 1 + protowire.SizeVarint(uint64(v.sub)) + len(v.kv)
	s.buf = append(binary.AppendUvarint(s.buf, uint64(size)), kind)
	s.buf = append(binary.AppendUvarint(s.buf, uint64(v.sub)), v.kv...)
	s.records++
}

// small appends what there is little of.
func (s *SnapshotReader) small() {
	for i := range s.view.sessions {
		s.record(s.view.sessions[i].append([]byte{sessionItem}))
	}
	for _, o := range s.view.members {
		s.record(o.append([]byte{memberItem}))
	}
	for _, id := range s.view.removed {
		s.record(binary.AppendUvarint([]byte{removedItem}, id))
	}
	for _, a := range s.view.alarms {
		s.record(a.append([]byte{alarmItem}))
	}
}

func (s *SnapshotReader) trailer() {
	body := binary.AppendUvarint([]byte{trailerRecord}, s.records)
	body = binary.LittleEndian.AppendUint64(body, s.view.StateHash())
	s.buf = binary.AppendUvarint(s.buf, uint64(len(body)+8))
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
