package transport

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine/format"
)

// peer is another member: what waits for it, and the connection that carries it there.
type peer struct {
	t     *Transport
	id    port.MemberID
	ended chan struct{} // closed when run is over
	// wanted ends when the peer is removed or the transport's Close begins.
	wanted context.Context
	unwant context.CancelFunc
	// kick cuts a pause between two attempts short.
	kick  chan struct{} // capacity 1
	stats stats

	mu     sync.Mutex
	urls   []string
	queues [classes]queue
	// sleeping says that the writer waits on wake, or will do so in a moment.
	sleeping bool
	wake     chan struct{} // capacity 1
	// direct writes to outgoing without waiting. It is nil if there is no connection, or none that can do that. It is used only while the
	// writer sleeps, so there is one writer at a time. rest is what a direct write has left for the writer.
	direct func([]byte) (int, error)
	rest   []byte
	// scratch is where direct writes put their frame together.
	scratch []byte
	// outgoing and incoming are the connections in use, nil for none; url is where outgoing leads to.
	outgoing, incoming net.Conn
	url                string
	// outgoingReads and incomingReads are which format versions the other ends of these read.
	outgoingReads, incomingReads format.Range
}

func newPeer(t *Transport, q port.Peer) *peer {
	p := &peer{t: t, id: q.ID, urls: slices.Clone(q.URLs), ended: make(chan struct{}), kick: make(chan struct{}, 1),
		wake: make(chan struct{}, 1)}
	p.wanted, p.unwant = context.WithCancel(t.closing)
	return p
}

// send queues a message, or writes it at once if nothing else is being written.
func (p *peer) send(class port.Class, payload []byte) {
	p.mu.Lock()
	if p.sendDirectly(class, payload) {
		p.mu.Unlock()
		return
	}
	dropped := p.queues[class].push(class, payload)
	wake := p.sleeping
	p.sleeping = false
	p.mu.Unlock()
	if dropped > 0 {
		p.stats.dropped.Add(uint64(dropped))
	}
	if wake {
		p.wake <- struct{}{}
	}
}

// cut takes frames of about size bytes off the queues, urgent ones first. If there are none and the writer may sleep, the next send wakes it
// or writes in its place.
func (p *peer) cut(frames []frame, size int, maySleep bool) []frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	for class := range p.queues {
		for size > 0 {
			f, ok := p.queues[class].cut(port.Class(class))
			if !ok {
				break
			}
			frames = append(frames, f)
			size -= frameHeaderBytes + len(f.payload)
		}
	}
	p.sleeping = maySleep && len(frames) == 0
	return frames
}

// awake says that the writer sleeps no more. If somebody has just woken it, awake takes that wake-up from the channel.
func (p *peer) awake() {
	p.mu.Lock()
	slept := p.sleeping
	p.sleeping = false
	p.mu.Unlock()
	if !slept {
		<-p.wake
	}
}

// redirect changes where the peer is.
func (p *peer) redirect(urls []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Equal(urls, p.urls) {
		return
	}
	p.urls = slices.Clone(urls)
	if p.outgoing != nil && !slices.Contains(urls, p.url) {
		_ = p.outgoing.Close() // run dials anew
	}
	p.hurry()
}

// outdate ends the connections whose other ends do not read what this member needs.
func (p *peer) outdate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outgoing != nil && p.t.readable(p.outgoingReads) != nil {
		_ = p.outgoing.Close() // nothing that is sent from now on goes there
		p.direct = nil
	}
	if p.incoming != nil && p.t.readable(p.incomingReads) != nil {
		_ = p.incoming.Close()
	}
}

// remove ends the peer and its connections.
func (p *peer) remove() {
	p.unwant()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range []net.Conn{p.outgoing, p.incoming} {
		if c != nil {
			_ = c.Close()
		}
	}
}

// hurry cuts the pause before the next attempt short.
func (p *peer) hurry() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// run keeps the peer connected until it is removed.
func (p *peer) run() {
	defer close(p.ended)
	backoff := p.t.config.BackoffMin
	for attempt := 0; ; attempt++ {
		began := time.Now()
		conn, err := p.dial(attempt)
		if err == nil {
			err = p.serve(conn)
			if time.Since(began) >= p.t.config.BackoffMax {
				backoff = p.t.config.BackoffMin
			}
		} else {
			p.stats.dropped.Add(uint64(p.drop()))
		}
		if p.wanted.Err() != nil {
			return
		}
		p.noteDown(err)
		// Half of the pause is drawn by chance. Else two members that lost each other would dial at the same moments for ever.
		pause := backoff/2 + rand.N(backoff/2+1)
		backoff = min(2*backoff, p.t.config.BackoffMax)
		select {
		case <-time.After(pause):
		case <-p.kick:
		case <-p.wanted.Done():
			return
		}
	}
}

// drop empties the queues: a peer that can't be reached now is not sent old news later.
func (p *peer) drop() (dropped int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.queues {
		dropped += p.queues[i].drop()
	}
	return dropped
}

// address returns the URL to dial at an attempt: the peer's URLs take turns.
func (p *peer) address(attempt int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.urls) == 0 {
		return ""
	}
	return p.urls[attempt%len(p.urls)]
}

// noteUp and noteDown note for the status whether there is an outgoing connection, and log each change.
func (p *peer) noteUp(url string) {
	p.stats.connectedSince.Store(time.Now().UnixNano())
	p.stats.down.Store(nil)
	p.t.log(port.Info, "connected to a peer", "remote-peer-id", p.id, "url", url)
}

func (p *peer) noteDown(err error) {
	up := p.stats.connectedSince.Swap(0) != 0
	if up {
		p.t.log(port.Warn, "lost the connection to a peer", "remote-peer-id", p.id, "error", err)
		return
	}
	p.stats.dialFailures.Add(1)
	text := err.Error()
	if old := p.stats.down.Swap(&text); old == nil || *old != text {
		p.t.log(port.Warn, "a peer can't be reached", "remote-peer-id", p.id, "url", p.address(0), "error", err)
	}
}
