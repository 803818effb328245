package transport

import (
	"net"
	"strings"
	"testing"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine/format"
)

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

// The cluster's format version may grow between a peer's greeting and its first message.
func TestTransport_APeerOutdatedSinceItsGreetingIsNotHeard(t *testing.T) {
	host := open(t, 1, nil)
	host.SetPeers([]port.Peer{{ID: 2, URLs: []string{"http://127.0.0.1:1"}}})
	host.SetFormats(port.Formats{Reads: format.Range{Oldest: 1, Newest: 2}, Needs: 2})
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	host.peer(2).hear(here, format.Range{Oldest: 1, Newest: 1})
	if p, _ := host.Peer(2); !p.HeardSince.IsZero() {
		t.Errorf("heard since %v, though nothing that it says is", p.HeardSince)
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
