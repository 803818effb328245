package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rawConn makes unary gRPC calls on one connection with as little work as the protocol allows: requests of a method all carry the same
// header block (each field an index into the table the server keeps), requests that are ready at once leave in one write, and
// a connection with one client has no goroutine at all: the client reads its own answer.
//
// Left out, because no load of bench needs it: deadlines on the wire, compression, retries, waiting for flow control (the few
// requests that are ever on their way are far smaller than the window; running out is an error, not a wait).
type rawConn struct {
	net     net.Conn
	reader  *bufio.Reader
	waiting []rawCall // by client
	alone   bool

	mu         sync.Mutex
	out        []byte // frames that wait to be written
	spare      []byte
	writing    bool
	nextStream uint32
	window     int64 // bytes the server still lets us send
	streams    map[uint32]int
	headers    map[string][]byte // method -> header block
	encoder    *hpack.Encoder
	encoded    bytes.Buffer
	broken     error

	// Touched only by whoever reads.
	decoder  *hpack.Decoder
	current  *rawCall // whose headers are being decoded
	received int64    // bytes of data since the last window update
}

type rawCall struct {
	done    chan struct{} // one slot
	length  int           // of the message, -1 until its prefix has come
	got     int           // bytes of data so far
	prefix  [5]byte
	status  string
	message string
	ended   bool
	err     error
}

const (
	frameHeaderBytes   = 9
	messagePrefixBytes = 5
	receiveWindow      = 1 << 30
)

func dialRaw(ctx context.Context, addr string, clients int) (caller, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &rawConn{
		net: conn, reader: bufio.NewReaderSize(conn, 64<<10), alone: clients == 1,
		waiting: make([]rawCall, clients), nextStream: 1, window: 65535,
		streams: map[uint32]int{}, headers: map[string][]byte{},
	}
	c.encoder = hpack.NewEncoder(&c.encoded)
	c.decoder = hpack.NewDecoder(4096, c.headerField)
	for i := range c.waiting {
		c.waiting[i].done = make(chan struct{}, 1)
	}
	var hello bytes.Buffer
	hello.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&hello, nil)
	framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: receiveWindow})
	framer.WriteWindowUpdate(0, receiveWindow-65535)
	if _, err := conn.Write(hello.Bytes()); err != nil {
		conn.Close()
		return nil, err
	}
	if !c.alone {
		go c.readAll()
	}
	return c, nil
}

func (c *rawConn) close() { c.net.Close() }

func (c *rawConn) call(ctx context.Context, client int, method string, request []byte) (int, error) {
	w := &c.waiting[client]
	w.length, w.got, w.status, w.message, w.ended, w.err = -1, 0, "", "", false, nil

	c.mu.Lock()
	size := int64(messagePrefixBytes + len(request))
	switch {
	case c.broken != nil:
		c.mu.Unlock()
		return 0, c.broken
	case c.window < size:
		c.mu.Unlock()
		return 0, errors.New("the server's flow control window is used up")
	}
	c.window -= size
	stream := c.nextStream
	c.nextStream += 2
	c.streams[stream] = client
	block := c.headerBlock(method)
	c.out = appendFrameHeader(c.out, len(block), http2.FrameHeaders, http2.FlagHeadersEndHeaders, stream)
	c.out = append(c.out, block...)
	c.out = appendFrameHeader(c.out, int(size), http2.FrameData, http2.FlagDataEndStream, stream)
	c.out = append(c.out, 0) // not compressed
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(len(request)))
	c.out = append(c.out, request...)
	c.flushLocked()
	c.mu.Unlock()

	if c.alone {
		if deadline, ok := ctx.Deadline(); ok {
			c.net.SetReadDeadline(deadline)
		}
		for !w.ended && w.err == nil {
			if err := c.readFrame(); err != nil {
				c.fail(err)
				return 0, err
			}
		}
	} else {
		select {
		case <-w.done:
		case <-ctx.Done():
			c.fail(ctx.Err())
			<-w.done
		}
	}
	if w.err != nil {
		return 0, w.err
	}
	if w.status != "0" {
		return 0, fmt.Errorf("grpc status %q: %s", w.status, w.message)
	}
	if w.got != w.length+messagePrefixBytes {
		return 0, fmt.Errorf("%d bytes of answer for a message of %d", w.got, w.length)
	}
	return w.length, nil
}

// headerBlock returns the header block of a call. The first time it teaches the server's table the fields. Caller holds mu.
func (c *rawConn) headerBlock(method string) []byte {
	if block, ok := c.headers[method]; ok {
		return block
	}
	encode := func() []byte {
		c.encoded.Reset()
		for _, f := range callHeaders(method, c.net.RemoteAddr().String()) {
			c.encoder.WriteField(f)
		}
		return bytes.Clone(c.encoded.Bytes())
	}
	first, again := encode(), encode()
	if !bytes.Equal(first, again) {
		clear(c.headers) // the table has grown, which moves the indices that other blocks are made of
	}
	c.headers[method] = again
	return first
}

// callHeaders are the header fields of a gRPC call.
func callHeaders(method, authority string) []hpack.HeaderField {
	return []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: method}, {Name: ":authority", Value: authority},
		{Name: "content-type", Value: "application/grpc"}, {Name: "user-agent", Value: "grpc-go/detcd-bench"}, {Name: "te", Value: "trailers"},
	}
}

// flushLocked writes what waits, unless somebody is writing already, who then writes it too. Caller holds mu.
func (c *rawConn) flushLocked() {
	if c.writing {
		return
	}
	c.writing = true
	for len(c.out) > 0 && c.broken == nil {
		frames := c.out
		c.out = c.spare[:0]
		c.mu.Unlock()
		_, err := c.net.Write(frames)
		c.mu.Lock()
		c.spare = frames
		if err != nil {
			c.breakLocked(err)
		}
	}
	c.writing = false
}

// fail ends the connection and every call on it.
func (c *rawConn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.breakLocked(err)
}

func (c *rawConn) breakLocked(err error) {
	if c.broken != nil {
		return
	}
	c.broken = err
	c.net.Close()
	for stream, client := range c.streams {
		c.waiting[client].err = err
		c.finishLocked(stream)
	}
}

// finishLocked ends a call. Caller holds mu.
func (c *rawConn) finishLocked(stream uint32) {
	w := &c.waiting[c.streams[stream]]
	delete(c.streams, stream)
	w.ended = true
	if !c.alone {
		w.done <- struct{}{}
	}
}

func (c *rawConn) readAll() {
	for {
		if err := c.readFrame(); err != nil {
			c.fail(err)
			return
		}
	}
}

// readFrame reads one frame and does what it asks for.
func (c *rawConn) readFrame() error {
	head, err := c.reader.Peek(frameHeaderBytes)
	if err != nil {
		return err
	}
	length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	kind, flags := http2.FrameType(head[3]), http2.Flags(head[4])
	stream := binary.BigEndian.Uint32(head[5:]) & (1<<31 - 1)
	c.reader.Discard(frameHeaderBytes)

	switch kind {
	case http2.FrameData:
		return c.readData(stream, length, flags)
	case http2.FrameHeaders:
		return c.readHeaders(stream, length, flags)
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(c.reader, payload); err != nil {
		return err
	}
	switch kind {
	case http2.FrameSettings:
		if !flags.Has(http2.FlagSettingsAck) {
			c.reply(appendFrameHeader(nil, 0, http2.FrameSettings, http2.FlagSettingsAck, 0))
		}
	case http2.FramePing:
		if !flags.Has(http2.FlagPingAck) {
			c.reply(append(appendFrameHeader(nil, length, http2.FramePing, http2.FlagPingAck, 0), payload...))
		}
	case http2.FrameWindowUpdate:
		if stream == 0 {
			c.mu.Lock()
			c.window += int64(binary.BigEndian.Uint32(payload) & (1<<31 - 1))
			c.mu.Unlock()
		}
	case http2.FrameRSTStream:
		c.mu.Lock()
		if client, ok := c.streams[stream]; ok {
			c.waiting[client].err = fmt.Errorf("stream reset with code %d", binary.BigEndian.Uint32(payload))
			c.finishLocked(stream)
		}
		c.mu.Unlock()
	case http2.FrameGoAway:
		return fmt.Errorf("the server goes away: %q", payload)
	}
	return nil
}

func (c *rawConn) readData(stream uint32, length int, flags http2.Flags) error {
	if flags.Has(http2.FlagDataPadded) {
		return errors.New("a padded frame, which gRPC does not use")
	}
	w, err := c.owner(stream)
	if err != nil {
		return err
	}
	c.received += int64(length)
	rest := length
	for w.got < messagePrefixBytes && rest > 0 {
		b, err := c.reader.ReadByte()
		if err != nil {
			return err
		}
		w.prefix[w.got] = b
		w.got++
		rest--
		if w.got == messagePrefixBytes {
			w.length = int(binary.BigEndian.Uint32(w.prefix[1:]))
		}
	}
	w.got += rest
	if _, err := c.reader.Discard(rest); err != nil {
		return err
	}
	if c.received > receiveWindow/2 {
		c.reply(binary.BigEndian.AppendUint32(appendFrameHeader(nil, 4, http2.FrameWindowUpdate, 0, 0), uint32(c.received)))
		c.received = 0
	}
	return nil
}

func (c *rawConn) readHeaders(stream uint32, length int, flags http2.Flags) error {
	if flags.Has(http2.FlagHeadersPadded) || flags.Has(http2.FlagHeadersPriority) || !flags.Has(http2.FlagHeadersEndHeaders) {
		return errors.New("a header frame of a form that gRPC does not use")
	}
	w, err := c.owner(stream)
	if err != nil {
		return err
	}
	block, err := c.reader.Peek(length)
	if err != nil {
		return err
	}
	c.current = w
	if _, err := c.decoder.Write(block); err != nil {
		return err
	}
	c.reader.Discard(length)
	if flags.Has(http2.FlagHeadersEndStream) {
		c.mu.Lock()
		c.finishLocked(stream)
		c.mu.Unlock()
	}
	return nil
}

func (c *rawConn) headerField(f hpack.HeaderField) {
	switch f.Name {
	case "grpc-status":
		c.current.status = f.Value
	case "grpc-message":
		c.current.message = f.Value
	}
}

func (c *rawConn) owner(stream uint32) (*rawCall, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	client, ok := c.streams[stream]
	if !ok {
		return nil, fmt.Errorf("a frame for stream %d, on which no call waits", stream)
	}
	return &c.waiting[client], nil
}

// reply queues a frame of the connection itself and sends it.
func (c *rawConn) reply(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, frame...)
	c.flushLocked()
}

func appendFrameHeader(b []byte, length int, kind http2.FrameType, flags http2.Flags, stream uint32) []byte {
	b = append(b, byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags))
	return binary.BigEndian.AppendUint32(b, stream)
}
