package web

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/detcd/detcd/netio/door/doortest"
)

func TestWebsocket_Watch(t *testing.T) {
	s, address, _ := fronted(t, nil)
	c := doortest.OpenSocket(t, "ws://"+address+"/v3/watch")
	doortest.Say(t, c, `{"create_request":{"key":"YQ"}}`)
	if got := doortest.Hear(t, c); got+"\n" != created {
		t.Errorf("got %s", got)
	}
	// A message may take several lines, and a frame hold several messages.
	doortest.Say(t, c, "{\n\"create_request\":\n{\"key\":\"YQ\"}}{\"create_request\":{\"key\":\"bGFyZ2U\"}}")
	for _, want := range []string{`{"result":{"watch_id":"2","created":true}}`, `{"result":{"watch_id":"3","created":true}}`} {
		if got := doortest.Hear(t, c); got != want {
			t.Errorf("got %s", got)
		}
	}
	if got := doortest.Hear(t, c); len(got) < 1<<20 || !strings.HasSuffix(got, "}") {
		t.Errorf("a large event came as a frame of %d bytes", len(got))
	}
	c.Close()
	<-s.ended
}

func TestWebsocket_OtherRoutes(t *testing.T) {
	_, address, _ := fronted(t, nil)
	keepAlive := doortest.OpenSocket(t, "ws://"+address+"/v3beta/lease/keepalive?method=PUT")
	for range 3 {
		doortest.Say(t, keepAlive, `{"ID":7}`)
		if got := doortest.Hear(t, keepAlive); got != `{"result":{"ID":"7","TTL":"10"}}` {
			t.Errorf("keep-alive: %s", got)
		}
	}
	doortest.Say(t, keepAlive, `{"ID":100}`)
	if got := doortest.Hear(t, keepAlive); !strings.Contains(got, `"grpc_code":5,"http_code":404`) {
		t.Errorf("keep-alive of no lease: %s", got)
	}
	doortest.Closes(t, keepAlive)

	observe := doortest.OpenSocket(t, "ws://"+address+"/v3/election/observe")
	doortest.Say(t, observe, `{"name":"ZQ=="}`)
	for _, want := range []string{`{"result":{"kv":{"key":"ZQ==","version":"1"}}}`, `{"result":{"kv":{"key":"ZQ==","version":"2"}}}`} {
		if got := doortest.Hear(t, observe); got != want {
			t.Errorf("observe: %s", got)
		}
	}
	doortest.Closes(t, observe)

	put := doortest.OpenSocket(t, "ws://"+address+"/v3/kv/put")
	doortest.Say(t, put, `{"key":"YQ","value":"YWE"}`)
	if got := doortest.Hear(t, put); got != `{"prev_kv":{"key":"YQ==","version":"2"}}` {
		t.Errorf("put: %s", got)
	}
	doortest.Closes(t, put)

	nowhere := doortest.OpenSocket(t, "ws://"+address+"/v3/nowhere")
	if got := doortest.Hear(t, nowhere); got != `{"error":"Not Found","grpc_code":5,"code":5,"message":"Not Found","details":[]}` {
		t.Errorf("an unknown path: %s", got)
	}
	doortest.Closes(t, nowhere)

	nonsense := doortest.OpenSocket(t, "ws://"+address+"/v3/watch")
	doortest.Say(t, nonsense, `nonsense`)
	if got := doortest.Hear(t, nonsense); !strings.Contains(got, `"grpc_code":3`) {
		t.Errorf("nonsense: %s", got)
	}
	doortest.Closes(t, nonsense)
}

func TestWebsocket_Tokens(t *testing.T) {
	s, address, _ := fronted(t, nil)
	for _, c := range []struct {
		header    http.Header
		protocols []string
	}{
		{protocols: []string{"Bearer", "abc"}},
		{header: http.Header{"Cookie": {"token=abc"}}},
		{header: http.Header{"Authorization": {"abc"}}},
		{header: http.Header{"Authorization": {"Bearer abc"}}},
	} {
		conn, resp, err := doortest.Socket(t, "ws://"+address+"/v3/watch", c.header, c.protocols...)
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Sec-WebSocket-Protocol"); (got == "Bearer") != (c.protocols != nil) {
			t.Errorf("%v: protocol %q", c, got)
		}
		doortest.Say(t, conn, `{"create_request":{}}`)
		doortest.Hear(t, conn)
		if got := s.saw("token"); got != "abc" {
			t.Errorf("%v: token %q", c, got)
		}
	}
}

func TestWebsocket_Origins(t *testing.T) {
	_, address, _ := fronted(t, func(c *Config) { c.CORS = []string{"http://good"} })
	for origin, want := range map[string]bool{"": true, "http://good": true, "http://" + address: true, "http://bad": false, "null": false} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		_, resp, err := doortest.Socket(t, "ws://"+address+"/v3/watch", header)
		if (err == nil) != want || !want && resp.StatusCode != http.StatusForbidden {
			t.Errorf("origin %q: %v", origin, err)
		}
	}
}

func TestWebsocket_LargeFramesAreRefused(t *testing.T) {
	_, address, d := fronted(t, nil)
	c := doortest.OpenSocket(t, "ws://"+address+"/v3/kv/put")
	// The server may close while this is on its way.
	_ = c.WriteMessage(websocket.TextMessage, make([]byte, jsonFactor*(d.config.MessageBytes)+1))
	if _, b, err := c.ReadMessage(); err == nil {
		t.Errorf("answered %s", b)
	}
}

func TestWebsocket_LeavesNothingBehind(t *testing.T) {
	s, address, _ := fronted(t, nil)
	session := func() {
		for _, path := range []string{"/v3/watch", "/v3/lease/keepalive", "/v3/election/observe", "/v3/kv/put", "/v3/nowhere"} {
			for _, abrupt := range []bool{true, false} {
				c := doortest.OpenSocket(t, "ws://"+address+path)
				doortest.Say(t, c, `{"create_request":{"key":"YQ"}}`)
				doortest.Hear(t, c)
				if abrupt {
					c.NetConn().Close()
				} else {
					c.Close()
				}
				if path == "/v3/watch" {
					<-s.ended
				}
			}
		}
		// One that never says anything, and one that does not listen.
		doortest.OpenSocket(t, "ws://"+address+"/v3/kv/put").Close()
		c := doortest.OpenSocket(t, "ws://"+address+"/v3/watch")
		doortest.Say(t, c, `{"create_request":{"key":"Zmxvb2Q="}}`)
		doortest.Hear(t, c)
		c.Close()
		<-s.ended
	}
	session()
	settled(t, func() bool { return doortest.SocketGoroutines() == 0 })
	for range 5 {
		session()
	}
	settled(t, func() bool { return doortest.SocketGoroutines() == 0 })
}

// settled waits until what holds eventually does.
func settled(t *testing.T, holds func() bool) {
	t.Helper()
	for start := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			b := make([]byte, 1<<20)
			t.Fatalf("still not so:\n%s", b[:runtime.Stack(b, true)])
		}
	}
}

func TestWebsocket_EndsWithTheDoors(t *testing.T) {
	_, address, d := fronted(t, nil)
	quiet := doortest.OpenSocket(t, "ws://"+address+"/v3/watch")
	deaf := doortest.OpenSocket(t, "ws://"+address+"/v3/watch")
	for _, c := range []*websocket.Conn{quiet, deaf} {
		doortest.Say(t, c, `{"create_request":{"key":"YQ"}}`)
		doortest.Hear(t, c)
	}
	doortest.Say(t, deaf, `{"create_request":{"key":"Zmxvb2Q="}}`)
	d.End()
	// The gRPC server of a door ends its streams when it closes; this test's does not, so grace has to run out.
	d.gateway.Close()
	for {
		if _, _, err := quiet.ReadMessage(); err != nil {
			break
		}
	}
	settled(t, func() bool { return doortest.SocketGoroutines() == 0 })
	if _, resp, err := doortest.Socket(t, "ws://"+address+"/v3/watch", nil); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a socket after closing: %v", err)
	}
}
