package listen

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// settings is the server's first word on an HTTP/2 connection, answer a client's answer to such a frame.
const (
	settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	answer   = "\x00\x00\x00\x04\x01\x00\x00\x00\x00"
)

// frames are what write makes.
func frames(t *testing.T, write func(f *http2.Framer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(http2.NewFramer(&b, nil)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// hello is what a client says of itself before its first request.
func hello(t *testing.T) string {
	t.Helper()
	return frames(t, func(f *http2.Framer) error {
		if err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}); err != nil {
			return err
		}
		return f.WriteWindowUpdate(0, 1<<20)
	})
}

// request is the head of a request with that content type, in two frames.
func request(t *testing.T, contentType string) string {
	t.Helper()
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "x"}, {"content-type", contentType}} {
		if h[1] == "" {
			continue
		}
		if err := e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			t.Fatal(err)
		}
	}
	return frames(t, func(f *http2.Framer) error {
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes()[:5]}); err != nil {
			return err
		}
		return f.WriteContinuation(1, true, block.Bytes()[5:])
	})
}

func data(t *testing.T, text string) string {
	t.Helper()
	return frames(t, func(f *http2.Framer) error { return f.WriteData(1, true, []byte(text)) })
}

// Whoever gets a connection reads what the client sent, but for the client's answer to the frame that its server did not send.
func TestFirstRequest_DecidesWhoGetsTheConnectionAndLeavesNoTrace(t *testing.T) {
	grpc, plain := request(t, "application/grpc"), request(t, "text/plain")
	for _, c := range []struct {
		name string
		// sent and read are after the preface.
		sent []string
		grpc bool
		read string
	}{
		{"asks at once", []string{hello(t) + grpc, answer, data(t, "abc"), answer}, true, hello(t) + grpc + data(t, "abc") + answer},
		{"answers first", []string{hello(t), answer, plain, data(t, "abc"), answer, answer}, false, hello(t) + plain + data(t, "abc") + answer + answer},
		{"answers in the middle of much", []string{plain, data(t, string(make([]byte, 9000))), answer, data(t, "abc"), answer}, false,
			plain + data(t, string(make([]byte, 9000))) + data(t, "abc") + answer},
		{"byte by byte", append(bytewise(hello(t)+answer+grpc+data(t, "")), "rest"), true, hello(t) + grpc + data(t, "") + "rest"},
		{"no type", []string{request(t, "")}, false, request(t, "")},
		{"a type that begins alike", []string{request(t, "application/grpc-web")}, false, request(t, "application/grpc-web")},
		{"no frame", []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n"}, true, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			client := dial(t, l.Addr().String())
			defer client.Close()
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			if err := server.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			go func() {
				for _, s := range c.sent {
					io.WriteString(client, s)
				}
				client.(*net.TCPConn).CloseWrite()
			}()
			sorted, grpc, err := firstRequest(server)
			if err != nil || grpc != c.grpc {
				t.Fatalf("gRPC: %v, error %v", grpc, err)
			}
			got, err := io.ReadAll(sorted)
			if want := string(preface) + c.read; string(got) != want || err != nil {
				t.Errorf("read %q, error %v, want %q", got, err, want)
			}
			server.(*net.TCPConn).CloseWrite()
			if said, err := io.ReadAll(client); string(said) != settings || err != nil {
				t.Errorf("the client was told %q, error %v", said, err)
			}
		})
	}
}

// A client that connects long before it asks must not be taken for one of HTTP, nor be cut off.
func TestFirstRequest_WhoOnlyConnectsIsTakenForGRPC(t *testing.T) {
	before := firstRequestTimeout
	firstRequestTimeout = time.Millisecond
	defer func() { firstRequestTimeout = before }()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	go func() {
		io.ReadFull(client, make([]byte, len(settings)))
		io.WriteString(client, hello(t)[:11])
	}()
	sorted, grpc, err := firstRequest(server)
	if err != nil || !grpc {
		t.Fatalf("gRPC: %v, error %v", grpc, err)
	}
	if err := server.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go func() {
		io.WriteString(client, hello(t)[11:]+answer+request(t, "application/grpc"))
		client.Close()
	}()
	got, err := io.ReadAll(sorted)
	if want := string(preface) + hello(t) + request(t, "application/grpc"); string(got) != want || err != nil {
		t.Errorf("read %q, error %v, want %q", got, err, want)
	}
}

func bytewise(s string) (all []string) {
	for i := range len(s) {
		all = append(all, s[i:i+1])
	}
	return all
}
