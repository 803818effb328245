package transport

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/detcd/detcd/node/port"
)

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
	// The end that notices first says so; the other may then see no more than the connection ending.
	if a.log.count("nothing was heard for 200ms")+b.log.count("nothing was heard for 200ms") == 0 {
		t.Errorf("the reason is in neither log: %q, %q", a.log.all(), b.log.all())
	}
	px.set(false, false)
	reach(t, a, b, 2, "after")
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
