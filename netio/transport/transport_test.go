package transport

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
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
