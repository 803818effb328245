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
	"google.golang.org/protobuf/encoding/protowire"
)

// ErrSnapshot is what errors.Is finds where a snapshot can't be what a SnapshotReader wrote.
var ErrSnapshot = errors.New("statemachine: the snapshot is damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSnapshot, fmt.Sprintf(format, args...))
}

// Restore reads a snapshot to its end and returns the machine whose view it was taken of. Everything is checked: order, counts, a hash of
// the bytes, and the state hash computed anew. Its errors are ErrSnapshot, or the reader's.
func Restore(r io.Reader) (*Machine, error) { return RestoreBeside(r, nil) }

// RestoreBeside is Restore where another state is in memory already, an older one of the same cluster as a rule: the bytes of what both hold are held
// once. A member that takes over a snapshot thus needs memory for what is new, not for a second state. beside is pinned by the caller until
// RestoreBeside returns; nil: there is none. The machine is the same with any beside.
func RestoreBeside(r io.Reader, beside *View) (*Machine, error) {
	s := &restorer{in: bufio.NewReaderSize(r, snapshotFill), digest: xxhash.New(), m: New(), beside: beside}
	s.m.live, s.m.dead = newKeyTree(), newKeyTree()
	if err := s.magic(); err != nil {
		return nil, err
	}
	for {
		body, err := s.record()
		if err != nil {
			return nil, err
		}
		if s.records > 0 != (body[0] != headerRecord) {
			return nil, damaged("record %d is of kind %q", s.records, body[0])
		}
		if body[0] == trailerRecord {
			return s.finish(body)
		}
		if err := s.take(body); err != nil {
			return nil, err
		}
		s.records++
	}
}

type restorer struct {
	in      *bufio.Reader
	digest  *xxhash.Digest
	m       *Machine
	records uint64
	lastKey []byte   // of the base
	last    Revision // of the events
	frame   []byte
	beside  *View  // nil: none
	scratch []byte // of records, where there is a state beside
	lasting bool   // the present record is in memory of its own
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

// record reads the next record. Where there is a state beside, that of a version is overwritten by the next one (see keep). The hash at the end of
// the trailer is not hashed.
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

// body reads the n bytes of a record.
func (s *restorer) body(n int) ([]byte, error) {
	s.lasting = s.beside == nil || n > snapshotRecordTrusted
	switch {
	case n > snapshotRecordTrusted:
		// Grow with what is really there.
		var buf bytes.Buffer
		_, err := io.CopyN(&buf, s.in, int64(n))
		return bytes.Clone(buf.Bytes()), err // without the room that the buffer has beyond it
	case s.lasting:
		body := make([]byte, n)
		_, err := io.ReadFull(s.in, body)
		return body, err
	}
	if cap(s.scratch) < n {
		s.scratch = make([]byte, n)
	}
	body := s.scratch[:n]
	_, err := io.ReadFull(s.in, body)
	if body[0] != baseRecord && body[0] != eventRecord {
		body = bytes.Clone(body) // what is made of it keeps parts of it
	}
	return body, err
}

// length reads a record's length. Its own reading, because binary.ReadUvarint's error for a number that is too long can't be told
// from the reader's.
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

func (s *restorer) take(body []byte) error {
	m := s.m
	d := decoder{b: body[1:]}
	switch body[0] {
	case headerRecord:
		return s.header(&d)
	case baseRecord:
		return s.base(&d)
	case eventRecord:
		return s.event(&d)
	case leaseItem:
		m.setLease(d.lease())
	case sessionItem:
		m.sessions = append(m.sessions, d.session())
		m.content += m.sessions[len(m.sessions)-1].contentHash()
	case memberItem:
		m.members = append(m.members, d.member())
		m.content += m.members[len(m.members)-1].hash()
	case removedItem:
		m.removed = append(m.removed, d.uvarint())
		m.content += removedHash(m.removed[len(m.removed)-1])
	case alarmItem:
		a := d.alarm()
		m.alarms = append(m.alarms, a)
		m.content += a.hash()
	default:
		return damaged("record %d is of unknown kind %q", s.records, body[0])
	}
	if d.err() != nil {
		return damaged("record %d of kind %q can't be read", s.records, body[0])
	}
	return nil
}

func (s *restorer) header(d *decoder) error {
	m := s.m
	if format := d.uvarint(); format != snapshotFormat && !d.failed {
		return damaged("its format is %d, this software reads %d", format, snapshotFormat)
	}
	m.index, m.term = d.uvarint(), d.uvarint()
	m.rev, m.compacted = d.varint(), d.varint()
	m.confState = bytes.Clone(d.bytes())
	m.clusterVersion = d.string()
	m.downgrade = Downgrade{Enabled: d.bool(), Target: d.string()}
	m.pass.done = m.compacted
	if d.err() != nil || m.rev < 1 || m.compacted > m.rev {
		return damaged("its header can't be read")
	}
	return nil
}

// base enters a version from before the compacted revision: the only one of its key so far.
func (s *restorer) base(d *decoder) error {
	v, err := s.version(d)
	if err != nil {
		return err
	}
	if v.deleted() || v.main >= s.m.compacted || s.records > 1 && bytes.Compare(v.key(), s.lastKey) <= 0 {
		return damaged("version %d of the base is out of order", s.records)
	}
	s.lastKey = v.key()
	c := new(chain)
	c.head.Store(v)
	key := string(v.key())
	s.m.live.Load(entry{key: key, chain: c})
	s.m.bytes += v.size() + int64(len(key)) + keyOverhead
	s.m.content += v.hash
	s.m.attach(v.lease, v.key())
	return nil
}

// event enters a change from the compacted revision on, after those before it.
func (s *restorer) event(d *decoder) error {
	m := s.m
	v, err := s.version(d)
	if err != nil {
		return err
	}
	at := Revision{Main: v.main, Sub: int64(v.sub)}
	if v.main < m.compacted || v.main > m.rev || at.Main < s.last.Main || at.Main == s.last.Main && at.Sub <= s.last.Sub {
		return damaged("change %d.%d is out of order", v.main, v.sub)
	}
	s.last = at
	c := m.find(v.key())
	switch {
	case c != nil:
		old := c.head.Load()
		m.content -= old.hash
		m.detach(old.lease, v.key())
		if v.deleted() {
			key := string(v.key())
			m.live.Delete(entry{key: key})
			m.dead.Set(entry{key: key, chain: c})
		}
	case !v.deleted():
		c = m.enliven(v.key())
	case v.main == m.compacted:
		// What it deleted can't be read any more; the deletion itself can still be watched.
		key := string(v.key())
		c = new(chain)
		m.bytes += int64(len(key)) + keyOverhead
		m.dead.Set(entry{key: key, chain: c})
	default:
		return damaged("change %d.%d deletes a key that is not there", v.main, v.sub)
	}
	v.prev.Store(c.head.Load())
	c.head.Store(v)
	m.log.append(v)
	m.bytes += v.size()
	if !v.deleted() {
		m.content += v.hash
		m.attach(v.lease, v.key())
	}
	return nil
}

// keep returns a version's bytes in memory that lasts: that of the same version in the state beside, where it is there.
func (s *restorer) keep(v *version) []byte {
	if s.beside != nil {
		if kv := s.beside.encoded(v); kv != nil {
			return kv
		}
	}
	if s.lasting {
		return v.kv
	}
	return bytes.Clone(v.kv)
}

// encoded returns the view's memory of a version's bytes, if it holds the very same ones under the same revision; nil if it does not, or
// would have to search for long.
func (view *View) encoded(v *version) []byte {
	if at := view.log.find(v.main) + int64(v.sub); at < view.log.end {
		if same := view.log.at(at); bytes.Equal(same.kv, v.kv) {
			return same.kv
		}
	}
	if v.main >= view.keys.compacted {
		return nil
	}
	// Of a key's versions from before the compacted revision at most one is left. It comes after those that the log holds.
	e, ok := view.keys.live.Get(pivot(v.key()))
	if !ok {
		return nil
	}
	same := e.chain.head.Load()
	for n := 0; same != nil && same.main > v.main; n++ {
		if n == besideMost {
			return nil
		}
		same = same.prev.Load()
	}
	if same != nil && bytes.Equal(same.kv, v.kv) {
		return same.kv
	}
	return nil
}

// besideMost is how many newer versions of a key are passed in the search for an old one.
const besideMost = 64

// version reads a version as SnapshotReader.version writes it. It keeps the record's memory, unless there is a state beside.
func (s *restorer) version(d *decoder) (*version, error) {
	sub := d.uvarint()
	if d.failed || sub > 1<<30 {
		return nil, damaged("record %d can't be read", s.records)
	}
	v := &version{kv: d.b, sub: int32(sub), hash: xxhash.Sum64(d.b)}
	for at := 0; at < len(v.kv); {
		num, typ, n := protowire.ConsumeTag(v.kv[at:])
		if n < 0 {
			return nil, damaged("the key-value in record %d can't be read", s.records)
		}
		at += n
		if typ == protowire.BytesType {
			b, n := protowire.ConsumeBytes(v.kv[at:])
			if n < 0 {
				return nil, damaged("the key-value in record %d can't be read", s.records)
			}
			at += n
			if num == 5 {
				v.valueAt, v.valueLen = uint32(at-len(b)), uint32(len(b))
			}
			continue
		}
		x, n := protowire.ConsumeVarint(v.kv[at:])
		if n < 0 || typ != protowire.VarintType {
			return nil, damaged("the key-value in record %d can't be read", s.records)
		}
		at += n
		switch num {
		case 2:
			v.create = int64(x)
		case 3:
			v.main = int64(x)
		case 4:
			v.number = int64(x)
		case 6:
			v.lease = int64(x)
		}
	}
	if v.valueLen == 0 {
		v.valueAt = uint32(len(v.kv))
	}
	if len(v.key()) == 0 || v.main < 1 {
		return nil, damaged("record %d holds no key-value", s.records)
	}
	v.kv = s.keep(v)
	return v, nil
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
	if got := s.m.StateHash(); got != stateHash {
		return nil, damaged("the hash of its state is %016x, its trailer says %016x", got, stateHash)
	}
	if _, err := s.in.ReadByte(); err != io.EOF {
		if err == nil {
			err = damaged("there is more after its trailer")
		}
		return nil, err
	}
	s.m.changed, s.m.treesChanged, s.m.leasesChanged = true, true, true
	s.m.Publish()
	return s.m, nil
}

func (d *decoder) alarm() alarm { return alarm{kind: pb.AlarmType(d.varint()), member: d.uvarint()} }
