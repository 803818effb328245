package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/detcd/detcd/netio/logging"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine/format"
)

// acceptPause is how long accepting rests after an error, such as too many open files.
const acceptPause = 50 * time.Millisecond

// accept takes connections from l until that is closed.
func (t *Transport) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if t.closing.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			if leftOut, ok := t.rare.Allow("accept"); ok {
				t.log(port.Warn, "could not accept a connection of a peer", "address", l.Addr(), "error", err, "left-out", leftOut)
			}
			select {
			case <-time.After(acceptPause):
			case <-t.closing.Done():
				return
			}
			continue
		}
		// It takes its place before it gets a goroutine. So the number of goroutines is bounded, too, but for those that are about to end.
		stage := &t.greeters
		secure, _ := conn.(*tls.Conn)
		if secure != nil {
			stage = &t.handshakes
		}
		g := stage.enter(t.closing, conn)
		if g == nil {
			_ = conn.Close()
			return
		}
		t.workers.Go(func() { t.admit(g, secure) })
	}
}

// admit hears a greeting, and then messages, from a connection that someone dialled.
func (t *Transport) admit(g *guest, secure *tls.Conn) {
	conn := g.conn
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(t.closing, func() { _ = conn.Close() })
	if secure != nil {
		g = t.secure(g, secure)
	}
	var p *peer
	var reads format.Range
	if g != nil {
		p, reads = t.identify(g)
	}
	stop()
	if p != nil {
		p.hear(conn, reads)
	}
}

// secure makes the TLS connection of a guest, who then has a place among those who greet. Nil: it failed.
func (t *Transport) secure(g *guest, secure *tls.Conn) *guest {
	if err := t.handshake(secure); err != nil {
		if !t.handshakes.leave(g) {
			t.noteRejected(secure, err)
		}
		return nil
	}
	// The guest keeps its place among the handshakes until it has one among the greetings. So the number of all guests is bounded.
	next := t.greeters.enter(t.closing, g.conn)
	if t.handshakes.leave(g) && next != nil {
		t.greeters.leave(next)
		return nil
	}
	return next
}

// identify hears who a guest is, and which format versions it reads. Nil: no peer.
func (t *Transport) identify(g *guest) (*peer, format.Range) {
	p, reads, err := t.welcome(g.conn)
	// Whoever comes and goes without a word only wanted to see whether the port is open. That is not worth a line.
	if thrown := t.greeters.leave(g); err != nil && !thrown && !errors.Is(err, io.EOF) && t.strange.first(strangerKey(g.conn, err)) {
		t.log(port.Warn, "refused a connection on the peer address", "remote-addr", g.conn.RemoteAddr(), "error", err)
	}
	return p, reads
}

// handshake makes the TLS connection, or fails in time.
func (t *Transport) handshake(secure *tls.Conn) error {
	if err := secure.SetDeadline(time.Now().Add(t.config.DialTimeout)); err != nil {
		return err
	}
	return secure.HandshakeContext(t.closing)
}

// noteRejected logs a TLS handshake that failed, in etcd's words. Whoever comes and goes without a word only wanted to see whether the port is open.
func (t *Transport) noteRejected(secure *tls.Conn, err error) {
	if errors.Is(err, io.EOF) || t.closing.Err() != nil {
		return
	}
	leftOut, ok := t.rare.AllowFailure(secure, err)
	if !ok {
		return
	}
	kv := []any{"remote-addr", secure.RemoteAddr(), "server-name", logging.Clip(secure.ConnectionState().ServerName), "error", err}
	if leftOut > 0 {
		kv = append(kv, "left-out", leftOut)
	}
	t.log(port.Warn, "rejected connection on peer endpoint", kv...)
}

// noteThrown logs that a guest who said nothing had to make way.
func (t *Transport) noteThrown(g *guest) {
	if leftOut, ok := t.rare.Allow("thrown " + g.host); ok {
		t.log(port.Warn, "closed a connection on the peer address: it did not say in time that it is a member, and others wait", "remote-addr", g.conn.RemoteAddr(),
			"connected-for", time.Since(g.since).Round(time.Millisecond), "left-out", leftOut)
	}
}

// welcome reads a greeting and answers it. It returns the peer whose connection this is, and which format versions that reads.
func (t *Transport) welcome(conn net.Conn) (*peer, format.Range, error) {
	if err := conn.SetDeadline(time.Now().Add(t.config.DialTimeout)); err != nil {
		return nil, format.Range{}, err
	}
	g, err := readGreeting(conn)
	if err != nil {
		return nil, format.Range{}, err
	}
	reads := g.formats.Reads.Known()
	verdict, p := t.judge(g)
	if verdict == Welcome || verdict == WrongFormat {
		t.greeted(g)
	}
	said := verdict
	if verdict == WrongFormat && g.formats.Reads.Newest == 0 {
		said = WrongVersion // detcd 0.1.0 has no word for the other
	}
	if _, err := conn.Write(t.greet(g.from, said)); err != nil {
		return nil, reads, fmt.Errorf("answer a greeting: %w", err)
	}
	if verdict != Welcome {
		return nil, reads, &strangerError{from: g.from, cluster: g.cluster, verdict: verdict}
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, reads, err
	}
	return p, reads, nil
}

// hear takes messages from a connection that the peer has dialled, until the connection ends. A newer connection of the peer takes its place.
func (p *peer) hear(conn net.Conn, reads format.Range) {
	p.mu.Lock()
	if p.incoming != nil {
		_ = p.incoming.Close()
	}
	p.incoming, p.incomingReads = conn, reads
	p.stats.incomingSince.Store(time.Now().UnixNano())
	p.mu.Unlock()
	// Where the peer was removed or outdated meanwhile, remove or outdate may not have seen this connection.
	err := p.t.readable(reads)
	if err == nil && p.wanted.Err() == nil {
		p.hurry() // a peer that dials can be dialled
		err = p.hearMessages(conn)
	}
	p.mu.Lock()
	current := p.incoming == conn
	if current {
		p.incoming = nil
		p.stats.incomingSince.Store(0)
	}
	p.mu.Unlock()
	if current && p.wanted.Err() == nil {
		p.t.log(port.Info, "a peer's connection ended", "remote-peer-id", p.id, "reason", connectionError(err, p.t.config.IdleTimeout))
	}
}

func (p *peer) hearMessages(conn net.Conn) error {
	r := newFrameReader(&countingReader{patientReader{conn, p.t.config.IdleTimeout}, &p.stats.receivedBytes})
	var pong []byte
	for {
		f, err := r.next()
		if err != nil {
			return err
		}
		switch f.kind {
		case frameData:
			p.stats.receivedMessages.Add(1)
			p.t.config.Deliver(p.id, f.payload)
		case framePing:
			f.kind = framePong
			pong = f.append(pong[:0])
			if err := conn.SetWriteDeadline(time.Now().Add(p.t.config.WriteTimeout)); err != nil {
				return err
			}
			if _, err := conn.Write(pong); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: a pong without a ping", errFrame)
		}
	}
}

// countingReader counts what is read.
type countingReader struct {
	patientReader
	bytes *atomic.Uint64
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.patientReader.Read(b)
	r.bytes.Add(uint64(n))
	return n, err
}
