package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/detcd/detcd/node/port"
)

const (
	chunkBytes = 1 << 20  // read at once while replaying; an entry that is still needed keeps its whole chunk in memory
	scanBytes  = 64 << 10 // read at once behind the end, and written at once when zeroing there
)

// reader reads the records of one segment. Its chunks are never used twice, since entries share them.
type reader struct {
	file  port.File
	name  string
	seq   uint64
	size  int64
	chunk []byte
	start int64 // offset of chunk[0]
	salt  salt
}

// bytes returns the n bytes at off, which must be inside the segment.
func (r *reader) bytes(off, n int64) ([]byte, error) {
	if off < r.start || off+n > r.start+int64(len(r.chunk)) {
		b := make([]byte, min(max(n, chunkBytes), r.size-off))
		if err := r.readFull(b, off); err != nil {
			return nil, err
		}
		r.chunk, r.start = b, off
	}
	b := r.chunk[off-r.start:]
	return b[:n:n], nil
}

func (r *reader) readFull(b []byte, off int64) error {
	n, err := r.file.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("wal: read %s at offset %d: %w", r.name, off, err)
}

// record reads the record at off; ok is false if none that is intact stands there.
func (r *reader) record(off int64) (rec record, ok bool, err error) {
	if r.size-off < frameBytes {
		return rec, false, nil
	}
	b, err := r.bytes(off, frameBytes)
	if err != nil {
		return rec, false, err
	}
	f, plausible := parseFrame(b, r.size-off)
	if !plausible {
		return rec, false, nil
	}
	if b, err = r.bytes(off, recordBytes(int(f.length))); err != nil {
		return rec, false, err
	}
	if r.salt.checksum(r.seq, off, b[4:]) != f.crc {
		return rec, false, nil
	}
	f.offset, f.payload = off, b[frameBytes:frameBytes+f.length:frameBytes+f.length]
	return f.record, true, nil
}

// tail looks at everything from off, where no record could be read, to the end of the segment. dirty is the offset behind the last byte that is
// not zero; off, if all are zero. later says whether there is an intact record of a batch after the given one.
func (r *reader) tail(off int64, batch uint64) (dirty int64, later bool, err error) {
	dirty = off
	buf := make([]byte, max(0, min(scanBytes+frameBytes, r.size-off)))
	for at := off; at < r.size; at += scanBytes {
		b := buf[:min(int64(len(buf)), r.size-at)]
		if err := r.readFull(b, at); err != nil {
			return 0, false, err
		}
		for i := 0; i < len(b) && i < scanBytes; i += 8 {
			word := b[i:min(i+8, len(b))]
			if len(b)-i >= frameBytes && order.Uint64(word) == 0 && b[i+12] == 0 {
				continue // the usual case, a segment's unused end: no record begins here, and these bytes are zero
			}
			for j, c := range word {
				if c != 0 {
					dirty = at + int64(i+j) + 1
				}
			}
			if later || len(b)-i < frameBytes {
				continue
			}
			pos := at + int64(i)
			f, plausible := parseFrame(b[i:], r.size-pos)
			// A batch takes at least a frame. So a segment has room for only so many batches, and a number further ahead is no batch's.
			if !plausible || f.batch <= batch || f.batch-batch > uint64(r.size)/frameBytes {
				continue
			}
			if later, err = r.intact(pos, &f); err != nil {
				return 0, false, err
			}
		}
	}
	return dirty, later, nil
}

// intact checks the CRC of the record at off without keeping its bytes.
func (r *reader) intact(off int64, f *frame) (bool, error) {
	var buf [4096]byte
	crc := r.salt.checksum(r.seq, off, nil)
	for at, end := off+4, off+recordBytes(int(f.length)); at < end; {
		b := buf[:min(int64(len(buf)), end-at)]
		if err := r.readFull(b, at); err != nil {
			return false, err
		}
		crc = crc32.Update(crc, castagnoli, b)
		at += int64(len(b))
	}
	return crc == f.crc, nil
}
