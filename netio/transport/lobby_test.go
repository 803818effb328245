package transport

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/detcd/detcd/netio/logging"
	"github.com/detcd/detcd/node/port"
)

// visitor is a connection from somewhere.
type visitor struct {
	net.Conn
	from string
}

type remote string

func (r remote) Network() string { return "tcp" }
func (r remote) String() string  { return string(r) }

func (v visitor) RemoteAddr() net.Addr { return remote(v.from) }

func TestLobby_TheOldestOfTheAddressWithTheMostMakesWay(t *testing.T) {
	l := lobby{size: 4}
	now := time.Unix(1000, 0)
	enter := func(from string) (thrown string, wait time.Duration) {
		v := visitor{from: from}
		victim, wait := l.tryEnter(&guest{conn: v, host: logging.HostOf(v.RemoteAddr())}, now)
		if victim != nil {
			thrown = victim.conn.RemoteAddr().String()
		}
		return thrown, wait
	}
	for i, from := range []string{"[::1]:7", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.1:2"} {
		if thrown, wait := enter(from); thrown != "" || wait != 0 {
			t.Errorf("guest %d: %q was thrown out, wait %v", i, thrown, wait)
		}
		now = now.Add(time.Millisecond)
	}
	// None has been there for long enough.
	if thrown, wait := enter("10.0.0.3:1"); thrown != "" || wait != lobbyGrace-3*time.Millisecond {
		t.Errorf("in a lobby of guests who have just come: %q was thrown out, wait %v", thrown, wait)
	}
	now = now.Add(lobbyGrace)
	for _, c := range []struct{ from, thrown string }{
		{"10.0.0.3:1", "10.0.0.1:1"}, // of the address that has two
		{"10.0.0.3:2", "[::1]:7"},    // all have one: the oldest
		{"10.0.0.4:1", "10.0.0.3:1"},
		{"10.0.0.4:2", "10.0.0.2:1"},
	} {
		if thrown, wait := enter(c.from); thrown != c.thrown || wait != 0 {
			t.Errorf("%s takes the place of %q, wait %v, want %s", c.from, thrown, wait, c.thrown)
		}
		now = now.Add(lobbyGrace)
	}
	// Who leaves makes room for all.
	if l.leave(l.guests[0]) {
		t.Error("a guest who leaves was thrown out")
	}
	if thrown, wait := enter("10.0.0.5:1"); thrown != "" || wait != 0 || len(l.guests) != l.size {
		t.Errorf("into a free place: %q was thrown out, wait %v, %d guests", thrown, wait, len(l.guests))
	}
}

// Silence holds a place for as long as nobody else wants it, and no longer. (The time that greetings may take is an hour here.)
func TestTransport_SilentConnectionsKeepNobodyOut(t *testing.T) {
	own, pool := certificate(t)
	secure := &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	for _, c := range []struct {
		name, url string
		tls       *tls.Config
		// greet: they make their TLS handshake and are silent then.
		greet bool
	}{
		{"plain", "http://127.0.0.1:0", nil, false},
		{"without a handshake", "https://127.0.0.1:0", secure, false},
		{"after a handshake", "https://127.0.0.1:0", secure, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := openOn(t, 1, c.url, c.tls, func(config *Config) { config.TLS, config.DialTimeout = c.tls, time.Hour })
			host.SetPeers([]port.Peer{{ID: 2, URLs: []string{"http://127.0.0.1:1"}}})
			address := host.url[strings.Index(host.url, "127"):]
			flood, end := context.WithCancel(t.Context())
			defer end()
			silent := make(chan net.Conn)
			for range 300 {
				go func() {
					for flood.Err() == nil {
						conn, err := net.Dial("tcp", address)
						if err != nil {
							continue
						}
						if c.greet {
							conn = tls.Client(conn, &tls.Config{Certificates: c.tls.Certificates, RootCAs: c.tls.RootCAs, ServerName: "127.0.0.1"})
							if err := conn.(*tls.Conn).HandshakeContext(flood); err != nil {
								conn.Close()
								continue
							}
						}
						select {
						case silent <- conn:
						case <-flood.Done():
						}
						stop := context.AfterFunc(flood, func() { conn.Close() })
						conn.Read(make([]byte, 1)) // until the host has enough of it
						stop()
						conn.Close()
					}
				}()
			}
			for range 300 {
				<-silent
			}
			go func() {
				for {
					select {
					case <-silent:
					case <-flood.Done():
						return
					}
				}
			}()
			member := openOn(t, 2, c.url, c.tls, func(config *Config) { config.TLS = c.tls })
			member.SetPeers([]port.Peer{{ID: 1, URLs: []string{host.url}}})
			reach(t, member, host, 1, "hello")
			if n := host.log.count("did not say in time that it is a member"); n == 0 || n > 20 {
				t.Errorf("%d lines name those who were silent", n)
			}
			if n := host.log.count("127.0.0.1:"); n == 0 {
				t.Error("no line has an address")
			}
			host.greeters.mu.Lock()
			defer host.greeters.mu.Unlock()
			if n := len(host.greeters.guests); n > defaultNewcomers {
				t.Errorf("%d guests", n)
			}
		})
	}
}

// A TLS handshake that fails is logged in the words that people look for, once in a while.
func TestTransport_LogsHandshakesThatFail(t *testing.T) {
	own, pool := certificate(t)
	serve := &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	host := openOn(t, 1, "https://127.0.0.1:0", serve, nil)
	address := strings.TrimPrefix(host.url, "https://")
	for range 20 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		secure := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "localhost", InsecureSkipVerify: true})
		if err := secure.Handshake(); err == nil {
			secure.Read(make([]byte, 1)) // with TLS 1.3 the refusal comes late
		}
		conn.Close()
	}
	eventually(t, "a line", func() bool {
		return host.log.count("rejected connection on peer endpoint") > 0
	})
	if n := host.log.count("rejected connection on peer endpoint"); n > 2 {
		t.Errorf("%d lines about the same", n)
	}
	for _, word := range []string{"127.0.0.1:", "server-namelocalhost", "tls: client didn't provide a certificate"} {
		if host.log.count(word) == 0 {
			t.Errorf("no line says %q: %q", word, host.log.all())
		}
	}
}
