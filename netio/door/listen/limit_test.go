package listen

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestLimit_BoundsTheConnectionsOfAllItsListeners(t *testing.T) {
	refused := make(chan net.Addr, 10)
	limit := NewLimit(2, func(c net.Conn) { refused <- c.RemoteAddr() })
	var listeners []net.Listener
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		listeners = append(listeners, limit.Listener(l))
	}
	connect := func(l net.Listener) (client, server net.Conn) {
		t.Helper()
		client = dial(t, l.Addr().String())
		t.Cleanup(func() { client.Close() })
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return client, server
	}
	_, first := connect(listeners[0])
	connect(listeners[1])
	accepted := make(chan net.Conn)
	go func() {
		c, err := listeners[0].Accept()
		if err == nil {
			accepted <- c
		}
	}()
	third := dial(t, listeners[0].Addr().String())
	defer third.Close()
	third.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := third.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("a connection beyond the limit: %v", err)
	}
	if from := <-refused; from.String() != third.LocalAddr().String() {
		t.Errorf("refused was %v, want %v", from, third.LocalAddr())
	}
	// One that is closed, be it twice, makes room for one.
	first.Close()
	first.Close()
	fourth := dial(t, listeners[0].Addr().String())
	defer fourth.Close()
	go io.WriteString(fourth, "x")
	if b, err := io.ReadAll(io.LimitReader(<-accepted, 1)); string(b) != "x" || err != nil {
		t.Errorf("%q, error %v", b, err)
	}
	if n := limit.open.Load(); n != 2 {
		t.Errorf("%d connections are counted, 2 are open", n)
	}
}
