package statemachine

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// ErrSnapshot is what Restore's errors wrap if the stream is not a whole, sound snapshot. Errors of the reader itself are
// wrapped as they are.
var ErrSnapshot = errors.New("statemachine: bad snapshot")

// restorer builds a machine from a snapshot's records.
type restorer struct {
	m       *Machine
	r       *bufio.Reader
	digest  *xxhash.Digest
	records uint64
	order   int // of the last record's kind; kinds must not go back
	lastKey []byte
	lastID  uint64
	scratch []byte
}

// Restore reads what a SnapshotReader wrote, to the end of r, and returns the machine that wrote it, or an error if
// anything is missing, added or changed.
func Restore(r io.Reader) (*Machine, error) {
	s := restorer{m: New(), r: bufio.NewReaderSize(r, snapshotFill), digest: xxhash.New()}
	if err := s.restore(); err != nil {
		return nil, fmt.Errorf("statemachine: restore, after %d records: %w", s.records, err)
	}
	return s.m, nil
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSnapshot, fmt.Sprintf(format, args...))
}

func (s *restorer) restore() error {
	magic := make([]byte, len(snapshotMagic))
	if err := s.read(magic); err != nil {
		return err
	}
	if string(magic) != snapshotMagic {
		return bad("it does not begin as one")
	}
	for {
		body, err := s.next()
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return bad("an empty record")
		}
		if body[0] == trailerRecord {
			return s.finish(body[1:])
		}
		if err := s.record(body[0], body[1:]); err != nil {
			return err
		}
		s.records++
	}
}

// read fills p; a stream that ends too soon is a bad snapshot.
func (s *restorer) read(p []byte) error {
	if _, err := io.ReadFull(s.r, p); err != nil {
		return ended(err)
	}
	_, _ = s.digest.Write(p) // never fails
	return nil
}

func ended(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return bad("it ends too soon")
	}
	return err
}

// next returns the next record's body, good until the call after. A trailer's hash field is left to finish.
func (s *restorer) next() ([]byte, error) {
	size, err := s.uvarint()
	if err != nil {
		return nil, err
	}
	s.scratch = s.scratch[:0]
	for left := size; left > 0; {
		// In pieces, so that a corrupt length does not make us allocate more than there is to read.
		piece := int(min(left, 1<<20))
		at := len(s.scratch)
		s.scratch = append(s.scratch, make([]byte, piece)...)
		if at == 0 {
			if err := s.read(s.scratch[:1]); err != nil {
				return nil, err
			}
			if s.scratch[0] == trailerRecord {
				return s.trailer(size)
			}
			at, piece, left = 1, piece-1, left-1
		}
		if err := s.read(s.scratch[at : at+piece]); err != nil {
			return nil, err
		}
		left -= uint64(piece)
	}
	return s.scratch, nil
}

// trailer reads a trailer's body but for its last field, the hash of what comes before that.
func (s *restorer) trailer(size uint64) ([]byte, error) {
	const sizeMax = 1 + binary.MaxVarintLen64 + 8 + 8
	if size < 1+1+8+8 || size > sizeMax {
		return nil, bad("a trailer of %d bytes", size)
	}
	body := append(s.scratch[:1], make([]byte, size-1-8)...)
	return body, s.read(body[1:])
}

func (s *restorer) uvarint() (n uint64, err error) {
	var field [binary.MaxVarintLen64]byte
	for i := range field {
		if err := s.read(field[i : i+1]); err != nil {
			return 0, err
		}
		if field[i] < 0x80 {
			if n, size := binary.Uvarint(field[:i+1]); size == i+1 {
				return n, nil
			}
			break
		}
	}
	return 0, bad("a record's length is no varint")
}

// kindOrder is the order of the kinds of records in the stream.
var kindOrder = []byte{headerRecord, baseRecord, eventRecord, leaseItem, sessionItem, memberItem, removedItem, alarmItem}

func (s *restorer) record(kind byte, body []byte) error {
	order := bytes.IndexByte(kindOrder, kind)
	switch {
	case order < 0:
		return bad("a record of unknown kind %d", kind)
	case s.records == 0 && kind != headerRecord || s.records > 0 && kind == headerRecord:
		return bad("the header is not the first record")
	case order < s.order:
		return bad("a record of kind %q after kind %q", kind, kindOrder[s.order])
	}
	first := order != s.order
	s.order = order
	d := decoder{b: body}
	switch kind {
	case headerRecord:
		return s.header(&d)
	case baseRecord:
		return s.version(&d, s.addBase)
	case eventRecord:
		return s.version(&d, s.addEvent)
	}
	id := s.item(kind, &d)
	if err := d.err(); err != nil {
		return bad("a record of kind %q: %v", kind, err)
	}
	if !first && id <= s.lastID {
		return bad("records of kind %q are not in order", kind)
	}
	s.lastID = id
	return nil
}

func (s *restorer) header(d *decoder) error {
	m := s.m
	if format := d.uvarint(); format != snapshotFormat {
		return bad("format %d", format)
	}
	m.index, m.term = d.uvarint(), d.uvarint()
	m.rev, m.compacted = d.varint(), d.varint()
	if b := d.bytes(); len(b) > 0 {
		m.confState = bytes.Clone(b)
	}
	m.clusterVersion = d.string()
	m.downgrade = Downgrade{Enabled: d.bool(), Target: d.string()}
	if d.err() != nil || m.rev < 1 || m.compacted < -1 || m.compacted > m.rev {
		return bad("its header")
	}
	return nil
}

// item adds a small item and returns what it is ordered by, moved so that signed numbers keep their order.
func (s *restorer) item(kind byte, d *decoder) uint64 {
	m := s.m
	switch kind {
	case leaseItem:
		l := d.lease()
		m.setLease(l)
		return uint64(l.ID) ^ 1<<63
	case sessionItem:
		one := d.session()
		m.sessions = append(m.sessions, one)
		m.content += one.contentHash()
		return one.proposer
	case memberItem:
		o := d.member()
		m.members = append(m.members, o)
		m.content += o.hash()
		return o.ID
	case removedItem:
		id := d.uvarint()
		m.removed = append(m.removed, id)
		m.content += removedHash(id)
		return id
	}
	a := alarm{pb.AlarmType(d.varint()), d.uvarint()}
	if n := len(m.alarms); n > 0 && compareAlarms(m.alarms[n-1], a) >= 0 {
		d.fail()
	}
	m.alarms = append(m.alarms, a)
	m.content += a.hash()
	return s.records // its order has been checked
}

// finish checks what was read against the trailer and completes the machine.
func (s *restorer) finish(body []byte) error {
	d := decoder{b: body}
	records, state := d.uvarint(), d.uint64()
	if d.err() != nil {
		return bad("its trailer")
	}
	want := s.digest.Sum64()
	var field [8]byte
	if err := s.read(field[:]); err != nil {
		return err
	}
	if got := binary.LittleEndian.Uint64(field[:]); got != want {
		return bad("its bytes hash to %016x, the trailer says %016x", want, got)
	}
	if _, err := s.r.ReadByte(); err == nil {
		return bad("bytes follow its trailer")
	} else if err != io.EOF {
		return err
	}
	if records != s.records || records == 0 {
		return bad("%d records, the trailer says %d", s.records, records)
	}
	if err := s.complete(); err != nil {
		return err
	}
	if got := s.m.StateHash(); got != state {
		return bad("state hash %016x, the trailer says %016x", got, state)
	}
	s.m.changed, s.m.treesChanged, s.m.leasesChanged = true, true, true
	s.m.Publish()
	return nil
}
