package wal

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/detcd/detcd/node/port"
)

const (
	filePrefix  = "wal-"
	fileSuffix  = ".log"
	tempSuffix  = ".tmp"
	sizeUnit    = 4096
	magic       = "detcdWAL"
	version     = 1
	headerBytes = 120 // payload without the conf state

	hasHard = 1
	hasMark = 2
)

// segment is one file of the WAL.
type segment struct {
	seq      uint64
	size     int64
	maxIndex uint64 // the highest index of an entry in it, replaced ones included; 0: none
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

// header is the content of a segment's first record: all that the segments before it amount to, apart from entries.
// The record's batch and chain are those of the last record before it.
type header struct {
	id          Identity
	seq         uint64
	incarnation uint64
	state       state
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
		s.last, s.lastTerm, s.mark.Index, s.mark.Term, 0, 0} {
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
	var v [11]uint64
	for i := range v {
		v[i] = order.Uint64(p[16+8*i:])
	}
	h.id, h.seq, h.incarnation = Identity{v[0], v[1]}, v[2], v[3]
	s := &h.state
	s.term, s.vote, s.commit, s.last, s.lastTerm = v[4], v[5], v[6], v[7], v[8]
	s.hasHard, s.hasMark = flags&hasHard != 0, flags&hasMark != 0
	s.mark = SnapshotMark{Index: v[9], Term: v[10], ConfState: append([]byte(nil), p[headerBytes:]...)}
	if s.last > 0 {
		s.runs = []run{{s.last, s.lastTerm}}
	}
	if s.commit > s.last || s.mark.Index > s.last {
		return h, "segment header whose commit index or snapshot is beyond its last entry", nil
	}
	return h, "", nil
}

// create makes a segment under a temporary name and gives it its own once header and size are durable. When it returns the
// name is durable too. Its first record's CRC is returned, and where the next record goes.
func create(d port.Disk, h *header, size int64, chain uint32, batch uint64) (f port.File, crc uint32, next int64, err error) {
	var e encoder
	e.reset(h.seq, 0, chain, batch)
	e.begin(kindHeader, 0)
	e.buf = h.append(e.buf)
	data, crc := e.finish()

	temp := fmt.Sprintf("%s%016x%s", filePrefix, h.seq, tempSuffix)
	if f, err = d.Create(temp, size); err != nil {
		return nil, 0, 0, fmt.Errorf("wal: create %s: %w", temp, err)
	}
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
		return nil, 0, 0, err
	}
	return f, crc, int64(len(data)), nil
}

// rotate goes on in a new segment with room for need bytes of records, under the given incarnation.
func (l *Log) rotate(need int64, incarnation uint64) error {
	h := header{id: l.id, seq: 1, incarnation: incarnation, state: l.state}
	if len(l.segments) > 0 {
		h.seq = l.seq() + 1
	}
	size := max(l.segmentBytes, recordBytes(headerBytes+len(h.state.mark.ConfState))+need)
	size = (size + sizeUnit - 1) / sizeUnit * sizeUnit
	// A Settle mark at the end of the old segment may never reach the disk, so the new one continues from the batch before it.
	f, crc, next, err := create(l.disk, &h, size, l.synced, l.batch)
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
	l.file, l.size, l.offset, l.incarnation = f, size, next, incarnation
	l.chain, l.synced, l.settled = crc, crc, true
	l.segments = append(l.segments, segment{seq: h.seq, size: size})
	l.total.Add(size)
	l.files.Add(1)
	l.count(next)
	return nil
}
