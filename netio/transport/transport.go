package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detcd/detcd/netio/logging"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine/format"
)

// Config of a transport. Fields with a default in brackets may be zero.
type Config struct {
	// Self and Cluster are what this member says in greetings.
	Self    port.MemberID
	Cluster uint64
	// Listeners are where other members reach this one (see Listen). The transport closes them.
	Listeners []net.Listener
	// TLS is for dialling https and unixs URLs. Nil: such URLs can't be dialled.
	TLS *tls.Config
	// Deliver takes the messages that arrive; the payload is the receiver's. It may block to slow the sender down, but must
	// return once the member has ended.
	Deliver func(from port.MemberID, payload []byte)
	// Greeted is told what a peer says of format versions, each time that it greets: before anything of that connection is delivered. Nil: nobody is. It
	// must not call the transport.
	Greeted func(from port.MemberID, f port.Formats)
	// Logger takes log lines; required.
	Logger port.Logger
	// Refused is told when another member refuses this one, each time that happens. Nil: nobody is.
	Refused func(by port.MemberID, why Verdict)
	// ObserveRoundTrip is told of each ping's round trip. Nil: nobody is.
	ObserveRoundTrip func(peer port.MemberID, took time.Duration)

	// Newcomers is how many connections may be in their TLS handshake at a time. As many others may be open that have not said who they are [128].
	// When more come, those who have been silent for the longest make way.
	Newcomers int

	// PingInterval is the time between two pings on a connection [500 ms]. A connection ends after IdleTimeout without an answer, or, if the
	// peer has dialled it, without any frame [5 s]. WriteTimeout bounds one write [5 s], DialTimeout dialling and greeting together [2 s].
	PingInterval, IdleTimeout, WriteTimeout, DialTimeout time.Duration
	// FlushTimeout bounds how long Close waits for peers that do not take what is queued for them [250 ms].
	FlushTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause between two attempts to dial [10 ms, 1 s].
	BackoffMin, BackoffMax time.Duration
}

// defaultNewcomers is the default of Config.Newcomers.
const defaultNewcomers = 128

func (c Config) withDefaults() Config {
	if c.Newcomers == 0 {
		c.Newcomers = defaultNewcomers
	}
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{
		{&c.PingInterval, 500 * time.Millisecond},
		{&c.IdleTimeout, 5 * time.Second},
		{&c.WriteTimeout, 5 * time.Second},
		{&c.DialTimeout, 2 * time.Second},
		{&c.FlushTimeout, 250 * time.Millisecond},
		{&c.BackoffMin, 10 * time.Millisecond},
		{&c.BackoffMax, time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	return c
}

// Transport is a member's network.
type Transport struct {
	config  Config
	origin  time.Time
	strange strangers
	// closing ends when Close begins. Whoever dials, or waits for something to do, then stops.
	closing    context.Context
	beginClose context.CancelFunc
	workers    sync.WaitGroup // goroutines of peers and connections
	// handshakes holds the connections that are in their TLS handshake, greeters those that have not said yet who they are.
	handshakes, greeters lobby
	rare                 *logging.Rarely

	formats atomic.Pointer[port.Formats]

	mu      sync.RWMutex
	peers   map[port.MemberID]*peer
	removed map[port.MemberID]bool // members that were peers, and are no longer
	closed  bool
}

var _ port.Network = (*Transport)(nil)

// rareInterval is the least time between two log lines that anybody who can dial this member can cause.
const rareInterval = 5 * time.Second

// New returns a transport that listens, and knows no peer yet: until SetPeers it refuses all.
func New(c Config) *Transport {
	t := &Transport{
		config:  c.withDefaults(),
		origin:  time.Now(),
		rare:    logging.NewRarely(rareInterval),
		peers:   map[port.MemberID]*peer{},
		removed: map[port.MemberID]bool{},
	}
	for _, l := range []*lobby{&t.handshakes, &t.greeters} {
		l.size, l.thrown = t.config.Newcomers, t.noteThrown
	}
	t.strange.init()
	t.formats.Store(&port.Formats{})
	t.closing, t.beginClose = context.WithCancel(context.Background())
	for _, l := range t.config.Listeners {
		t.workers.Go(func() { t.accept(l) })
	}
	return t
}

// Send implements port.Network.
func (t *Transport) Send(to port.MemberID, class port.Class, payload []byte) {
	t.mu.RLock()
	p, closed := t.peers[to], t.closed
	t.mu.RUnlock()
	if p != nil && !closed {
		p.send(class, payload)
	}
}

// SetPeers implements port.Network. A member that is no longer in the list is told that it was removed when it dials again.
func (t *Transport) SetPeers(peers []port.Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	for id, p := range t.peers {
		if !slices.ContainsFunc(peers, func(q port.Peer) bool { return q.ID == id }) {
			delete(t.peers, id)
			t.removed[id] = true
			p.remove()
		}
	}
	for _, q := range peers {
		delete(t.removed, q.ID)
		if q.ID == t.config.Self {
			continue
		}
		if p := t.peers[q.ID]; p != nil {
			p.redirect(q.URLs)
			continue
		}
		p := newPeer(t, q)
		t.peers[q.ID] = p
		t.workers.Go(p.run)
	}
}

// SetFormats implements port.Network.
func (t *Transport) SetFormats(f port.Formats) {
	t.formats.Store(&f) // first: whoever connects from now on looks at it
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, p := range t.peers {
		p.outdate()
	}
}

// readable says whether who reads these format versions can read all that this member may send; an error says what is missing.
func (t *Transport) readable(by format.Range) error {
	if needs := t.formats.Load().Needs; needs > by.Newest {
		return fmt.Errorf("the peer's build reads %v, and the cluster has come to version %d: a newer build of detcd is needed there", by, needs)
	}
	return nil
}

// greeted hands on what a peer says of format versions.
func (t *Transport) greeted(g greeting) {
	if t.config.Greeted != nil {
		t.config.Greeted(g.from, g.formats)
	}
}

func (t *Transport) peer(id port.MemberID) *peer {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.peers[id]
}

// judge returns what to answer to a greeting, and the peer that it came from.
func (t *Transport) judge(g greeting) (Verdict, *peer) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p := t.peers[g.from]
	switch {
	case !g.commonVersion():
		return WrongVersion, nil
	case g.cluster != t.config.Cluster:
		return WrongCluster, nil
	case g.to != t.config.Self:
		return WrongTarget, nil
	case t.removed[g.from]:
		return RemovedMember, nil
	case p == nil:
		return UnknownMember, nil
	case t.readable(g.formats.Reads.Known()) != nil:
		return WrongFormat, nil
	}
	return Welcome, p
}

// Close ends all connections. Before that it sends what is queued for connected peers, unless FlushTimeout passes or ctx ends first. When it
// returns, all goroutines have ended, and Deliver is not called any more.
func (t *Transport) Close(ctx context.Context) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	t.beginClose()
	var errs []error
	for _, l := range t.config.Listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	peers := make([]*peer, 0, len(t.peers))
	for _, p := range t.peers {
		peers = append(peers, p)
	}
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, t.config.FlushTimeout)
	defer cancel()
	for _, p := range peers {
		select {
		case <-p.ended:
		case <-ctx.Done():
		}
	}
	for _, p := range peers {
		p.remove()
	}
	t.workers.Wait()
	return errors.Join(errs...)
}

// greet is what this member says to another.
func (t *Transport) greet(to port.MemberID, v Verdict) []byte {
	return greeting{version: protocolVersion, oldest: protocolOldest, verdict: v, formats: *t.formats.Load(), cluster: t.config.Cluster,
		from: t.config.Self, to: to}.encode()
}

// now is the time since the transport began, in nanoseconds, as pings carry it.
func (t *Transport) now() int64 { return int64(time.Since(t.origin)) }

func (t *Transport) log(level port.Level, msg string, kv ...any) {
	t.config.Logger.Log(level, msg, kv...)
}
