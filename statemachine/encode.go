package statemachine

import (
	"encoding/binary"
	"errors"
)

// An encoding of this package is a plain sequence of fields. Unsigned numbers are varints, signed ones zigzag varints; strings and lists have
// their length before them. A type's append method and the decoder's method for it are its format. The same bytes go into snapshots and into
// the state hash.

func appendString[S string | []byte](b []byte, s S) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

var errMalformed = errors.New("malformed field")

// decoder reads fields from b. After a first field that can't be read, everything that is read is zero.
type decoder struct {
	b      []byte
	failed bool
}

func (d *decoder) fail() { d.b, d.failed = nil, true }

// err is nil if all of b has been read without a fault.
func (d *decoder) err() error {
	if d.failed || len(d.b) > 0 {
		return errMalformed
	}
	return nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint64() uint64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) bool() bool {
	v := d.byte()
	if v > 1 {
		d.fail()
	}
	return v == 1
}

// bytes shares memory with b.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return string(d.bytes()) }

func (d *decoder) strings() (list []string) {
	n := d.uvarint()
	if n > uint64(len(d.b)) { // each takes a byte at least
		d.fail()
		return nil
	}
	for range n {
		list = append(list, d.string())
	}
	return list
}

func (c *MemberChange) append(b []byte) []byte {
	return binary.AppendUvarint(c.Member.append(append(b, byte(c.Kind))), c.LearnersMax)
}

func (d *decoder) memberChange() MemberChange {
	c := MemberChange{Kind: MemberChangeKind(d.byte()), Member: d.member(), LearnersMax: d.uvarint()}
	if c.Kind < AddVoter || c.Kind > UpdatePeerURLs {
		d.fail()
	}
	return c
}
