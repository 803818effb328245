package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detcd/detcd/node/port"
)

const testCluster = 0xc1

// limit is how long a test waits for what must happen; it is no measure of how fast that should be.
const limit = 20 * time.Second

// inbox collects what arrives at one member, and lets tests wait for it.
type inbox struct {
	mu       sync.Mutex
	changed  chan struct{}
	messages []arrival

	greetings []told
}

type arrival struct {
	from    port.MemberID
	payload []byte
	before  int // how many greetings came before it
}

// told is what a member was told that another one says of format versions.
type told struct {
	from    port.MemberID
	formats port.Formats
}

func (b *inbox) deliver(from port.MemberID, payload []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, arrival{from, payload, len(b.greetings)})
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *inbox) greeted(from port.MemberID, f port.Formats) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.greetings = append(b.greetings, told{from, f})
}

// all returns what has arrived so far.
func (b *inbox) all() []arrival {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.messages)
}

// told returns what was said of format versions so far.
func (b *inbox) told() []told {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.greetings)
}

// wait waits until what has arrived satisfies ok.
func (b *inbox) wait(t *testing.T, what string, ok func([]arrival) bool) {
	t.Helper()
	timeout := time.After(limit)
	for {
		b.mu.Lock()
		done, changed := ok(b.messages), b.changed
		b.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			b.mu.Lock()
			defer b.mu.Unlock()
			t.Fatalf("waited in vain for %s; %d messages arrived", what, len(b.messages))
		}
	}
}

// logbook is a logger that keeps its lines.
type logbook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logbook) Log(level port.Level, msg string, kv ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprint(append([]any{int(level), " ", msg, " "}, kv...)...))
}

func (l *logbook) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

func (l *logbook) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// station is one member's transport under test.
type station struct {
	*Transport
	inbox *inbox
	log   *logbook
	url   string
}

// open makes a station for member id that knows nobody yet.
func open(t *testing.T, id port.MemberID, change func(*Config)) *station {
	t.Helper()
	return openOn(t, id, "http://127.0.0.1:0", nil, change)
}

func openOn(t *testing.T, id port.MemberID, url string, serve *tls.Config, change func(*Config)) *station {
	t.Helper()
	listeners, err := Listen([]string{url}, serve)
	if err != nil {
		t.Fatal(err)
	}
	s := &station{inbox: &inbox{changed: make(chan struct{})}, log: &logbook{}, url: url}
	if a, ok := listeners[0].Addr().(*net.TCPAddr); ok {
		s.url = url[:strings.Index(url, "127")] + a.String()
	}
	c := Config{Self: id, Cluster: testCluster, Listeners: listeners, Deliver: s.inbox.deliver, Greeted: s.inbox.greeted, Logger: s.log,
		PingInterval: 20 * time.Millisecond, BackoffMax: 50 * time.Millisecond}
	if change != nil {
		change(&c)
	}
	s.Transport = New(c)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		for _, line := range s.log.all() {
			if strings.HasPrefix(line, "2 ") {
				t.Errorf("a line at level error: %q", line)
			}
		}
	})
	return s
}

// introduceAll makes the stations peers of each other, ids from 1 on.
func introduceAll(all ...*station) {
	var peers []port.Peer
	for i, s := range all {
		peers = append(peers, port.Peer{ID: port.MemberID(i + 1), URLs: []string{s.url}})
	}
	for _, s := range all {
		s.SetPeers(peers)
	}
}

// eventually waits for something that no inbox tells of.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// reach sends until something arrives: a message may be lost, most of all the first ones.
func reach(t *testing.T, from, to *station, id port.MemberID, text string) {
	t.Helper()
	eventually(t, text, func() bool {
		from.Send(id, port.Urgent, []byte(text))
		return slices.ContainsFunc(to.inbox.all(), func(a arrival) bool { return string(a.payload) == text })
	})
}

// proxy is a TCP proxy in front of a member, as networks that break are made of.
type proxy struct {
	t        *testing.T
	listener net.Listener
	target   string
	workers  sync.WaitGroup

	mu    sync.Mutex
	cond  sync.Cond
	mute  bool // nothing is passed on, nothing is closed
	cut   bool // connections are closed at once
	conns map[net.Conn]bool
}

func newProxy(t *testing.T, to *station) (*proxy, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: l, target: strings.TrimPrefix(to.url, "http://"), conns: map[net.Conn]bool{}}
	p.cond.L = &p.mu
	p.workers.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.set(false, true)
		p.workers.Wait()
	})
	return p, "http://" + l.Addr().String()
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil || !p.keep(in, out) {
			_ = in.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			p.workers.Go(func() { p.pass(pair[0], pair[1]) })
		}
	}
}

func (p *proxy) keep(in, out net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		_ = out.Close()
		return false
	}
	p.conns[in], p.conns[out] = true, true
	return true
}

func (p *proxy) pass(from, to net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		p.mu.Lock()
		for p.mute {
			p.cond.Wait()
		}
		p.mu.Unlock()
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) set(mute, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute, p.cut = mute, cut
	if cut {
		for c := range p.conns {
			_ = c.Close()
		}
		clear(p.conns)
	}
	p.cond.Broadcast()
}
