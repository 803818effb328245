package wal

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"go.etcd.io/raft/v3/raftpb"
)

type kind uint8

const (
	kindHeader    kind = 1 + iota // first record of a segment, and only there
	kindEntry                     // index, term, data; sub is raft's entry type
	kindSnapshot                  // index, term, conf state; sub is 1 when the log before it is void
	kindHardState                 // term, vote, commit
	kindStart                     // incarnation
	kindSettled                   // nothing
	kindEnd
)

const (
	frameBytes       = 24
	entryFixedBytes  = 16
	markFixedBytes   = 16
	hardStateBytes   = 24
	startBytes       = 8
	flagLast         = 1
	subReset         = 1
	keepEncoderBytes = 4 << 20
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	order      = binary.LittleEndian
)

// recordBytes is the size on disk of a record with a payload of n bytes.
func recordBytes(n int) int64 { return frameBytes + padded(n) }

func padded(n int) int64 { return (int64(n) + 7) &^ 7 }

// batchBytes is how many bytes the batches take on disk at most.
func batchBytes(batches []Batch) (n int64) {
	hard := false
	for i := range batches {
		b := &batches[i]
		if b.Snapshot != nil {
			n += recordBytes(markFixedBytes + len(b.Snapshot.ConfState))
		}
		for _, e := range b.Entries {
			n += recordBytes(entryFixedBytes + len(e.Data))
		}
		if b.Incarnation != 0 {
			n += recordBytes(startBytes)
		}
		hard = hard || b.HardState != nil
	}
	if hard {
		n += recordBytes(hardStateBytes)
	}
	return n
}

// encoder lays out the records of one batch, in a buffer that it reuses.
type encoder struct {
	buf    []byte
	seq    uint64
	offset int64 // in the segment, of buf[0]
	chain  uint32
	batch  uint64
	open   int // where the record being built starts in buf; -1: none
	salt   salt
}

func (e *encoder) reset(seq uint64, offset int64, chain uint32, batch uint64) {
	if cap(e.buf) > keepEncoderBytes {
		e.buf = nil // one huge batch must not keep its memory for ever
	}
	e.buf, e.seq, e.offset, e.chain, e.batch, e.open = e.buf[:0], seq, offset, chain, batch, -1
}

// begin starts a record, whose payload is then appended to buf.
func (e *encoder) begin(k kind, sub uint16) {
	e.seal(0)
	e.open = len(e.buf)
	var f [frameBytes]byte
	f[12] = byte(k)
	order.PutUint16(f[14:], sub)
	order.PutUint64(f[16:], e.batch)
	e.buf = append(e.buf, f[:]...)
}

// seal completes the record being built, if there is one.
func (e *encoder) seal(flags byte) {
	if e.open < 0 {
		return
	}
	n := len(e.buf) - e.open - frameBytes
	if int64(n) > math.MaxUint32 {
		panic("wal: a record of more than 4 GiB")
	}
	var zero [8]byte
	e.buf = append(e.buf, zero[:padded(n)-int64(n)]...)
	r := e.buf[e.open:]
	order.PutUint32(r[4:], uint32(n))
	order.PutUint32(r[8:], e.chain)
	r[13] = flags
	e.chain = e.salt.checksum(e.seq, e.offset+int64(e.open), r[4:])
	order.PutUint32(r, e.chain)
	e.open = -1
}

// finish ends the batch, and returns its bytes (valid until the next reset) and its last CRC.
func (e *encoder) finish() ([]byte, uint32) {
	e.seal(flagLast)
	return e.buf, e.chain
}

// unfinished returns the records so far without ending the batch.
func (e *encoder) unfinished() ([]byte, uint32) {
	e.seal(0)
	return e.buf, e.chain
}

func (e *encoder) entry(x *raftpb.Entry) {
	e.begin(kindEntry, uint16(x.GetType()))
	e.buf = order.AppendUint64(e.buf, x.GetIndex())
	e.buf = order.AppendUint64(e.buf, x.GetTerm())
	e.buf = append(e.buf, x.Data...)
}

func (e *encoder) snapshot(m *SnapshotMark, reset bool) {
	var sub uint16
	if reset {
		sub = subReset
	}
	e.begin(kindSnapshot, sub)
	e.buf = order.AppendUint64(e.buf, m.Index)
	e.buf = order.AppendUint64(e.buf, m.Term)
	e.buf = append(e.buf, m.ConfState...)
}

func (e *encoder) hardState(term, vote, commit uint64) {
	e.begin(kindHardState, 0)
	e.buf = order.AppendUint64(e.buf, term)
	e.buf = order.AppendUint64(e.buf, vote)
	e.buf = order.AppendUint64(e.buf, commit)
}

func (e *encoder) start(incarnation uint64) {
	e.begin(kindStart, 0)
	e.buf = order.AppendUint64(e.buf, incarnation)
}

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// salt is the scratch space of checksum, kept so that none is allocated.
type salt [16]byte

// checksum is the CRC of a record's bytes after the CRC field. It depends on the place of the record, too: the same bytes elsewhere, such as a
// copy of a WAL stored as a value, are no record.
func (s *salt) checksum(seq uint64, offset int64, data []byte) uint32 {
	order.PutUint64(s[:], seq)
	order.PutUint64(s[8:], uint64(offset))
	return crc32.Update(crc32.Update(0, castagnoli, s[:]), castagnoli, data)
}

// record is one record as read. Its payload shares the read buffer.
type record struct {
	offset  int64
	crc     uint32
	chain   uint32
	kind    kind
	flags   byte
	sub     uint16
	batch   uint64
	payload []byte
}

// frame is what the first bytes of a record say before its CRC is known to be right.
type frame struct {
	record
	length uint32
}

// parseFrame reads the frame at the beginning of b. plausible says whether it can be a record's. room is how many bytes of the segment there are
// from the beginning of b on.
func parseFrame(b []byte, room int64) (f frame, plausible bool) {
	if len(b) < frameBytes || room < frameBytes {
		return f, false
	}
	f.crc, f.length, f.chain = order.Uint32(b), order.Uint32(b[4:]), order.Uint32(b[8:])
	f.kind, f.flags, f.sub = kind(b[12]), b[13], order.Uint16(b[14:])
	f.batch = order.Uint64(b[16:])
	if f.kind < kindHeader || f.kind >= kindEnd || f.flags&^flagLast != 0 || frameBytes+int64(f.length) > room-room%8 {
		return f, false
	}
	switch f.kind {
	case kindEntry:
		return f, f.length >= entryFixedBytes
	case kindSnapshot:
		return f, f.length >= markFixedBytes
	case kindHardState:
		return f, f.length == hardStateBytes
	case kindStart:
		return f, f.length == startBytes
	case kindSettled:
		return f, f.length == 0
	}
	return f, true
}
