package transport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/detcd/detcd/node/port"
)

const (
	frameHeaderBytes = 16
	// fragmentBytes bounds the payload of a frame, and so how long an urgent message waits for one that has begun.
	fragmentBytes = 64 << 10
	// trustedBytes is how much memory a message gets at once, on its sender's word. Beyond that its memory grows as the bytes arrive.
	trustedBytes = 1 << 20

	classes = int(port.Bulk) + 1
)

// Kinds of frames.
const (
	frameData byte = 1 + iota
	framePing
	framePong
)

// Flags of data frames.
const (
	flagFirst byte = 1 << iota
	flagLast
)

// pingBytes is the payload of pings and pongs.
const pingBytes = 8

// frame is a frame's header and payload.
type frame struct {
	kind    byte
	class   port.Class
	flags   byte
	total   uint32 // length of the whole message
	payload []byte
}

func (f *frame) append(b []byte) []byte {
	start := len(b)
	b = append(b, f.kind, byte(f.class), f.flags, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.payload)))
	b = binary.LittleEndian.AppendUint32(b, f.total)
	crc := crc32.Update(crc32.Checksum(b[start:], castagnoli), castagnoli, f.payload)
	b = binary.LittleEndian.AppendUint32(b, crc)
	return append(b, f.payload...)
}

// errFrame says that bytes are no frame, or a frame that can't come at this point.
var errFrame = errors.New("invalid frame")

// frameReader reads frames and puts messages together again.
type frameReader struct {
	r *bufio.Reader
	// parts are the messages that have begun, by class. A nil buffer: none.
	parts [classes]part
	ping  [pingBytes]byte
	// limit bounds a message in bytes.
	limit uint32
}

type part struct {
	buffer []byte
	total  uint32
}

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(r, fragmentBytes), limit: port.MaxMessageBytes}
}

// next returns the next ping or pong, or the next whole message: then the payload is the message, and belongs to the caller. The payload of a ping or
// pong is valid until the next call.
func (r *frameReader) next() (frame, error) {
	for {
		header, err := r.r.Peek(frameHeaderBytes)
		if err != nil {
			if len(header) > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return frame{}, err
		}
		f := frame{kind: header[0], class: port.Class(header[1]), flags: header[2]}
		length := binary.LittleEndian.Uint32(header[4:])
		f.total = binary.LittleEndian.Uint32(header[8:])
		crc := binary.LittleEndian.Uint32(header[12:])
		if header[3] != 0 || length > fragmentBytes {
			return frame{}, fmt.Errorf("%w: header % x", errFrame, header)
		}
		sum := crc32.Checksum(header[:12], castagnoli)
		if _, err := r.r.Discard(frameHeaderBytes); err != nil {
			return frame{}, err
		}
		into, err := r.place(&f, length)
		if err != nil {
			return frame{}, err
		}
		if _, err := io.ReadFull(r.r, into); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return frame{}, err
		}
		if crc32.Update(sum, castagnoli, into) != crc {
			return frame{}, fmt.Errorf("%w: the checksum is wrong", errFrame)
		}
		if f.kind != frameData {
			f.payload = into
			return f, nil
		}
		if f.flags&flagLast != 0 {
			p := &r.parts[f.class]
			f.payload = p.buffer
			*p = part{}
			return f, nil
		}
	}
}

// place checks that f can come at this point, and returns where its payload goes.
func (r *frameReader) place(f *frame, length uint32) ([]byte, error) {
	switch f.kind {
	case framePing, framePong:
		if length != pingBytes || f.class != 0 || f.flags != 0 || f.total != pingBytes {
			return nil, fmt.Errorf("%w: a ping of %d bytes, class %d, flags %d", errFrame, length, f.class, f.flags)
		}
		return r.ping[:], nil
	case frameData:
	default:
		return nil, fmt.Errorf("%w: kind %d", errFrame, f.kind)
	}
	if int(f.class) >= classes || f.flags&^(flagFirst|flagLast) != 0 {
		return nil, fmt.Errorf("%w: class %d, flags %d", errFrame, f.class, f.flags)
	}
	p := &r.parts[f.class]
	if first := f.flags&flagFirst != 0; first != (p.buffer == nil) {
		return nil, fmt.Errorf("%w: a first frame, or one that goes on, out of turn", errFrame)
	} else if first {
		if f.total > r.limit {
			return nil, fmt.Errorf("%w: a message of %d bytes", errFrame, f.total)
		}
		p.total = f.total
		p.buffer = make([]byte, 0, min(f.total, trustedBytes))
	}
	have := uint32(len(p.buffer))
	last := f.flags&flagLast != 0
	if f.total != p.total || length > p.total-have || last != (have+length == p.total) {
		return nil, fmt.Errorf("%w: %d bytes at %d of a message of %d, last %v", errFrame, length, have, p.total, last)
	}
	if room := cap(p.buffer); int(have+length) > room {
		grown := make([]byte, have, min(int(p.total), max(2*room, int(have+length))))
		copy(grown, p.buffer)
		p.buffer = grown
	}
	p.buffer = p.buffer[:have+length]
	return p.buffer[have:], nil
}
