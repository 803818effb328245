package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine/format"
)

// protocolVersion is what this version speaks, and protocolOldest the oldest that it still can.
const (
	protocolVersion = format.Wire
	protocolOldest  = format.WireOldest
)

const (
	greetingBytes = 48
	greetingMagic = "detcd\x00mp" // member to peer
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Verdict is the answer to a greeting.
type Verdict uint8

// Verdicts. All but Welcome refuse.
const (
	Welcome       Verdict = iota
	WrongCluster          // the dialler belongs to another cluster
	WrongTarget           // the dialler looks for another member than the one it has reached
	UnknownMember         // the dialler is no member of the cluster, as far as the other one knows
	RemovedMember         // the dialler was a member and has been removed
	WrongVersion          // there is no version of the protocol that both speak
	WrongFormat           // the dialler does not read the format version that the other one may send
)

// String says the reason in words, to follow "refused: ".
func (v Verdict) String() string {
	switch v {
	case Welcome:
		return "welcome"
	case WrongCluster:
		return "the members belong to different clusters"
	case WrongTarget:
		return "the address belongs to another member"
	case UnknownMember:
		return "not a member of the cluster"
	case RemovedMember:
		return "removed from the cluster"
	case WrongVersion:
		return "no common version of the peer protocol"
	case WrongFormat:
		return "its build does not read the cluster's format version; a newer build of detcd is needed there"
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// greeting is what both sides of a connection say first.
type greeting struct {
	version, oldest uint16
	verdict         Verdict
	formats         port.Formats
	cluster         uint64
	from, to        port.MemberID
}

func (g greeting) encode() []byte {
	b := make([]byte, 0, greetingBytes)
	b = append(b, greetingMagic...)
	b = binary.LittleEndian.AppendUint16(b, g.version)
	b = binary.LittleEndian.AppendUint16(b, g.oldest)
	b = append(b, byte(g.verdict), byte(g.formats.Reads.Oldest), byte(g.formats.Reads.Newest), byte(g.formats.Needs))
	b = binary.LittleEndian.AppendUint64(b, g.cluster)
	b = binary.LittleEndian.AppendUint64(b, uint64(g.from))
	b = binary.LittleEndian.AppendUint64(b, uint64(g.to))
	b = append(b, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// errNotAMember is about a connection whose first bytes are no greeting: a browser, a port scan, another protocol.
var errNotAMember = errors.New("what is on the other side does not speak detcd's peer protocol")

func decodeGreeting(b []byte) (greeting, error) {
	if len(b) != greetingBytes || string(b[:len(greetingMagic)]) != greetingMagic {
		return greeting{}, errNotAMember
	}
	if binary.LittleEndian.Uint32(b[44:]) != crc32.Checksum(b[:44], castagnoli) {
		return greeting{}, errors.New("the greeting arrived damaged")
	}
	return greeting{
		version: binary.LittleEndian.Uint16(b[8:]),
		oldest:  binary.LittleEndian.Uint16(b[10:]),
		verdict: Verdict(b[12]),
		formats: port.Formats{Reads: format.Range{Oldest: format.Version(b[13]), Newest: format.Version(b[14])}, Needs: format.Version(b[15])},
		cluster: binary.LittleEndian.Uint64(b[16:]),
		from:    port.MemberID(binary.LittleEndian.Uint64(b[24:])),
		to:      port.MemberID(binary.LittleEndian.Uint64(b[32:])),
	}, nil
}

// readGreeting reads the magic first. So it does not wait for more bytes when the other side speaks another protocol, with a shorter hello.
func readGreeting(r io.Reader) (greeting, error) {
	b := make([]byte, greetingBytes)
	if _, err := io.ReadFull(r, b[:len(greetingMagic)]); err != nil {
		return greeting{}, err
	}
	if string(b[:len(greetingMagic)]) != greetingMagic {
		return greeting{}, errNotAMember
	}
	if _, err := io.ReadFull(r, b[len(greetingMagic):]); err != nil {
		return greeting{}, err
	}
	return decodeGreeting(b)
}

// commonVersion tells whether two sides have a version in common.
func (g greeting) commonVersion() bool {
	return g.oldest <= protocolVersion && g.version >= protocolOldest
}
