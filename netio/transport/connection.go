package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/detcd/detcd/statemachine/format"
)

// batchBytes is about how much is written at a time; it may be a frame more. An urgent message waits for one such write at most.
const batchBytes = 128 << 10

// dial connects to the peer and greets it.
func (p *peer) dial(attempt int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(p.wanted, p.t.config.DialTimeout)
	defer cancel()
	url := p.address(attempt)
	if url == "" {
		return nil, errors.New("no peer URL is known")
	}
	conn, err := dialURL(ctx, url, p.t.config.TLS)
	if err != nil {
		return nil, err
	}
	reads, err := p.introduce(ctx, conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	p.mu.Lock()
	if err := p.t.readable(reads); err != nil { // SetFormats came meanwhile, and did not see conn
		p.mu.Unlock()
		_ = conn.Close()
		return nil, err
	}
	p.outgoing, p.url, p.outgoingReads = conn, url, reads
	p.direct, p.rest = directWriter(conn), nil
	for i := range p.queues {
		p.queues[i].rewind()
	}
	p.mu.Unlock()
	if p.wanted.Err() != nil { // the peer was removed meanwhile, and remove did not see this connection
		_ = conn.Close()
		return nil, p.wanted.Err()
	}
	p.noteUp(url)
	return conn, nil
}

// introduce greets the other side, and checks that the peer answers, and nobody else. It returns which format versions the peer reads.
func (p *peer) introduce(ctx context.Context, conn net.Conn) (reads format.Range, err error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return reads, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(p.t.greet(p.id, Welcome)); err != nil {
		return reads, fmt.Errorf("greet: %w", err)
	}
	g, err := readGreeting(conn)
	if err == nil && g.cluster == p.t.config.Cluster && g.from == p.id {
		p.t.greeted(g)
	}
	switch {
	case err != nil:
		return reads, fmt.Errorf("greet: %w", err)
	case g.verdict != Welcome:
		if p.t.config.Refused != nil && g.cluster == p.t.config.Cluster && g.from == p.id {
			p.t.config.Refused(p.id, g.verdict)
		}
		return reads, fmt.Errorf("refused by %x of cluster %x: %v", uint64(g.from), g.cluster, g.verdict)
	case g.cluster != p.t.config.Cluster || g.from != p.id || g.to != p.t.config.Self:
		return reads, fmt.Errorf("%x of cluster %x answered in place of the peer", uint64(g.from), g.cluster)
	case !g.commonVersion():
		return reads, fmt.Errorf("the peer speaks versions %d to %d of the peer protocol", g.oldest, g.version)
	}
	reads = g.formats.Reads.Known()
	if err := p.t.readable(reads); err != nil {
		return reads, err
	}
	return reads, conn.SetDeadline(time.Time{})
}

// serve writes what is queued until the connection fails, or there is nothing more to do.
func (p *peer) serve(conn net.Conn) error {
	dead := make(chan error, 1)
	p.t.workers.Go(func() {
		dead <- p.readPongs(conn)
		close(dead)
	})
	err := p.write(conn, dead)
	_ = conn.Close()
	// If the reader has given the connection up, the writer sees only that it is closed. The reader knows why.
	if reason := <-dead; reason != nil && errors.Is(err, net.ErrClosed) {
		err = reason
	}
	p.mu.Lock()
	p.outgoing, p.direct, p.rest = nil, nil, nil
	p.mu.Unlock()
	return err
}

func (p *peer) write(conn net.Conn, dead <-chan error) error {
	pings := time.NewTicker(p.t.config.PingInterval)
	defer pings.Stop()
	var frames []frame
	buffer := p.appendPing(make([]byte, 0, batchBytes+frameHeaderBytes+fragmentBytes))
	for {
		if len(buffer) > 0 {
			if err := conn.SetWriteDeadline(time.Now().Add(p.t.config.WriteTimeout)); err != nil {
				return err
			}
			n, err := conn.Write(buffer)
			p.stats.sentBytes.Add(uint64(n))
			if err != nil {
				return err
			}
			buffer = buffer[:0]
		}
		buffer = p.takeRest(buffer)
		select {
		case <-pings.C: // a ping is due, also when there is always something else to send
			buffer = p.appendPing(buffer)
		default:
		}
		frames = p.cut(frames[:0], batchBytes, len(buffer) == 0)
		for i := range frames {
			buffer = frames[i].append(buffer)
			if frames[i].flags&flagLast != 0 {
				p.stats.sentMessages.Add(1)
			}
		}
		clear(frames)
		if len(buffer) > 0 {
			continue
		}
		ping := false
		select {
		case <-p.wake:
			continue
		case <-pings.C:
			ping = true
		case err := <-dead:
			p.awake()
			return err
		case <-p.wanted.Done():
			p.awake()
			return p.wanted.Err()
		}
		p.awake()
		// The rest of a message that a direct write has begun comes before anything else.
		if buffer = p.takeRest(buffer); ping {
			buffer = p.appendPing(buffer)
		}
	}
}

func (p *peer) appendPing(b []byte) []byte { return appendPing(b, p.t.now()) }

// appendPing appends a ping that carries the time now.
func appendPing(b []byte, now int64) []byte {
	payload := binary.LittleEndian.AppendUint64(make([]byte, 0, pingBytes), uint64(now))
	f := frame{kind: framePing, total: pingBytes, payload: payload}
	return f.append(b)
}

// readPongs reads what the other side of an outgoing connection says: pongs, and nothing else. It returns why it ended.
func (p *peer) readPongs(conn net.Conn) error {
	r := newFrameReader(&patientReader{conn, p.t.config.IdleTimeout})
	for {
		f, err := r.next()
		if err == nil && f.kind != framePong {
			err = fmt.Errorf("%w: kind %d on the way back", errFrame, f.kind)
		}
		if err != nil {
			_ = conn.Close() // this ends a write that hangs
			return connectionError(err, p.t.config.IdleTimeout)
		}
		took := time.Duration(p.t.now() - int64(binary.LittleEndian.Uint64(f.payload)))
		p.stats.roundTrip(took)
		if p.t.config.ObserveRoundTrip != nil {
			p.t.config.ObserveRoundTrip(p.id, took)
		}
	}
}

// patientReader reads from a connection. It fails when nothing has come for limit.
type patientReader struct {
	conn  net.Conn
	limit time.Duration
}

func (r *patientReader) Read(b []byte) (int, error) {
	if err := r.conn.SetReadDeadline(time.Now().Add(r.limit)); err != nil {
		return 0, err
	}
	return r.conn.Read(b)
}

// connectionError says in plain words why a connection ended.
func connectionError(err error, idle time.Duration) error {
	var timeout net.Error
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("closed by the other side")
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("nothing was heard for %v", idle)
	}
	return err
}
