package listen

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"testing"
	"time"
)

// sorted runs a splitter whose queues answer each connection with their name and what they read of its first line.
func sorted(t *testing.T, config *tls.Config, plain bool) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewSplitter(l, config, plain, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	answer := func(q *Queue, name string) {
		for {
			c, err := q.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				line, _ := bufio.NewReader(c).ReadString('\n')
				io.WriteString(c, name+" "+line)
			}()
		}
	}
	go answer(s.HTTP, "http")
	go answer(s.GRPC, "grpc")
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return l.Addr().String()
}

func exchange(t *testing.T, c net.Conn, pieces ...string) string {
	t.Helper()
	defer c.Close()
	for _, p := range pieces {
		if _, err := io.WriteString(c, p); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSplitter_PlainConnectionsByTheirFirstBytes(t *testing.T) {
	address := sorted(t, nil, true)
	silent := dial(t, address)
	defer silent.Close()
	for _, c := range []struct {
		pieces []string
		want   string
	}{
		{[]string{string(preface), request(t, "application/grpc")}, settings + "grpc PRI * HTTP/2.0\r\n"},
		{[]string{"P", "R", "I * HTTP/2.0\r\n", "\r\nSM\r\n\r\n", request(t, "")}, settings + "http PRI * HTTP/2.0\r\n"},
		{[]string{"GET / HTTP/1.1\r\n"}, "http GET / HTTP/1.1\r\n"},
		{[]string{"P", "UT / HTTP/1.1\r\n"}, "http PUT / HTTP/1.1\r\n"},
		{[]string{"PRI * HTTP/1.1\r\n"}, "http PRI * HTTP/1.1\r\n"},
		{[]string{"\n"}, "http \n"},
	} {
		if got := exchange(t, dial(t, address), c.pieces...); got != c.want {
			t.Errorf("%q: %q, want %q", c.pieces, got, c.want)
		}
	}
}

func TestSplitter_SecureConnectionsByALPN(t *testing.T) {
	config := selfSigned(t)
	address := sorted(t, config, false)
	for _, c := range []struct {
		protocols []string
		send      string
		want      string
	}{
		{[]string{"h2"}, string(preface) + request(t, "application/grpc+proto"), settings + "grpc PRI * HTTP/2.0\r\n"},
		{[]string{"h2"}, string(preface) + request(t, "application/json"), settings + "http PRI * HTTP/2.0\r\n"},
		{[]string{"http/1.1"}, "x\n", "http x\n"},
		{[]string{"http/1.1", "h2"}, string(preface) + request(t, "application/grpc"), settings + "grpc PRI * HTTP/2.0\r\n"},
		{nil, "GET / HTTP/1.1\r\n", "http GET / HTTP/1.1\r\n"},
		{nil, string(preface) + request(t, "application/grpc"), settings + "grpc PRI * HTTP/2.0\r\n"},
	} {
		conn := tls.Client(dial(t, address), &tls.Config{InsecureSkipVerify: true, NextProtos: c.protocols})
		if got := exchange(t, conn, c.send); got != c.want {
			t.Errorf("ALPN %q: %q, want %q", c.protocols, got, c.want)
		}
	}
	c := dial(t, address)
	io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	if answer, _ := io.ReadAll(c); len(answer) > 0 && answer[0] == 'h' {
		t.Errorf("plain text was served on a secure port: %q", answer)
	}
}

func TestSplitter_BothKindsOnOnePort(t *testing.T) {
	address := sorted(t, selfSigned(t), true)
	if got := exchange(t, dial(t, address), "GET / HTTP/1.1\r\n"); got != "http GET / HTTP/1.1\r\n" {
		t.Errorf("plain: %q", got)
	}
	conn := tls.Client(dial(t, address), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if got := exchange(t, conn, "x\n"); got != "http x\n" {
		t.Errorf("secure: %q", got)
	}
}

func TestSplitter_CloseDropsSilentConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewSplitter(l, nil, true, nil)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	c := dial(t, l.Addr().String())
	io.WriteString(c, "PRI *")
	// Once another connection was sorted, the first one has been accepted.
	go io.WriteString(dial(t, l.Addr().String()), "GET")
	if _, err := s.HTTP.Accept(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := <-served; err != net.ErrClosed {
		t.Errorf("Serve returned %v", err)
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the silent connection is still open: %v", err)
	}
	if _, err := s.GRPC.Accept(); err != net.ErrClosed {
		t.Errorf("Accept after Close: %v", err)
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

func TestOpen_UnixSocketReplacesWhatWasLeftBehind(t *testing.T) {
	u := url.URL{Scheme: "unix", Path: filepath.Join(t.TempDir(), "s")}
	for range 2 {
		l, err := Open(u, Options{})
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
	}
}

func TestSocketPath(t *testing.T) {
	for text, want := range map[string]string{
		"unix:///tmp/a.sock":   "/tmp/a.sock",
		"unix:/tmp/a.sock":     "/tmp/a.sock",
		"unixs:a.sock":         "a.sock",
		"unix://localhost:123": "localhost:123",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := SocketPath(*u); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestPipe(t *testing.T) {
	q := NewPipe()
	go func() {
		c, err := q.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, "hello")
		c.Close()
	}()
	c, err := q.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); string(b) != "hello" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	q.Close()
	if _, err := q.Dial(context.Background()); err != net.ErrClosed {
		t.Errorf("Dial after Close: %v", err)
	}
}

func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
