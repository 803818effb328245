package transport

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine/format"
)

// saying is what a member of a build says that reads up to a version, in a cluster that has come to another.
func saying(reads, needs format.Version) port.Formats {
	return port.Formats{Reads: format.Range{Oldest: format.Oldest, Newest: reads}, Needs: needs}
}

// Who dials is let in only where it reads what the host needs. Either way the host is told what it says.
func TestTransport_RefusesAGuestThatDoesNotReadWhatIsNeeded(t *testing.T) {
	says := saying(2, 2)
	for _, c := range []struct {
		name  string
		guest port.Formats
		want  Verdict
	}{
		{"detcd 0.1.0, which has no word for it", port.Formats{}, WrongVersion},
		{"an older build", saying(1, 1), WrongFormat},
		{"the same build, in a cluster that was not raised yet", saying(2, 1), Welcome},
		{"a newer build", port.Formats{Reads: format.Range{Oldest: 2, Newest: 3}, Needs: 2}, Welcome},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := open(t, 1, nil)
			host.SetFormats(says)
			host.SetPeers([]port.Peer{{ID: 2, URLs: []string{"http://127.0.0.1:1"}}})
			conn, err := net.Dial("tcp", strings.TrimPrefix(host.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			g := greeting{version: protocolVersion, oldest: protocolOldest, formats: c.guest, cluster: testCluster, from: 2, to: 1}
			if _, err := conn.Write(g.encode()); err != nil {
				t.Fatal(err)
			}
			answer, err := readGreeting(conn)
			if err != nil || answer.verdict != c.want || answer.formats != says {
				t.Errorf("answer %+v, error %v; want %v and %+v", answer, err, c.want, says)
			}
			if got := host.inbox.told(); !slices.Equal(got, []told{{2, c.guest}}) {
				t.Errorf("the host was told %+v, want %+v", got, c.guest)
			}
			if c.want == Welcome {
				return
			}
			if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Error("the connection goes on")
			}
			eventually(t, "the reason in the host's log", func() bool { return host.log.count("a newer build of detcd is needed") == 1 })
		})
	}
}

// Who dials sends nothing to a host that welcomes it, but does not read what it needs.
func TestTransport_SendsNothingToAHostThatDoesNotReadWhatIsNeeded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := open(t, 1, nil)
	s.SetFormats(saying(2, 2))
	s.SetPeers([]port.Peer{{ID: 2, URLs: []string{"http://" + l.Addr().String()}}})
	s.Send(2, port.Urgent, []byte("secret"))
	// answer accepts a connection and returns what comes on it after the greetings.
	answer := func(formats port.Formats, verdict Verdict) (byte, error) {
		t.Helper()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		g, err := readGreeting(conn)
		if err != nil || g.formats != saying(2, 2) {
			t.Fatalf("greeted with %+v, error %v", g, err)
		}
		host := greeting{version: protocolVersion, oldest: protocolOldest, verdict: verdict, formats: formats, cluster: testCluster, from: 2, to: 1}
		if _, err := conn.Write(host.encode()); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1)
		_, err = io.ReadFull(conn, b)
		return b[0], err
	}
	for _, formats := range []port.Formats{{}, saying(1, 1)} {
		if _, err := answer(formats, Welcome); !errors.Is(err, io.EOF) {
			t.Errorf("a host that says %+v is sent something, or the connection broke: %v", formats, err)
		}
	}
	if _, err := answer(saying(3, 3), WrongFormat); !errors.Is(err, io.EOF) {
		t.Errorf("a host that refuses is sent something, or the connection broke: %v", err)
	}
	if _, err := answer(saying(2, 1), Welcome); err != nil {
		t.Errorf("a host that reads what is needed is sent nothing: %v", err)
	}
	want := []told{{2, port.Formats{}}, {2, saying(1, 1)}, {2, saying(3, 3)}, {2, saying(2, 1)}}
	if got := s.inbox.told(); !slices.Equal(got, want) {
		t.Errorf("told %+v, want %+v", got, want)
	}
	if s.log.count("a newer build of detcd is needed there") == 0 {
		t.Errorf("what to do is not in the log: %q", s.log.all())
	}
}
