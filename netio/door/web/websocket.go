package web

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// socketHandshake bounds the writing of the answer to an upgrade.
	socketHandshake = 10 * time.Second
	// socketGrace is how long a websocket may take over its last words when the doors close.
	socketGrace = 500 * time.Millisecond
)

// withWebsockets serves the gateway's routes as websockets, too, as etcd does (it wraps its gateway with grpc-websocket-proxy, whose
// conventions these are): one JSON message a frame, in both directions; the method is POST whatever the request's is; a token may come
// as the subprotocols "Bearer, TOKEN" or in a cookie named token, since browsers can't set headers here. That proxy reads frames of any
// size into memory, forwards no token of a client that can set headers, and leaves by dropping the connection; so it was not taken.
func (s *Server) withWebsockets(next http.Handler) http.Handler {
	upgrader := websocket.Upgrader{HandshakeTimeout: socketHandshake, CheckOrigin: s.allowsSocket}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !websocket.IsWebSocketUpgrade(r) {
			next.ServeHTTP(w, r)
			return
		}
		// Close waits for sockets, which http.Server has no part in any more.
		s.mu.Lock()
		if s.ending.Err() != nil {
			s.mu.Unlock()
			http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
			return
		}
		s.sockets.Add(1)
		s.mu.Unlock()
		defer s.sockets.Done()
		header := http.Header{}
		if strings.HasPrefix(r.Header.Get("Sec-WebSocket-Protocol"), "Bearer") {
			header.Set("Sec-WebSocket-Protocol", "Bearer")
		}
		conn, err := upgrader.Upgrade(w, r, header)
		if err != nil {
			return // it has answered
		}
		defer conn.Close()
		s.serveSocket(conn, r, next)
	})
}

// serveSocket has next answer one request whose body are the frames of conn.
func (s *Server) serveSocket(conn *websocket.Conn, r *http.Request, next http.Handler) {
	conn.SetReadLimit(jsonFactor * int64(s.config.MessageBytes))
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ending, func() {
		time.AfterFunc(socketGrace, func() { conn.NetConn().Close() })
	})()
	body, messages := io.Pipe()
	received := make(chan struct{})
	go func() {
		defer close(received)
		defer cancel()
		receiveFrames(conn, messages, endless[r.URL.Path])
	}()
	next.ServeHTTP(&socketAnswer{conn: conn, header: http.Header{}}, socketRequest(r, body).WithContext(ctx))
	_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(socketGrace))
	conn.Close()
	body.Close()
	<-received
}

// receiveFrames copies messages until the connection ends. Routes that take a single message get no more, so that they begin.
func receiveFrames(conn *websocket.Conn, to *io.PipeWriter, many bool) {
	defer to.Close()
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		// Once the handler is done, or has its one message, writing fails; the client is listened to all the same, until it goes.
		if _, err := to.Write(append(message, '\n')); err == nil && !many {
			to.Close()
		}
	}
}

// socketRequest is r as the gateway takes it.
func socketRequest(r *http.Request, body io.ReadCloser) *http.Request {
	n := r.Clone(r.Context())
	n.Method, n.Body, n.ContentLength = http.MethodPost, body, -1
	for name := range n.Header {
		if name == "Connection" || name == "Upgrade" || strings.HasPrefix(name, "Sec-Websocket-") {
			delete(n.Header, name)
		}
	}
	if _, t, ok := strings.Cut(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), "Bearer,"); ok {
		n.Header.Set("Authorization", "Bearer "+strings.TrimSpace(t))
	}
	if c, err := r.Cookie("token"); err == nil {
		n.Header.Set("Authorization", "Bearer "+c.Value)
	}
	return n
}

// socketAnswer turns each write of a handler, which is one line, into a frame.
type socketAnswer struct {
	conn   *websocket.Conn
	header http.Header
}

// Header implements http.ResponseWriter. A frame has none.
func (a *socketAnswer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. The status has no place to go either: errors hold their code.
func (a *socketAnswer) WriteHeader(int) {}

// Flush implements http.Flusher: frames leave at once.
func (a *socketAnswer) Flush() {}

// Write implements http.ResponseWriter.
func (a *socketAnswer) Write(p []byte) (int, error) {
	message := bytes.TrimSuffix(p, []byte("\n"))
	if len(message) == 0 {
		return len(p), nil
	}
	return len(p), a.conn.WriteMessage(websocket.TextMessage, message)
}
