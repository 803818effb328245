package door

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/detcd/detcd/netio/door/doortest"
	"github.com/detcd/detcd/node/call"
)

// What this file tests needs the services of a whole door behind the gateway, where front_test.go has stand-ins.

func TestGateway_AWatchTellsWhatHappens(t *testing.T) {
	ours, theirs := seenOfAKey(t, opened(t, doortest.NewSingle(), nil)), ""
	if *reference != "" {
		theirs = seenOfAKey(t, *reference)
	}
	// The revisions of a store that other tests have used differ.
	for _, want := range []string{`"created":true}}`, `"version":"1","value":"MQ=="}}]}}`, `"type":"DELETE","kv":{"key":"d2F0Y2g=",`} {
		if !strings.Contains(ours, want) {
			t.Errorf("no %s in:\n%s", want, ours)
		}
		if *reference != "" && !strings.Contains(theirs, want) {
			t.Errorf("no %s in etcd's:\n%s", want, theirs)
		}
	}
}

// seenOfAKey is what a watcher of a key sees, over HTTP and over a websocket alike: that it is there, a put and a delete.
func seenOfAKey(t *testing.T, address string) string {
	t.Helper()
	const create = `{"create_request":{"key":"d2F0Y2g="}}`
	resp, err := http.Post("http://"+address+"/v3/watch", "application/json", strings.NewReader(create))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	conn := doortest.OpenSocket(t, "ws://"+address+"/v3/watch")
	doortest.Say(t, conn, create)
	var all strings.Builder
	see := func() {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if frame := doortest.Hear(t, conn); frame+"\n" != line {
			t.Errorf("a frame says %s, a line %s", frame, line)
		}
		all.WriteString(line)
	}
	see()
	for _, request := range []string{"put", "deleterange"} {
		if resp, text := doortest.Answered(t, "http://"+address+"/v3/kv/"+request, `{"key":"d2F0Y2g=","value":"MQ=="}`); resp.StatusCode != http.StatusOK {
			t.Fatal(text)
		}
		see()
	}
	return all.String()
}

func TestGateway_StreamsEndWithTheDoors(t *testing.T) {
	d, err := New(Config{Limits: call.DefaultLimits(), MaxConcurrentStreams: 1000, Gateway: true}, doortest.NewSingle())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.Serve(l, nil, true, All)
	c := doortest.Connect(t, l.Addr().String())
	c.Post("/v3/watch", `{"create_request":{"key":"YQ=="}}`)
	c.Head()
	c.Chunk()
	conn := doortest.OpenSocket(t, "ws://"+l.Addr().String()+"/v3/watch")
	doortest.Say(t, conn, `{"create_request":{"key":"YQ=="}}`)
	doortest.Hear(t, conn)
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
	const stopped = `{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: server stopped","http_status":"Service Unavailable","code":14,"details":[]}}`
	if got := c.Chunk(); got != stopped+"\n" {
		t.Errorf("a stream ended with %q", got)
	}
	if got := c.Chunk(); got != "" {
		t.Errorf("and with %q", got)
	}
	if b, err := c.R.ReadByte(); err != io.EOF {
		t.Errorf("byte %q, error %v; want the connection's end", b, err)
	}
	if got := doortest.Hear(t, conn); got != stopped {
		t.Errorf("a websocket ended with %s", got)
	}
	doortest.Closes(t, conn)
	if n := doortest.SocketGoroutines(); n != 0 {
		t.Errorf("%d goroutines of the gateway are left", n)
	}
}
