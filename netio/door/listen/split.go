package listen

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// helloTimeout is how long a new connection has to show what it speaks (TLS handshake included), so that connections that
// say nothing do not pile up.
const helloTimeout = 10 * time.Second

// preface is what every HTTP/2 connection begins with (RFC 9113, section 3.4); no HTTP/1.1 request does.
var preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// tlsHandshake is the first byte of a TLS connection (RFC 8446, section 5.1); no HTTP request begins with it.
const tlsHandshake = 0x16

// Splitter sorts the connections of one listener into those of gRPC and those of HTTP, of either version.
type Splitter struct {
	listener net.Listener
	tls      *tls.Config
	plain    bool
	rejected func(Rejection)
	// GRPC and HTTP are listeners of their own. Closing one refuses its connections and leaves the other.
	GRPC, HTTP *Queue
	handshakes sync.WaitGroup
	ctx        context.Context
	cancel     context.CancelFunc
}

// Rejection is a connection that did not get as far as a protocol.
type Rejection struct {
	Conn net.Conn
	// TLS is the handshake that failed; nil: it did not come to one.
	TLS *tls.Conn
	Err error
}

// NewSplitter splits l. With a TLS configuration, connections are secured; with plain and that, both kinds are accepted. rejected, unless
// nil, is told of connections that did not get as far as a protocol.
func NewSplitter(l net.Listener, config *tls.Config, plain bool, rejected func(Rejection)) *Splitter {
	s := &Splitter{listener: l, plain: plain || config == nil, rejected: rejected, GRPC: newQueue(l.Addr()), HTTP: newQueue(l.Addr())}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if config != nil {
		s.tls = config.Clone()
		// The server's order decides. A gRPC client whose configuration is shared with an HTTP client offers both, and can't go on with
		// HTTP/1.1; whoever else offers both can speak either.
		s.tls.NextProtos = []string{"h2", "http/1.1"}
	}
	return s
}

// Serve accepts connections until the listener is closed, and returns why.
func (s *Splitter) Serve() error {
	var delay time.Duration
	for {
		c, err := s.listener.Accept()
		if err != nil {
			if s.ctx.Err() != nil {
				return net.ErrClosed
			}
			if outOfResources(err) {
				delay = min(max(2*delay, 5*time.Millisecond), time.Second)
				select {
				case <-time.After(delay):
					continue
				case <-s.ctx.Done():
					return net.ErrClosed
				}
			}
			return err
		}
		delay = 0
		s.handshakes.Go(func() { s.sort(c) })
	}
}

// outOfResources is an error of Accept that passes: descriptors or memory have run out, or a client went away while it waited.
func outOfResources(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Close stops accepting, drops connections that were not sorted yet and closes both queues.
func (s *Splitter) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.handshakes.Wait()
	s.HTTP.Close()
	s.GRPC.Close()
	return err
}

// sort finds out what c speaks and passes it on.
func (s *Splitter) sort(c net.Conn) {
	// A close while c is still silent must not wait for its time-out.
	defer context.AfterFunc(s.ctx, func() { c.Close() })()
	if err := c.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		c.Close()
		return
	}
	secured, sorted, grpc, err := s.hello(c)
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		c.Close()
		if s.rejected != nil && s.ctx.Err() == nil {
			s.rejected(Rejection{c, secured, err})
		}
		return
	}
	q := s.HTTP
	if grpc {
		q = s.GRPC
	}
	q.put(sorted)
}

// hello reads as much of c as tells its protocol, and returns a connection on which nothing seems to have been read. secured is a
// TLS handshake that was begun and not finished.
func (s *Splitter) hello(c net.Conn) (secured *tls.Conn, sorted net.Conn, grpc bool, err error) {
	if s.tls == nil {
		sorted, grpc, err = sniff(c, nil)
		return nil, sorted, grpc, err
	}
	var first []byte
	if s.plain {
		first = make([]byte, 1)
		if _, err := io.ReadFull(c, first); err != nil {
			return nil, nil, false, err
		}
		if first[0] != tlsHandshake {
			sorted, grpc, err = sniff(c, first)
			return nil, sorted, grpc, err
		}
	}
	secured = tls.Server(replay(c, first), s.tls)
	if err := secured.HandshakeContext(s.ctx); err != nil {
		return secured, nil, false, err
	}
	if secured.ConnectionState().NegotiatedProtocol == "http/1.1" {
		return nil, secured, false, nil
	}
	sorted, grpc, err = sniff(secured, nil) // HTTP/2, or a client that does not name its protocol
	return nil, sorted, grpc, err
}

// sniff compares the beginning of c with the HTTP/2 preface. It decides at the first byte that differs; behind the preface, the first
// request decides.
func sniff(c net.Conn, start []byte) (net.Conn, bool, error) {
	buf := make([]byte, len(start), len(preface))
	copy(buf, start)
	for bytes.HasPrefix(preface, buf) {
		if len(buf) == len(preface) {
			return firstRequest(c)
		}
		n, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil && n == 0 {
			return nil, false, err
		}
	}
	return replay(c, buf), false, nil
}

// replayed is a connection whose first bytes were read already and are read again.
type replayed struct {
	net.Conn
	// Invariant: only one goroutine reads, as with any protocol on a connection.
	prefix []byte
}

func replay(c net.Conn, prefix []byte) net.Conn {
	if len(prefix) == 0 {
		return c
	}
	return &replayed{Conn: c, prefix: prefix}
}

// Read implements net.Conn.
func (r *replayed) Read(p []byte) (int, error) {
	if len(r.prefix) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.prefix)
	if r.prefix = r.prefix[n:]; len(r.prefix) == 0 {
		r.prefix = nil
	}
	return n, nil
}

// beneath implements layer.
func (r *replayed) beneath() net.Conn { return r.Conn }

// layer is a connection that this package has put on top of another.
type layer interface{ beneath() net.Conn }

// TLS is the secured connection below one that a Splitter has sorted; nil for a plain one.
func TLS(c net.Conn) *tls.Conn {
	for {
		l, ok := c.(layer)
		if !ok {
			secured, _ := c.(*tls.Conn)
			return secured
		}
		c = l.beneath()
	}
}
