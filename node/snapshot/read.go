package snapshot

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
)

// Reader reads a snapshot's content. It checks each block before it hands any of it out, and the whole before it returns io.EOF. So the content
// is good only if reading has ended in io.EOF.
type Reader struct {
	file   port.File
	name   string
	size   int64
	id     wal.Identity
	mark   wal.SnapshotMark
	check  checker
	block  []byte // buffer
	rest   []byte // of the current block, not handed out yet
	number uint64 // of the next block
	offset int64  // of the next block
	bytes  uint64
	crcs   uint32
	err    error
}

// Open opens the snapshot of an index and term and reads its header. It returns port.ErrNotExist when there is none, a
// wal.CorruptError, ErrFormat, or an I/O error.
func Open(d port.Disk, index, term uint64) (*Reader, error) {
	name := Name(index, term)
	f, err := d.Open(name)
	if err != nil {
		return nil, fmt.Errorf("snapshot: open %s: %w", name, err)
	}
	r := &Reader{file: f, name: name, check: newChecker(index, term)}
	if err := r.header(index, term); err != nil {
		_ = f.Close() // the first error is the one that matters
		return nil, err
	}
	return r, nil
}

func (r *Reader) header(index, term uint64) (err error) {
	if r.size, err = r.file.Size(); err != nil {
		return fmt.Errorf("snapshot: size of %s: %w", r.name, err)
	}
	p, kind, err := r.next(maxHeaderBytes)
	if err != nil {
		return err
	}
	if kind != kindHeader || len(p) < len(magic)+4 || string(p[:len(magic)]) != magic {
		return corrupt(r.name, 0, "not a snapshot header")
	}
	if v := order.Uint32(p[8:]); v != version {
		return fmt.Errorf("%w %d: %s", ErrFormat, v, r.name)
	}
	if len(p) < headerBytes || order.Uint64(p[32:]) != index || order.Uint64(p[40:]) != term {
		return corrupt(r.name, 0, "header of another snapshot")
	}
	r.id = wal.Identity{Cluster: order.Uint64(p[16:]), Member: order.Uint64(p[24:])}
	r.mark = wal.SnapshotMark{Index: index, Term: term, ConfState: append([]byte(nil), p[headerBytes:]...)}
	return nil
}

// Identity says whose snapshot it is: the member that wrote the file.
func (r *Reader) Identity() wal.Identity { return r.id }

// Mark returns the raft position and the configuration that the snapshot stands for.
func (r *Reader) Mark() wal.SnapshotMark { return r.mark }

// Size is the size of the file in bytes, a little more than that of the content.
func (r *Reader) Size() int64 { return r.size }

// Read is io.Reader's. It fails with a wal.CorruptError at the first block that is not what was written.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		r.err = r.advance()
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// advance reads the next block; io.EOF after a good trailer.
func (r *Reader) advance() error {
	at, blocks := r.offset, r.number-1
	p, kind, err := r.next(contentBytes)
	switch {
	case err != nil:
		return err
	case kind == kindContent && len(p) > 0:
		r.rest = p
		r.bytes += uint64(len(p))
		r.crcs = crc32.Update(r.crcs, castagnoli, r.block[:4])
		return nil
	case kind != kindTrailer || len(p) != trailerBytes:
		return corrupt(r.name, at, "neither content nor trailer")
	case order.Uint64(p) != blocks || order.Uint64(p[8:]) != r.bytes || order.Uint32(p[16:]) != r.crcs:
		return corrupt(r.name, at, "trailer does not match the content")
	case r.offset != r.size:
		return corrupt(r.name, r.offset, "bytes after the trailer")
	}
	return io.EOF
}

// next reads and checks one block with a payload of at most limit bytes. The payload is valid until the next call.
func (r *Reader) next(limit int) (payload []byte, kind uint32, err error) {
	if r.size-r.offset < frameBytes {
		return nil, 0, corrupt(r.name, r.offset, "the file ends too early")
	}
	var frame [frameBytes]byte
	if err := r.readFull(frame[:], r.offset); err != nil {
		return nil, 0, err
	}
	length := int64(order.Uint32(frame[4:]))
	if length > int64(limit) || frameBytes+length > r.size-r.offset {
		return nil, 0, corrupt(r.name, r.offset, "block of impossible length")
	}
	if n := frameBytes + int(length); cap(r.block) < n {
		r.block = make([]byte, n)
	} else {
		r.block = r.block[:n]
	}
	copy(r.block, frame[:])
	if err := r.readFull(r.block[frameBytes:], r.offset+frameBytes); err != nil {
		return nil, 0, err
	}
	if r.check.checksum(r.block) != order.Uint32(frame[:]) || order.Uint64(frame[16:]) != r.number {
		return nil, 0, corrupt(r.name, r.offset, "checksum or number of the block is wrong")
	}
	r.number++
	r.offset += frameBytes + length
	return r.block[frameBytes:], order.Uint32(frame[8:]), nil
}

func (r *Reader) readFull(b []byte, off int64) error {
	if len(b) == 0 {
		return nil
	}
	n, err := r.file.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("snapshot: read %s at offset %d: %w", r.name, off, err)
}

// Close closes the file.
func (r *Reader) Close() error {
	r.rest, r.err = nil, fmt.Errorf("snapshot: %s is closed", r.name)
	if err := r.file.Close(); err != nil {
		return fmt.Errorf("snapshot: close %s: %w", r.name, err)
	}
	return nil
}
