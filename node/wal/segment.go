package wal

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine/format"
)

const (
	filePrefix  = "wal-"
	fileSuffix  = ".log"
	tempSuffix  = ".tmp"
	sizeUnit    = 4096
	magic       = "detcdWAL"
	version     = format.Log
	headerBytes = 120 // payload without the conf state

	hasHard = 1
	hasMark = 2
)

// segment is one file of the WAL.
type segment struct {
	seq  uint64
	size int64
	// before is the last index of the log when the segment began, as its header says. Every entry after it that is still valid is in this
	// segment or in a later one.
	before uint64
	// beforeTerm is the term of that index then; 0 where it was not read.
	beforeTerm uint64
}

func (s *segment) name() string { return segmentName(s.seq) }

func segmentName(seq uint64) string { return fmt.Sprintf("%s%016x%s", filePrefix, seq, fileSuffix) }

// parseName tells segments (temp false) and leftovers of their making (temp true) from other files.
func parseName(name string) (seq uint64, temp, ok bool) {
	rest, ok := strings.CutPrefix(name, filePrefix)
	if !ok {
		return 0, false, false
	}
	hex, ok := strings.CutSuffix(rest, fileSuffix)
	if !ok {
		if hex, ok = strings.CutSuffix(rest, tempSuffix); !ok {
			return 0, false, false
		}
		temp = true
	}
	seq, err := strconv.ParseUint(hex, 16, 64)
	if err != nil || len(hex) != 16 || strings.ToLower(hex) != hex {
		return 0, false, false
	}
	return seq, temp, true
}

// header is the content of a segment's first record: what all segments before it add up to, apart from entries. The record's batch and
// chain are those of the last record before it.
type header struct {
	id          Identity
	seq         uint64
	incarnation uint64
	state       state
	// size is the file's size in bytes, and first the size of the batch after the header where that is large (see largeShare). Both are 0 in
	// segments of detcd 0.1.0, which did not say.
	size, first int64
}

func (h *header) append(b []byte) []byte {
	var flags uint32
	if h.state.hasHard {
		flags |= hasHard
	}
	if h.state.hasMark {
		flags |= hasMark
	}
	b = append(b, magic...)
	b = order.AppendUint32(b, version)
	b = order.AppendUint32(b, flags)
	s := &h.state
	for _, v := range [...]uint64{h.id.Cluster, h.id.Member, h.seq, h.incarnation, s.term, s.vote, s.commit,
		s.last, s.lastTerm, s.mark.Index, s.mark.Term, uint64(h.size), uint64(h.first)} {
		b = order.AppendUint64(b, v)
	}
	return append(b, s.mark.ConfState...)
}

// parseHeader returns ErrFormat for another version, and a reason when the payload is none of a header.
func parseHeader(p []byte) (h header, reason string, err error) {
	if len(p) < len(magic)+4 || string(p[:len(magic)]) != magic {
		return h, "not a WAL segment", nil
	}
	if v := order.Uint32(p[8:]); v != version {
		return h, "", fmt.Errorf("%w %d", ErrFormat, v)
	}
	if len(p) < headerBytes {
		return h, "short segment header", nil
	}
	flags := order.Uint32(p[12:])
	var v [13]uint64
	for i := range v {
		v[i] = order.Uint64(p[16+8*i:])
	}
	h.id, h.seq, h.incarnation = Identity{v[0], v[1]}, v[2], v[3]
	h.size, h.first = int64(v[11]), int64(v[12])
	s := &h.state
	s.term, s.vote, s.commit, s.last, s.lastTerm = v[4], v[5], v[6], v[7], v[8]
	s.hasHard, s.hasMark = flags&hasHard != 0, flags&hasMark != 0
	s.mark = SnapshotMark{Index: v[9], Term: v[10], ConfState: append([]byte(nil), p[headerBytes:]...)}
	if s.last > 0 {
		s.runs = []run{{s.last, s.lastTerm}}
	}
	if h.size < 0 || h.first < 0 || h.first > h.size {
		return h, "segment header with impossible sizes", nil
	}
	if s.commit > s.last || s.mark.Index > s.last {
		return h, "segment header whose commit index or snapshot is beyond its last entry", nil
	}
	return h, "", nil
}

// create makes a segment under a temporary name, of the size that its header says, and gives it its own name once header and size are
// durable. When it returns the name is durable too. Its first record's CRC is returned, and where the next record goes.
func create(d port.Disk, h *header, chain uint32, batch uint64) (f port.File, crc uint32, next int64, err error) {
	if f, err = allocate(d, h); err != nil {
		return nil, 0, 0, err
	}
	crc, next, err = establish(d, f, h, chain, batch)
	return f, crc, next, err
}

// allocate makes the file of a segment under its temporary name.
func allocate(d port.Disk, h *header) (port.File, error) {
	f, err := d.Create(tempName(h.seq), h.size)
	if err != nil {
		return nil, fmt.Errorf("wal: create %s: %w", tempName(h.seq), err)
	}
	return f, nil
}

// establish is the rest of create. It closes the file when it fails.
func establish(d port.Disk, f port.File, h *header, chain uint32, batch uint64) (crc uint32, next int64, err error) {
	var e encoder
	e.reset(h.seq, 0, chain, batch)
	e.begin(kindHeader, 0)
	e.buf = h.append(e.buf)
	data, crc := e.finish()

	temp := tempName(h.seq)
	if _, err = f.WriteAt(data, 0); err != nil {
		err = fmt.Errorf("wal: write %s: %w", temp, err)
	} else if err = f.Sync(); err != nil {
		err = fmt.Errorf("wal: sync %s: %w", temp, err)
	} else if err = d.Rename(temp, segmentName(h.seq)); err != nil {
		err = fmt.Errorf("wal: rename %s: %w", temp, err)
	} else if err = d.SyncDir(); err != nil {
		err = fmt.Errorf("wal: sync directory: %w", err)
	}
	if err != nil {
		_ = f.Close() // the first error is the one that matters
		return 0, 0, err
	}
	return crc, int64(len(data)), nil
}

// A batch that takes more than 1/largeShare of its segment is large. It begins a new segment, whose header tells the size of the batch before
// any of it is written. So there is always a known bound on what a torn write can leave behind.
const largeShare = 4

// earlySegmentBytes is the least size of segments of detcd 0.1.0. Their headers do not tell it.
const earlySegmentBytes = 64 << 20

// rotate goes on in a new segment with room for need bytes of records, under the given incarnation.
func (l *Log) rotate(need int64, incarnation uint64) error {
	h := header{id: l.id, seq: 1, incarnation: incarnation, state: l.state}
	if len(l.segments) > 0 {
		h.seq = l.seq() + 1
	}
	least := recordBytes(headerBytes+len(h.state.mark.ConfState)) + need
	if err := l.giveWay(max(l.segmentBytes.Load(), least)); err != nil {
		return err
	}
	f, err := l.fit(&h, least, need)
	var crc uint32
	var next int64
	if err == nil {
		// A Settle mark at the end of the old segment may never reach the disk, so the new one continues from the batch before it.
		crc, next, err = establish(l.disk, f, &h, l.synced, l.batch)
	}
	if err != nil {
		l.err = err
		return err
	}
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			_ = f.Close()
			return l.fail("close "+segmentName(l.seq()), err)
		}
	}
	l.file, l.size, l.offset, l.incarnation = f, h.size, next, incarnation
	l.chain, l.synced, l.settled, l.syncedEnd = crc, crc, true, next
	l.segments = append(l.segments, segment{seq: h.seq, size: h.size, before: h.state.last, beforeTerm: h.state.lastTerm})
	l.total.Add(h.size)
	l.files.Add(1)
	l.publishSpans()
	l.count(next)
	return nil
}

// fit makes the file of a segment, of the usual size, or larger if the next batch needs it. If the disk has no room for the usual size, this
// segment and those after it are smaller: a fourth of what there is room for, as snapshots and the next segment need room, too.
func (l *Log) fit(h *header, least, need int64) (port.File, error) {
	for {
		h.size, h.first = roundUp(max(l.segmentBytes.Load(), least)), 0
		if need > h.size/largeShare {
			h.first = need
		}
		f, err := allocate(l.disk, h)
		if !errors.Is(err, port.ErrNoSpace) {
			return f, err
		}
		room, e := l.room(tempName(h.seq), h.size, roundUp(least))
		if e != nil || room == 0 {
			return nil, errors.Join(err, e)
		}
		l.segmentBytes.Store(max(room/largeShare, l.leastSegmentBytes))
	}
}

// room returns the size of the largest file, smaller than tried and not smaller than least, that the disk has room for; 0: none.
func (l *Log) room(temp string, tried, least int64) (int64, error) {
	if err := l.disk.Remove(temp); err != nil && !errors.Is(err, port.ErrNotExist) {
		return 0, fmt.Errorf("wal: remove %s: %w", temp, err)
	}
	for size := roundUp(tried / 2); size < tried && size >= max(least, l.leastSegmentBytes); tried, size = size, roundUp(size/2) {
		f, err := l.disk.Create(temp, size)
		if errors.Is(err, port.ErrNoSpace) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("wal: create %s: %w", temp, err)
		}
		if err := errors.Join(f.Close(), l.disk.Remove(temp)); err != nil {
			return 0, fmt.Errorf("wal: remove %s: %w", temp, err)
		}
		return size, nil
	}
	return 0, nil
}

func roundUp(size int64) int64 { return (size + sizeUnit - 1) / sizeUnit * sizeUnit }

func tempName(seq uint64) string { return fmt.Sprintf("%s%016x%s", filePrefix, seq, tempSuffix) }
