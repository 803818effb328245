package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detcd/detcd/node/port"
)

func TestTransport_CarriesMessagesBetweenAll(t *testing.T) {
	all := []*station{open(t, 1, nil), open(t, 2, nil), open(t, 3, nil)}
	introduceAll(all...)
	sizes := []int{0, 1, 1000, fragmentBytes, 3*fragmentBytes + 5, 2 << 20}
	for from, s := range all {
		for to := range all {
			for class := port.Urgent; class <= port.Bulk; class++ {
				for i, n := range sizes {
					s.Send(port.MemberID(to+1), class, append([]byte{byte(from + 1), byte(class), byte(i)}, pattern(n, from)...))
				}
			}
		}
	}
	for to, s := range all {
		want := 2 * classes * len(sizes) // nobody sends to itself
		s.inbox.wait(t, "all messages", func(a []arrival) bool { return len(a) >= want })
		next := map[string]byte{}
		for _, a := range s.inbox.all() {
			if a.payload[0] != byte(a.from) || a.from == port.MemberID(to+1) {
				t.Errorf("a message of %d was delivered to %d as of %d", a.payload[0], to+1, a.from)
			}
			stream := fmt.Sprint(a.from, a.payload[1])
			if i := a.payload[2]; i != next[stream] {
				t.Errorf("message %d of %s came in place of %d", i, stream, next[stream])
			} else if !bytes.Equal(a.payload[3:], pattern(sizes[i], int(a.from-1))) {
				t.Errorf("message %d of %s arrived changed", i, stream)
			}
			next[stream]++
		}
	}
	for _, status := range all[0].Peers() {
		if status.SentMessages != uint64(classes*len(sizes)) || status.ReceivedMessages != status.SentMessages {
			t.Errorf("%d messages sent, %d received, want %d", status.SentMessages, status.ReceivedMessages, classes*len(sizes))
		}
		if status.SentBytes < 6<<20 || status.ReceivedBytes < 6<<20 || status.DroppedMessages != 0 {
			t.Errorf("%+v", status)
		}
	}
}

func TestTransport_MeasuresAndCountsConnections(t *testing.T) {
	rtts := make(chan time.Duration, 1000)
	a := open(t, 1, func(c *Config) {
		c.ObserveRoundTrip = func(peer port.MemberID, took time.Duration) {
			if peer == 2 {
				select {
				case rtts <- took:
				default:
				}
			}
		}
	})
	b := open(t, 2, nil)
	introduceAll(a, b)
	for range 3 {
		if took := <-rtts; took <= 0 || took > time.Minute {
			t.Errorf("a round trip took %v", took)
		}
	}
	eventually(t, "an active peer", func() bool {
		s, ok := a.Peer(2)
		return ok && s.Active() && s.RTT > 0
	})
	if _, ok := a.Peer(3); ok {
		t.Error("a peer that is none has a status")
	}
}

func TestTransport_DialsAgain(t *testing.T) {
	a, b := open(t, 1, nil), open(t, 2, nil)
	px, url := newProxy(t, b)
	a.SetPeers([]port.Peer{{ID: 2, URLs: []string{url}}})
	b.SetPeers([]port.Peer{{ID: 1, URLs: []string{a.url}}})
	for i := range 5 {
		reach(t, a, b, 2, fmt.Sprint("before cut ", i))
		px.set(false, true)
		eventually(t, "the loss", func() bool {
			s, _ := a.Peer(2)
			return s.ConnectedSince.IsZero()
		})
		px.set(false, false)
	}
	reach(t, a, b, 2, "after")
}

// What others dialled to a member is cut: it hears nothing, but is heard.
func TestTransport_DirectionsAreCutOneByOne(t *testing.T) {
	a, b := open(t, 1, nil), open(t, 2, nil)
	px, url := newProxy(t, b)
	a.SetPeers([]port.Peer{{ID: 2, URLs: []string{url}}})
	b.SetPeers([]port.Peer{{ID: 1, URLs: []string{a.url}}})
	reach(t, a, b, 2, "one way")
	reach(t, b, a, 1, "the other way")
	px.set(false, true)
	eventually(t, "the loss", func() bool {
		s, _ := a.Peer(2)
		return s.ConnectedSince.IsZero()
	})
	for i := range 20 {
		a.Send(2, port.Urgent, []byte("cut off"))
		reach(t, b, a, 1, fmt.Sprint("still ", i))
	}
	if slices.ContainsFunc(b.inbox.all(), func(a arrival) bool { return string(a.payload) == "cut off" }) {
		t.Error("a message came through the cut")
	}
	if s, _ := b.Peer(1); s.ConnectedSince.IsZero() {
		t.Error("the connection in the direction that was not cut is lost")
	}
}

// A connection that breaks without a sign is noticed by both its ends.
func TestTransport_NoticesSilence(t *testing.T) {
	quick := func(c *Config) { c.IdleTimeout, c.DialTimeout = 200*time.Millisecond, 200*time.Millisecond }
	a, b := open(t, 1, quick), open(t, 2, quick)
	px, url := newProxy(t, b)
	a.SetPeers([]port.Peer{{ID: 2, URLs: []string{url}}})
	b.SetPeers([]port.Peer{{ID: 1, URLs: []string{a.url}}})
	reach(t, a, b, 2, "before")
	px.set(true, false)
	eventually(t, "the loss at the sender", func() bool {
		s, _ := a.Peer(2)
		return s.ConnectedSince.IsZero()
	})
	eventually(t, "the loss at the receiver", func() bool {
		s, _ := b.Peer(1)
		return s.HeardSince.IsZero()
	})
	if a.log.count("nothing was heard for 200ms") == 0 {
		t.Errorf("the reason is not in the log: %q", a.log.all())
	}
	px.set(false, false)
	reach(t, a, b, 2, "after")
}

func TestTransport_RefusesStrangers(t *testing.T) {
	host := open(t, 1, nil)
	for _, c := range []struct {
		name    string
		id      port.MemberID
		cluster uint64
		target  port.MemberID
		want    Verdict
	}{
		{"another cluster", 2, testCluster + 1, 1, WrongCluster},
		{"another member's address", 2, testCluster, 7, WrongTarget},
		{"nobody known", 9, testCluster, 1, UnknownMember},
	} {
		t.Run(c.name, func(t *testing.T) {
			host.SetPeers([]port.Peer{{ID: 2, URLs: []string{"http://127.0.0.1:1"}}})
			s := open(t, c.id, func(config *Config) { config.Cluster = c.cluster })
			s.SetPeers([]port.Peer{{ID: c.target, URLs: []string{host.url}}})
			eventually(t, "attempts", func() bool {
				p, _ := s.Peer(c.target)
				return p.DialFailures >= 5
			})
			s.Send(c.target, port.Urgent, []byte("let me in"))
			if n := s.log.count(c.want.String()); n != 1 {
				t.Errorf("the reason is in the log of the one refused %d times, want once: %q", n, s.log.lines)
			}
			if n := host.log.count(c.want.String()); n != 1 {
				t.Errorf("the reason is in the log of the host %d times, want once: %q", n, host.log.lines)
			}
		})
	}
	if n := len(host.inbox.all()); n != 0 {
		t.Errorf("%d messages of strangers were delivered", n)
	}
}

func TestTransport_RefusesOtherVersions(t *testing.T) {
	host := open(t, 1, nil)
	host.SetPeers([]port.Peer{{ID: 2, URLs: []string{"http://127.0.0.1:1"}}})
	for _, c := range []struct {
		oldest, newest uint16
		want           Verdict
	}{{2, 7, WrongVersion}, {0, 0, WrongVersion}, {1, 7, Welcome}, {0, 1, Welcome}} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(host.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		g := greeting{version: c.newest, oldest: c.oldest, cluster: testCluster, from: 2, to: 1}
		if _, err := conn.Write(g.encode()); err != nil {
			t.Fatal(err)
		}
		answer, err := readGreeting(conn)
		if err != nil || answer.verdict != c.want || answer.from != 1 || answer.cluster != testCluster {
			t.Errorf("versions %d to %d: answer %+v, error %v; want %v", c.oldest, c.newest, answer, err, c.want)
		}
		_ = conn.Close()
	}
}

func TestTransport_OtherProtocolsAreLoggedOnce(t *testing.T) {
	host := open(t, 1, nil)
	for range 3 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(host.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 10)); err == nil {
			t.Errorf("%d bytes were answered", n)
		}
		_ = conn.Close()
	}
	if n := host.log.count("does not speak"); n != 1 {
		t.Errorf("%d lines, want one: %q", n, host.log.lines)
	}
}

func TestTransport_RemovedPeerIsToldSo(t *testing.T) {
	a := open(t, 1, nil)
	refused := make(chan Verdict, 1000)
	b := open(t, 2, func(c *Config) {
		c.Refused = func(by port.MemberID, why Verdict) {
			if by != 1 {
				t.Errorf("refused by %d", by)
			}
			select {
			case refused <- why:
			default:
			}
		}
	})
	introduceAll(a, b)
	reach(t, b, a, 1, "before")
	reach(t, a, b, 2, "before")
	a.SetPeers([]port.Peer{{ID: 1, URLs: []string{a.url}}})
	if why := <-refused; why != RemovedMember {
		t.Errorf("refused for %v, want RemovedMember", why)
	}
	if len(a.Peers()) != 0 {
		t.Errorf("peers %+v, want none", a.Peers())
	}
	introduceAll(a, b) // welcome again
	reach(t, b, a, 1, "after")
	reach(t, a, b, 2, "after")
}

func TestTransport_FollowsAPeerThatMoves(t *testing.T) {
	a, b := open(t, 1, nil), open(t, 2, nil)
	moved := open(t, 2, nil)
	moved.SetPeers([]port.Peer{{ID: 1, URLs: []string{"http://127.0.0.1:1"}}})
	introduceAll(a, b)
	reach(t, a, b, 2, "here")
	a.SetPeers([]port.Peer{{ID: 2, URLs: []string{moved.url}}})
	reach(t, a, moved, 2, "there")
	// The first of several URLs leads nowhere.
	a.SetPeers([]port.Peer{{ID: 2, URLs: []string{"http://127.0.0.1:1", b.url}}})
	reach(t, a, b, 2, "here again")
}

// A receiver that does not keep up slows its sender down; the queue stays within its bound, and what is dropped is counted.
func TestTransport_ReceiverSlowsTheSenderDown(t *testing.T) {
	block, entered := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var arrived sync.Map
	b := open(t, 2, func(c *Config) {
		c.Deliver = func(_ port.MemberID, payload []byte) {
			once.Do(func() { close(entered); <-block })
			arrived.Store(binary.LittleEndian.Uint32(payload), true)
		}
	})
	a := open(t, 1, nil)
	introduceAll(a, b)
	send := func(i int) {
		a.Send(2, port.Bulk, binary.LittleEndian.AppendUint32(make([]byte, 0, 1<<20), uint32(i))[:1<<20])
	}
	send(0)
	<-entered
	i := 1
	dropped := func() uint64 {
		s, _ := a.Peer(2)
		if s.QueuedBytes > limits[port.Bulk].bytes {
			t.Fatalf("%d bytes are queued, the limit is %d", s.QueuedBytes, limits[port.Bulk].bytes)
		}
		return s.DroppedMessages
	}
	for ; dropped() == 0; i++ {
		send(i)
	}
	close(block)
	eventually(t, "what was queued", func() bool {
		n := 0
		arrived.Range(func(any, any) bool { n++; return true })
		return uint64(n)+dropped() == uint64(i)
	})
}

// What was sent before Close arrives, if the peer takes it.
func TestTransport_CloseSendsWhatIsQueued(t *testing.T) {
	a, b := open(t, 1, func(c *Config) { c.FlushTimeout = limit }), open(t, 2, nil)
	introduceAll(a, b)
	reach(t, a, b, 2, "connected")
	for range 20 {
		a.Send(2, port.Normal, make([]byte, 1<<20))
	}
	a.Send(2, port.Bulk, []byte("the last"))
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	b.inbox.wait(t, "the last message", func(all []arrival) bool { return string(all[len(all)-1].payload) == "the last" })
	a.Send(2, port.Normal, []byte("too late")) // nothing happens
	a.SetPeers(nil)
}

func TestTransport_UnreachablePeerIsLoggedOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	a := open(t, 1, nil)
	a.SetPeers([]port.Peer{{ID: 2, URLs: []string{url}}, {ID: 3}, {ID: 4, URLs: []string{"https://127.0.0.1:1"}},
		{ID: 5, URLs: []string{"http://no-port"}}})
	for id := port.MemberID(2); id <= 5; id++ {
		a.Send(id, port.Normal, []byte("lost"))
		eventually(t, "attempts", func() bool {
			s, _ := a.Peer(id)
			return s.DialFailures >= 4 && s.DroppedMessages == 1 && s.QueuedMessages == 0
		})
		if n := a.log.count(fmt.Sprint("remote-peer-id", id)); n != 1 {
			t.Errorf("peer %d: %d lines, want one: %q", id, n, a.log.lines)
		}
	}
}

func TestTransport_UnixSockets(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 { // the second finds the sockets of the first
		a := openOn(t, 1, "unix://"+filepath.Join(dir, "a"), nil, nil)
		b := openOn(t, 2, "unix://"+filepath.Join(dir, "b"), nil, nil)
		introduceAll(a, b)
		reach(t, a, b, 2, fmt.Sprint("round ", round))
		if err := a.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestListen_RefusesBadURLs(t *testing.T) {
	for _, url := range []string{"ftp://127.0.0.1:1", "http://127.0.0.1", "https://127.0.0.1:0", "://", "http://127.0.0.1:99999",
		"unix:///no/such/directory/socket"} {
		if listeners, err := Listen([]string{"http://127.0.0.1:0", url}, nil); err == nil || listeners != nil {
			t.Errorf("%s: %d listeners, error %v; want an error", url, len(listeners), err)
		}
	}
}

func TestTransport_SetPeersAndSendRace(t *testing.T) {
	a, b := open(t, 1, nil), open(t, 2, nil)
	introduceAll(a, b)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 30 {
			a.SetPeers(nil)
			a.SetPeers([]port.Peer{{ID: 2, URLs: []string{b.url}}})
		}
	})
	for range 2 {
		wg.Go(func() {
			for range 2000 {
				a.Send(2, port.Urgent, []byte("x"))
				a.Peers()
			}
		})
	}
	wg.Wait()
	reach(t, a, b, 2, "after")
}
