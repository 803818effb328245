package doortest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Connection is one HTTP/1.1 connection whose bytes a test sees.
type Connection struct {
	net.Conn
	t testing.TB
	// R is what comes.
	R *bufio.Reader
}

// Connect opens one, until the test ends.
func Connect(t testing.TB, address string) *Connection {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return &Connection{Conn: c, t: t, R: bufio.NewReader(c)}
}

// Post sends the head of a request, and its body unless that is to come in chunks.
func (c *Connection) Post(path string, body string, header ...string) {
	c.t.Helper()
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for _, h := range header {
		if strings.HasPrefix(h, "Transfer-Encoding") {
			length = ""
		}
		if h != "" {
			length += h + "\r\n"
		}
	}
	c.Send("POST " + path + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body)
}

// Send sends text as it is.
func (c *Connection) Send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// Head reads the head of an answer.
func (c *Connection) Head() (status string, header map[string]string) {
	c.t.Helper()
	status, header = c.lineOf(), map[string]string{}
	for {
		line := c.lineOf()
		if line == "" {
			return strings.TrimPrefix(status, "HTTP/1.1 "), header
		}
		name, value, _ := strings.Cut(line, ": ")
		header[name] = value
	}
}

func (c *Connection) lineOf() string {
	c.t.Helper()
	line, err := c.R.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimRight(line, "\r\n")
}

// Chunk reads one chunk of an answer; the last one is empty.
func (c *Connection) Chunk() string {
	c.t.Helper()
	var n int
	if _, err := fmt.Sscanf(c.lineOf(), "%x", &n); err != nil {
		c.t.Fatal(err)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(c.R, b); err != nil {
		c.t.Fatal(err)
	}
	return string(b[:n])
}

// Answered posts body and returns what comes back.
func Answered(t testing.TB, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// Socket opens a websocket; the answer is what the server said to the upgrade.
func Socket(t testing.TB, url string, header http.Header, protocols ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: 10 * time.Second}
	c, resp, err := dialer.Dial(url, header)
	if err == nil {
		t.Cleanup(func() { c.Close() })
		c.SetReadDeadline(time.Now().Add(30 * time.Second))
	}
	return c, resp, err
}

// OpenSocket opens a websocket, until the test ends.
func OpenSocket(t testing.TB, url string) *websocket.Conn {
	t.Helper()
	c, _, err := Socket(t, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Say sends a frame.
func Say(t testing.TB, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// Hear receives a frame.
func Hear(t testing.TB, c *websocket.Conn) string {
	t.Helper()
	kind, b, err := c.ReadMessage()
	if err != nil || kind != websocket.TextMessage {
		t.Fatalf("message of kind %d, error %v", kind, err)
	}
	return string(b)
}

// Closes checks that the server leaves in good manners.
func Closes(t testing.TB, c *websocket.Conn) {
	t.Helper()
	if _, b, err := c.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("message %q, error %v; want a normal closure", b, err)
	}
}

// SocketGoroutines is how many goroutines serve websockets or gateway streams.
func SocketGoroutines() int {
	b := make([]byte, 1<<20)
	b = b[:runtime.Stack(b, true)]
	return strings.Count(string(b), "web.receiveFrames") + strings.Count(string(b), "serveSocket") + strings.Count(string(b), "gw.request_")
}
