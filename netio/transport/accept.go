package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/detcd/detcd/node/port"
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
			t.log(port.Warn, "could not accept a connection of a peer", "address", l.Addr(), "error", err)
			select {
			case <-time.After(acceptPause):
			case <-t.closing.Done():
				return
			}
			continue
		}
		select {
		case t.greeters <- struct{}{}:
			t.workers.Go(func() { t.admit(conn) })
		default:
			// Too many that say nothing: none of them is a member, who would.
			_ = conn.Close()
		}
	}
}

// admit hears a greeting, and then messages, from a connection that someone dialled.
func (t *Transport) admit(conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(t.closing, func() { _ = conn.Close() })
	p, err := t.welcome(conn)
	stop()
	<-t.greeters
	if err != nil {
		// Someone who comes and goes without a word only looks whether the port is open.
		if !errors.Is(err, io.EOF) && t.strange.first(strangerKey(conn, err)) {
			t.log(port.Warn, "refused a connection on the peer address", "remote-addr", conn.RemoteAddr(), "error", err)
		}
		return
	}
	p.hear(conn)
}

// welcome reads a greeting and answers it. It returns the peer whose connection this is.
func (t *Transport) welcome(conn net.Conn) (*peer, error) {
	if err := conn.SetDeadline(time.Now().Add(t.config.DialTimeout)); err != nil {
		return nil, err
	}
	g, err := readGreeting(conn)
	if err != nil {
		return nil, err
	}
	verdict, p := t.judge(g)
	if _, err := conn.Write(t.greet(g.from, verdict)); err != nil {
		return nil, fmt.Errorf("answer a greeting: %w", err)
	}
	if verdict != Welcome {
		return nil, &strangerError{from: g.from, cluster: g.cluster, verdict: verdict}
	}
	return p, conn.SetDeadline(time.Time{})
}

// hear takes messages from a connection that the peer has dialled, until it ends. A newer one takes its place.
func (p *peer) hear(conn net.Conn) {
	p.mu.Lock()
	if p.incoming != nil {
		_ = p.incoming.Close()
	}
	p.incoming = conn
	p.stats.incomingSince.Store(time.Now().UnixNano())
	p.mu.Unlock()
	if p.wanted.Err() != nil { // removed, and remove did not see conn
		return
	}
	p.hurry() // who dials is there to be dialled
	err := p.hearMessages(conn)
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
