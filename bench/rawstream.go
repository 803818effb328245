package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rawStream is a connection that carries one gRPC stream, at as little cost as rawConn's calls: answers are handed on as the bytes that
// came, mostly in the very buffer the socket was read into, and are never decoded here.
//
// The windows it offers are so large that HTTP/2's flow control never holds the server up; only TCP's does, when the client's machine cannot
// keep pace. What it sends itself keeps to the server's windows: a message that does not fit waits in a queue.
type rawStream struct {
	net net.Conn
	// handle gets every message, in the goroutine that reads, and may call send. The bytes are valid until it returns; an error ends the stream.
	handle func(message []byte) error
	done   chan struct{} // closed when the stream has ended
	err    error         // to be read after done: nil if the server ended it with status OK

	mu           sync.Mutex
	queue        []byte // messages with their prefixes that wait for the server's windows
	out          []byte // frames that wait to be written
	connWindow   int64  // bytes the server lets us send, on the connection and on the stream
	streamWindow int64
	startWindow  int64 // the server's setting of a new stream's window

	// Touched only by the goroutine that reads.
	in       []byte // in[from:to] is read and not yet parsed
	from, to int
	dataLeft int    // bytes of the current DATA frame that are still to come
	partial  []byte // the beginning of a message whose end is still to come
	received int64  // bytes of data since the last window update
	decoder  *hpack.Decoder
	status   string
	message  string
}

const (
	onlyStream     = 1 // the id of the connection's one stream
	streamInBytes  = 256 << 10
	sendMessageMax = 16 << 10 // what fits in one frame; no load of bench sends more on a stream
)

// dialStream connects to addr and opens a stream of a method. scratch, which may be nil, is used to put together messages that come in pieces.
// When ctx ends, so does the stream.
func dialStream(ctx context.Context, addr, method string, scratch []byte, handle func(message []byte) error) (*rawStream, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &rawStream{
		net: conn, handle: handle, done: make(chan struct{}),
		connWindow: 65535, streamWindow: 65535, startWindow: 65535,
		in: make([]byte, streamInBytes), partial: scratch[:0],
	}
	s.decoder = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		switch f.Name {
		case "grpc-status":
			s.status = f.Value
		case "grpc-message":
			s.message = f.Value
		}
	})
	var hello bytes.Buffer
	hello.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&hello, nil)
	framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: receiveWindow})
	framer.WriteWindowUpdate(0, receiveWindow-65535)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range callHeaders(method, conn.RemoteAddr().String()) {
		encoder.WriteField(f)
	}
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: onlyStream, BlockFragment: block.Bytes(), EndHeaders: true})
	if _, err := conn.Write(hello.Bytes()); err != nil {
		conn.Close()
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	go func() {
		defer stop()
		err := s.readAll()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		s.err = err
		conn.Close()
		close(s.done)
	}()
	return s, nil
}

// close ends the stream and waits until its goroutine is gone.
func (s *rawStream) close() {
	s.net.Close()
	<-s.done
}

// send queues one encoded message; flush or, when called from handle, the end of handle's batch writes it. It never waits for the windows.
func (s *rawStream) send(message []byte) {
	if messagePrefixBytes+len(message) > sendMessageMax {
		panic(fmt.Sprintf("bench: a message of %d bytes on a stream that takes %d", len(message), sendMessageMax))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, 0) // not compressed
	s.queue = binary.BigEndian.AppendUint32(s.queue, uint32(len(message)))
	s.queue = append(s.queue, message...)
}

// flush writes what is queued, as far as the windows let it: one DATA frame a message, as gRPC's own clients do it.
func (s *rawStream) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := s.queue
	for len(rest) > 0 {
		size := messagePrefixBytes + int(binary.BigEndian.Uint32(rest[1:]))
		if int64(size) > min(s.connWindow, s.streamWindow) {
			break
		}
		s.connWindow -= int64(size)
		s.streamWindow -= int64(size)
		s.out = appendFrameHeader(s.out, size, http2.FrameData, 0, onlyStream)
		s.out = append(s.out, rest[:size]...)
		rest = rest[size:]
	}
	s.queue = append(s.queue[:0], rest...)
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.net.Write(s.out)
	s.out = s.out[:0]
	return err
}

// closeSend tells the server that no more messages will come. Whatever was sent must have been flushed.
func (s *rawStream) closeSend() error {
	s.mu.Lock()
	s.out = appendFrameHeader(s.out, 0, http2.FrameData, http2.FlagDataEndStream, onlyStream)
	s.mu.Unlock()
	return s.flush()
}

// readAll reads until the stream ends.
func (s *rawStream) readAll() error {
	for {
		if s.from > 0 {
			s.to = copy(s.in, s.in[s.from:s.to])
			s.from = 0
		}
		n, err := s.net.Read(s.in[s.to:])
		if err != nil {
			return err
		}
		s.to += n
		for {
			used, ended, err := s.frame(s.in[s.from:s.to])
			if ended || err != nil {
				return err
			}
			if used == 0 {
				break
			}
			s.from += used
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
}

// frame takes one frame, or a part of a DATA frame, from the front of b and says how many bytes that were: 0 when more must come first.
func (s *rawStream) frame(b []byte) (used int, ended bool, err error) {
	if s.dataLeft > 0 {
		n := min(s.dataLeft, len(b))
		s.dataLeft -= n
		return n, false, s.data(b[:n])
	}
	if len(b) < frameHeaderBytes {
		return 0, false, nil
	}
	length := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	kind, flags := http2.FrameType(b[3]), http2.Flags(b[4])
	if kind == http2.FrameData {
		if flags.Has(http2.FlagDataPadded) || flags.Has(http2.FlagDataEndStream) {
			return 0, false, errors.New("a data frame of a form that gRPC servers do not use")
		}
		s.dataLeft = length
		s.received += int64(length)
		if s.received > receiveWindow/2 {
			s.grant(s.received)
			s.received = 0
		}
		return frameHeaderBytes, false, nil
	}
	whole := frameHeaderBytes + length
	if whole > len(s.in) {
		return 0, false, fmt.Errorf("a frame of %d bytes", length)
	}
	if len(b) < whole {
		return 0, false, nil
	}
	ended, err = s.control(kind, flags, b[frameHeaderBytes:whole], binary.BigEndian.Uint32(b[5:])&(1<<31-1))
	return whole, ended, err
}

// data takes the next bytes of messages.
func (s *rawStream) data(b []byte) error {
	for len(b) > 0 {
		if len(s.partial) == 0 && len(b) >= messagePrefixBytes {
			// A message that is all here is handled where it is.
			if end := messagePrefixBytes + int(binary.BigEndian.Uint32(b[1:])); end <= len(b) {
				if err := s.handle(b[messagePrefixBytes:end]); err != nil {
					return err
				}
				b = b[end:]
				continue
			}
		}
		end := messagePrefixBytes
		if len(s.partial) >= messagePrefixBytes {
			end += int(binary.BigEndian.Uint32(s.partial[1:]))
		}
		take := min(end-len(s.partial), len(b))
		s.partial = append(slices.Grow(s.partial, end-len(s.partial)), b[:take]...)
		b = b[take:]
		if len(s.partial) < messagePrefixBytes || len(s.partial) < messagePrefixBytes+int(binary.BigEndian.Uint32(s.partial[1:])) {
			continue
		}
		if err := s.handle(s.partial[messagePrefixBytes:]); err != nil {
			return err
		}
		s.partial = s.partial[:0]
	}
	return nil
}

// control does what a frame that carries no message asks for.
func (s *rawStream) control(kind http2.FrameType, flags http2.Flags, payload []byte, stream uint32) (ended bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch kind {
	case http2.FrameSettings:
		if flags.Has(http2.FlagSettingsAck) {
			return false, nil
		}
		for ; len(payload) >= 6; payload = payload[6:] {
			if http2.SettingID(binary.BigEndian.Uint16(payload)) == http2.SettingInitialWindowSize {
				window := int64(binary.BigEndian.Uint32(payload[2:]))
				s.streamWindow += window - s.startWindow
				s.startWindow = window
			}
		}
		s.out = appendFrameHeader(s.out, 0, http2.FrameSettings, http2.FlagSettingsAck, 0)
	case http2.FramePing:
		if !flags.Has(http2.FlagPingAck) {
			s.out = append(appendFrameHeader(s.out, len(payload), http2.FramePing, http2.FlagPingAck, 0), payload...)
		}
	case http2.FrameWindowUpdate:
		if len(payload) != 4 {
			return false, fmt.Errorf("a window update of %d bytes", len(payload))
		}
		n := int64(binary.BigEndian.Uint32(payload) & (1<<31 - 1))
		if stream == 0 {
			s.connWindow += n
		} else {
			s.streamWindow += n
		}
	case http2.FrameHeaders:
		const unused = http2.FlagHeadersPadded | http2.FlagHeadersPriority
		if flags&unused != 0 || !flags.Has(http2.FlagHeadersEndHeaders) {
			return false, errors.New("a header frame of a form that gRPC does not use")
		}
		if _, err := s.decoder.Write(payload); err != nil {
			return false, err
		}
		if !flags.Has(http2.FlagHeadersEndStream) {
			return false, nil
		}
		if len(s.partial) > 0 {
			return true, fmt.Errorf("the stream ended within a message; status %q: %s", s.status, s.message)
		}
		if s.status != "0" {
			return true, fmt.Errorf("grpc status %q: %s", s.status, s.message)
		}
		return true, nil
	case http2.FrameRSTStream:
		return true, fmt.Errorf("stream reset: % x", payload)
	case http2.FrameGoAway:
		return true, fmt.Errorf("the server goes away: %q", payload)
	}
	return false, nil
}

// grant gives the server n more bytes of both windows.
func (s *rawStream) grant(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stream := range []uint32{0, onlyStream} {
		s.out = binary.BigEndian.AppendUint32(appendFrameHeader(s.out, 4, http2.FrameWindowUpdate, 0, stream), uint32(n))
	}
}
