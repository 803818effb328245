package statemachine

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/detcd/detcd/statemachine/format"
)

// ErrSnapshot is what errors.Is finds where a snapshot can't be what a SnapshotReader wrote.
var ErrSnapshot = errors.New("statemachine: the snapshot is damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSnapshot, fmt.Sprintf(format, args...))
}

// Restore reads a snapshot to its end and returns the machine whose view it was taken of. Everything is checked: order, counts, a hash of
// the bytes, and the state hash computed anew. Its errors are ErrSnapshot, a format.NewerError, or the reader's.
func Restore(r io.Reader) (*Machine, error) { return RestoreBeside(r, nil, format.Newest) }

// RestoreBeside is Restore where another state is in memory already, as a rule an older one of the same cluster: see NewBuilder. A member that takes
// over a snapshot needs memory for what is new, not for a second state. known is the newest format version that is read.
func RestoreBeside(r io.Reader, beside *View, known format.Version) (*Machine, error) {
	s := &restorer{
		in: bufio.NewReaderSize(r, snapshotFill), digest: xxhash.New(),
		builder: NewBuilder(beside), lends: beside != nil, known: known,
	}
	if err := s.magic(); err != nil {
		return nil, err
	}
	for {
		body, err := s.record()
		if err != nil {
			return nil, err
		}
		if body[0] == trailerRecord && s.records > 0 {
			return s.finish(body)
		}
		if err := s.take(body); err != nil {
			return nil, err
		}
		s.records++
	}
}

// restorer reads the records of a snapshot and hands them to a Builder as items.
type restorer struct {
	in      *bufio.Reader
	digest  *xxhash.Digest
	builder *Builder
	records uint64
	frame   []byte
	lends   bool // read records into scratch: there is a state beside, which has most of them
	scratch []byte
	lent    bool // the present record is in scratch
	version version
	known   format.Version
}

const (
	// snapshotRecordMax is the size in bytes above which a record can only be damage.
	snapshotRecordMax = 1 << 30
	// snapshotRecordTrusted is the size in bytes up to which a record gets memory for what its length says, which may be damage.
	snapshotRecordTrusted = 2 << 20
)

func (s *restorer) magic() error {
	var magic [len(snapshotMagic)]byte
	if _, err := io.ReadFull(s.in, magic[:]); err != nil {
		return short(err)
	}
	if string(magic[:]) != snapshotMagic {
		return damaged("it does not begin with %q", snapshotMagic)
	}
	_, _ = s.digest.Write(magic[:]) // never fails
	return nil
}

// short makes the end of the stream where more must follow an ErrSnapshot.
func short(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return damaged("it ends too early")
	}
	return err
}

// record reads the next record. The hash at the end of the trailer is not hashed.
func (s *restorer) record() ([]byte, error) {
	n, err := s.length()
	if err != nil {
		return nil, err
	}
	if n == 0 || n > snapshotRecordMax {
		return nil, damaged("record %d claims %d bytes", s.records, n)
	}
	body, err := s.body(int(n))
	if err != nil {
		return nil, short(err)
	}
	s.frame = binary.AppendUvarint(s.frame[:0], n)
	_, _ = s.digest.Write(s.frame)
	hashed := body
	if body[0] == trailerRecord && n > trailerHashBytes {
		hashed = body[:n-trailerHashBytes]
	}
	_, _ = s.digest.Write(hashed)
	return body, nil
}

// length reads a record's length. binary.ReadUvarint would not do: its error for a number that is too long looks like an error of the reader.
func (s *restorer) length() (n uint64, err error) {
	for shift := 0; shift < 64; shift += 7 {
		b, err := s.in.ReadByte()
		if err != nil {
			return 0, short(err)
		}
		if n |= uint64(b&0x7f) << shift; b < 0x80 {
			return n, nil
		}
	}
	return 0, damaged("the length of record %d is too long", s.records)
}

// body reads the n bytes of a record.
func (s *restorer) body(n int) ([]byte, error) {
	s.lent = s.lends && n <= snapshotRecordTrusted
	switch {
	case n > snapshotRecordTrusted:
		// Grow with what is really there.
		var buf bytes.Buffer
		_, err := io.CopyN(&buf, s.in, int64(n))
		return bytes.Clone(buf.Bytes()), err // without the room that the buffer has beyond it
	case s.lent:
		if cap(s.scratch) < n {
			s.scratch = make([]byte, n)
		}
		_, err := io.ReadFull(s.in, s.scratch[:n])
		return s.scratch[:n], err
	}
	body := make([]byte, n)
	_, err := io.ReadFull(s.in, body)
	return body, err
}

// take hands a record to the builder.
func (s *restorer) take(body []byte) error {
	item := Item{kind: body[0], lent: s.lent}
	var err error
	switch item.kind {
	case headItem:
		item.head, err = s.header(body[1:])
	case baseItem, eventItem:
		item.change, err = s.change(body[1:])
	default:
		item.row = body
	}
	if err == nil {
		err = s.builder.Add(item)
	}
	if newer := (*format.NewerError)(nil); errors.As(err, &newer) {
		return err
	}
	if err != nil {
		return damaged("record %d: %v", s.records, err)
	}
	return nil
}

// header reads the head of a state, whose first number says how the rest is to be read.
func (s *restorer) header(body []byte) (*head, error) {
	d := decoder{b: body}
	version := d.uvarint()
	switch {
	case d.failed || version < uint64(format.Oldest) || version > math.MaxUint8:
		return nil, errMalformed
	case version > uint64(s.known):
		return nil, &format.NewerError{What: "the snapshot", Version: format.Version(version), Known: s.known}
	}
	h := d.head(format.Version(version))
	return &h, d.err()
}

// change reads a version as SnapshotReader.change writes it. It is valid until the next call.
func (s *restorer) change(body []byte) (*version, error) {
	d := decoder{b: body}
	sub := d.uvarint()
	if d.failed || sub > 1<<30 {
		return nil, errMalformed
	}
	s.version = version{kv: d.b, sub: int32(sub)}
	return &s.version, s.version.parse()
}

// finish checks the trailer against what was read.
func (s *restorer) finish(body []byte) (*Machine, error) {
	d := decoder{b: body[1:]}
	records, stateHash, sum := d.uvarint(), d.uint64(), d.uint64()
	if d.err() != nil {
		return nil, damaged("its trailer can't be read")
	}
	if sum != s.digest.Sum64() {
		return nil, damaged("the hash of its bytes is %016x, its trailer says %016x", s.digest.Sum64(), sum)
	}
	if records != s.records {
		return nil, damaged("it holds %d records, its trailer says %d", s.records, records)
	}
	m, err := s.builder.Build()
	if err != nil {
		return nil, damaged("%v", err)
	}
	if got := m.StateHash(); got != stateHash {
		return nil, damaged("the hash of its state is %016x, its trailer says %016x", got, stateHash)
	}
	if _, err := s.in.ReadByte(); err != io.EOF {
		if err == nil {
			err = damaged("there is more after its trailer")
		}
		return nil, err
	}
	return m, nil
}
