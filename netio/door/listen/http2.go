package listen

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// On an HTTP/2 connection may come gRPC or plain HTTP (curl, browsers). grpc-go and net/http both want the whole connection, so the first
// request, by its content type, decides who gets it. Some clients make no request before they have heard of the server, so it says its first
// word here: a SETTINGS frame that sets nothing (RFC 9113, section 3.4). The server that gets the connection sends its own; more than one are
// allowed. What must not be seen is the client's answer to the first one: that server has not asked, and would end the connection.

// firstRequestTimeout is how long the first request is waited for. Who connects long before asking is a gRPC client. Only tests change it.
var firstRequestTimeout = 5 * time.Second

const (
	// firstRequestBytes bounds what is read for that. More than that comes before no honest request.
	firstRequestBytes = 64 << 10
	// frameBytes is the largest frame that a client may send before it is told otherwise, frameHeaderBytes the head of each.
	frameBytes, frameHeaderBytes = 16 << 10, 9
	// headerTableBytes is the compression table of headers that a client may assume at first.
	headerTableBytes = 4096
)

// firstRequest takes c after the preface and reads on until the first request has told whether it is gRPC. Whatever can't be understood is
// left to the gRPC server, which says why.
func firstRequest(c net.Conn) (sorted net.Conn, grpc bool, err error) {
	if err := http2.NewFramer(c, nil).WriteSettings(); err != nil {
		return nil, false, err
	}
	if err := c.SetReadDeadline(time.Now().Add(firstRequestTimeout)); err != nil {
		return nil, false, err
	}
	var read bytes.Buffer
	grpc, err = asksForGRPC(io.TeeReader(c, &read), &read)
	var protocol http2.ConnectionError
	var stream http2.StreamError
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, http2.ErrFrameTooLarge), errors.As(err, &protocol), errors.As(err, &stream):
		grpc = true
	default:
		return nil, false, err
	}
	return replay(&unasked{Conn: replay(c, read.Bytes())}, preface), grpc, nil
}

// asksForGRPC reads frames to the end of the first request's headers. read holds what came so far.
func asksForGRPC(r io.Reader, read *bytes.Buffer) (bool, error) {
	f := http2.NewFramer(nil, r)
	f.SetMaxReadFrameSize(frameBytes)
	f.ReadMetaHeaders = hpack.NewDecoder(headerTableBytes, nil)
	for read.Len() < firstRequestBytes {
		frame, err := f.ReadFrame()
		if err != nil {
			return false, err
		}
		headers, ok := frame.(*http2.MetaHeadersFrame)
		if !ok {
			continue
		}
		for _, h := range headers.RegularFields() {
			if h.Name == "content-type" {
				return IsGRPC(h.Value), nil
			}
		}
		return false, nil
	}
	return true, nil
}

// IsGRPC tells by its content type whether a request is gRPC's.
func IsGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// unasked is a connection, read from the first frame on, from which the client's answer to the first SETTINGS frame is taken out: the
// first answer of that kind, since they come in order.
type unasked struct {
	net.Conn
	// Invariant: only one goroutine reads, as with any protocol on a connection.
	found bool
	head  [frameHeaderBytes]byte
	// have is how much of the next frame's head was read; given how much of a whole one was handed on; left what is left of its content.
	have, given, left int
}

// beneath implements layer.
func (u *unasked) beneath() net.Conn { return u.Conn }

// Read implements net.Conn.
func (u *unasked) Read(p []byte) (int, error) {
	for {
		switch {
		case len(p) == 0, u.found && u.have == 0 && u.left == 0:
			return u.Conn.Read(p)
		case u.have == frameHeaderBytes && u.given < u.have:
			n := copy(p, u.head[u.given:])
			if u.given += n; u.given == u.have {
				u.have, u.given = 0, 0
			}
			return n, nil
		case u.left > 0:
			n, err := u.Conn.Read(p[:min(len(p), u.left)])
			u.left -= n
			return n, err
		}
		n, err := u.Conn.Read(u.head[u.have:])
		u.have += n
		if u.have == frameHeaderBytes {
			u.left = int(u.head[0])<<16 | int(u.head[1])<<8 | int(u.head[2])
			if u.left == 0 && http2.FrameType(u.head[3]) == http2.FrameSettings && http2.Flags(u.head[4]).Has(http2.FlagSettingsAck) {
				u.found, u.have = true, 0
			}
			continue // an error comes again
		}
		if err != nil {
			return 0, err
		}
	}
}
