package web

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/detcd/detcd/netio/door/doortest"
)

const created = `{"result":{"watch_id":"1","created":true}}` + "\n"

func TestGateway_EachObjectOfAStreamIsOneChunk(t *testing.T) {
	s, address, _ := fronted(t, nil)
	c := doortest.Connect(t, address)
	c.Post("/v3/watch", `{"create_request":{"key":"bGFyZ2U="}}`)
	if status, header := c.Head(); status != "200 OK" || header["Transfer-Encoding"] != "chunked" || header["Content-Type"] != "application/json" {
		t.Errorf("%s %v", status, header)
	}
	if got := c.Chunk(); got != created {
		t.Errorf("first %q", got)
	}
	got := c.Chunk()
	if !strings.HasPrefix(got, `{"result":{"watch_id":"1","events":[{"kv":{"key":"bGFyZ2U=","value":"AAAA`) || !strings.HasSuffix(got, "\n") || len(got) < 1<<20 {
		t.Errorf("a large object of %d bytes came as %.100q", len(got), got)
	}
	// The request has ended; the watch goes on until its client does.
	select {
	case <-s.ended:
		t.Error("the watch ended by itself")
	default:
	}
	c.Close()
	<-s.ended
}

func TestGateway_AStreamAnswersWhileItsRequestGoesOn(t *testing.T) {
	s, address, _ := fronted(t, nil)
	c := doortest.Connect(t, address)
	c.Post("/v3/watch", "", "Transfer-Encoding: chunked")
	for i, key := range []string{"YQ", "Yg", "Yw"} {
		message := `{"create_request":{"key":"` + key + `"}}`
		c.Send(fmt.Sprintf("%x\r\n%s\r\n", len(message), message))
		if i == 0 {
			c.Head()
		}
		if got, want := c.Chunk(), strings.Replace(created, `"1"`, fmt.Sprintf(`"%d"`, i+1), 1); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	c.Close()
	<-s.ended
}

func TestGateway_KeepAliveEndsWithItsRequest(t *testing.T) {
	_, address, _ := fronted(t, nil)
	c := doortest.Connect(t, address)
	// Twice on one connection: the answer has an end that leaves it usable.
	for range 2 {
		c.Post("/v3/lease/keepalive", `{"ID":7}{"ID":"8"}`)
		if status, _ := c.Head(); status != "200 OK" {
			t.Error(status)
		}
		for _, want := range []string{`{"result":{"ID":"7","TTL":"10"}}` + "\n", `{"result":{"ID":"8","TTL":"10"}}` + "\n", ""} {
			if got := c.Chunk(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
}

func TestGateway_StreamsThatFail(t *testing.T) {
	_, address, _ := fronted(t, nil)
	for _, c := range []struct{ path, body, want string }{
		// Both forms of a stream's error: grpc_code, http_code and http_status of older gateways, code and details of newer ones.
		{"/v3/lease/keepalive", `{"ID":1}{"ID":100}`, `200 {"result":{"ID":"1","TTL":"10"}}` + "\n" +
			`{"error":{"grpc_code":5,"http_code":404,"message":"etcdserver: requested lease not found","http_status":"Not Found","code":5,"details":[]}}` + "\n"},
		{"/v3/lease/keepalive", `{"ID":100}`,
			`404 {"error":{"grpc_code":5,"http_code":404,"message":"etcdserver: requested lease not found","http_status":"Not Found","code":5,"details":[]}}` + "\n"},
		{"/v3/watch", `{"create_request":{"key":"ZmFpbHM="}}`, "200 " + created +
			`{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader","http_status":"Service Unavailable","code":14,"details":[]}}` + "\n"},
		// Stock etcd takes what it can't read for the end of the requests, and says nothing, a watch for ever.
		{"/v3/watch", `{"create_request":{"key":"!!!"}}`, `400 {"error":{"grpc_code":3,"http_code":400,` +
			`"message":"proto: (line 1:26): invalid value for bytes field key: \"!!!\"","http_status":"Bad Request","code":3,"details":[]}}` + "\n"},
		{"/v3/watch", `{"create_request":`,
			`400 {"error":{"grpc_code":3,"http_code":400,"message":"unexpected EOF","http_status":"Bad Request","code":3,"details":[]}}` + "\n"},
		{"/v3/election/observe", `{"name":"ZQ=="}`, `200 {"result":{"kv":{"key":"ZQ==","version":"1"}}}` + "\n" + `{"result":{"kv":{"key":"ZQ==","version":"2"}}}` + "\n"},
		{"/v3/election/observe", `{`, `400 {"error":"unexpected EOF","grpc_code":3,"code":3,"message":"unexpected EOF","details":[]}`},
	} {
		resp, text := doortest.Answered(t, "http://"+address+c.path, c.body)
		// The library's messages begin with a space of either kind, by a whim of each build.
		text = strings.ReplaceAll(text, "\u00a0", " ")
		if got := fmt.Sprintf("%d %s", resp.StatusCode, text); got != c.want {
			t.Errorf("%s %s:\n got %s\nwant %s", c.path, c.body, got, c.want)
		}
	}
}

func TestGateway_AnswersThatEndBeforeTheirRequest(t *testing.T) {
	_, address, _ := fronted(t, nil)
	for _, c := range []struct {
		body, header string
		closes       bool
	}{
		{`nonsense`, "", false},
		{`nonsense` + strings.Repeat(" ", 100000), "", true},
		{"8\r\nnonsense\r\n", "Transfer-Encoding: chunked", true}, // and no end
	} {
		conn := doortest.Connect(t, address)
		for range 2 {
			conn.Post("/v3/watch", c.body, c.header)
			status, header := conn.Head()
			if status != "400 Bad Request" || (header["Connection"] == "close") != c.closes {
				t.Errorf("%.20q: %s %v", c.body, status, header)
			}
			for conn.Chunk() != "" {
			}
			if c.closes {
				if b, err := conn.R.ReadByte(); err != io.EOF {
					t.Errorf("%.20q: byte %q, error %v; want the connection's end", c.body, b, err)
				}
				break
			}
		}
	}
}

func TestGateway_BodiesAreBounded(t *testing.T) {
	_, address, d := fronted(t, nil)
	limit := d.config.MessageBytes
	_, text := doortest.Answered(t, "http://"+address+"/v3/kv/put", `{"key":"YQ","value":"`+strings.Repeat("AAAA", limit/4)+`"}`)
	if want := fmt.Sprintf(`{"prev_kv":{"key":"YQ==","version":"%d"}}`, limit/4*3); text != want {
		t.Errorf("a value below the limit: %.200s", text)
	}
	resp, text := doortest.Answered(t, "http://"+address+"/v3/kv/put", `{"key":"YQ","value":"`+strings.Repeat("AAAA", limit/3+10)+`"}`)
	if resp.StatusCode != http.StatusTooManyRequests || !strings.Contains(text, `"code":8,"message":"grpc: received message larger than max (`) {
		t.Errorf("a value above gRPC's limit: %d %.200s", resp.StatusCode, text)
	}
	for _, start := range []string{`{"key":"`, `{} `, `   `, `"`} {
		for _, path := range []string{"/v3/kv/put", "/v3/watch"} {
			if path == "/v3/watch" && start == `{} ` {
				continue // messages and what is between them may go on for ever
			}
			c := doortest.Connect(t, address)
			c.Post(path, "", "Transfer-Encoding: chunked")
			go func() {
				filler := strings.Repeat(start[len(start)-1:], 1<<16)
				if start[0] != ' ' && start[len(start)-1] == '"' {
					filler = strings.Repeat("A", 1<<16)
				}
				fmt.Fprintf(c, "%x\r\n%s\r\n", len(start), start)
				for {
					if _, err := fmt.Fprintf(c, "%x\r\n%s\r\n", len(filler), filler); err != nil {
						return
					}
				}
			}()
			if status, _ := c.Head(); status != "429 Too Many Requests" {
				t.Errorf("%s with an endless body that begins with %q: %s", path, start, status)
			}
			c.Close()
		}
	}
}

func TestGateway_ASlowReaderHoldsBackItsStreamAlone(t *testing.T) {
	s, address, _ := fronted(t, nil)
	slow := doortest.Connect(t, address)
	slow.Post("/v3/watch", `{"create_request":{"key":"Zmxvb2Q="}}`)
	slow.Head()
	slow.Chunk()
	for range 100 {
		if resp, text := doortest.Answered(t, "http://"+address+"/v3/kv/put", `{"key":"YQ=="}`); resp.StatusCode != http.StatusOK {
			t.Fatal(text)
		}
	}
	slow.Close()
	<-s.ended
}

func TestGateway_TokensAndMetadata(t *testing.T) {
	s, address, _ := fronted(t, nil)
	for _, c := range []struct{ header, key, want string }{
		{"Authorization: abc", "token", "abc"},
		{"Authorization: abc", "authorization", "abc"},
		{"Authorization: Bearer abc", "token", "abc"},
		{"Authorization: Bearer abc", "authorization", "Bearer abc"},
		{"Grpc-Metadata-hasleader: true", "hasleader", "true"},
		{"Grpc-Metadata-token: abc", "token", "abc"},
		{"X-Other: abc", "token", ""},
	} {
		if resp, text := doortest.Answered(t, "http://"+address+"/v3/kv/put", `{}`, c.header); resp.StatusCode != http.StatusOK {
			t.Error(text)
		}
		if got := s.saw(c.key); got != c.want {
			t.Errorf("%s: %s is %q, want %q", c.header, c.key, got, c.want)
		}
	}
}

func TestGateway_OlderPaths(t *testing.T) {
	_, address, _ := fronted(t, nil)
	for _, prefix := range []string{"/v3", "/v3beta", "/v3alpha"} {
		if resp, text := doortest.Answered(t, "http://"+address+prefix+"/lease/keepalive", `{"ID":7}`); text != `{"result":{"ID":"7","TTL":"10"}}`+"\n" {
			t.Errorf("%s: %d %s", prefix, resp.StatusCode, text)
		}
	}
	if resp, _ := doortest.Answered(t, "http://"+address+"/v3gamma/lease/keepalive", `{"ID":7}`); resp.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown prefix: %s", resp.Status)
	}
}
