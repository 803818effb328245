package web

import (
	"net/http"
	"time"
)

// endless are the routes whose request is a stream of messages, which may go on for as long as its answer.
var endless = map[string]bool{"/v3/watch": true, "/v3/lease/keepalive": true}

// abandonGrace is how long the server reads on, and throws away what it reads, once the answer has ended. A client that still sends would else lose the answer.
const abandonGrace = 250 * time.Millisecond

// duplexAnswer is an answer that may begin before its request has ended. net/http would read such a request to its end first. It can be told not to. But then the
// connection must not be used for another request, unless this one has ended in time: net/http loses its place in the bytes.
type duplexAnswer struct {
	http.ResponseWriter
	body  *requestBody
	begun bool
}

func newDuplexAnswer(w http.ResponseWriter, body *requestBody) *duplexAnswer {
	// This fails for a websocket, which has no such order.
	_ = body.control.EnableFullDuplex()
	return &duplexAnswer{ResponseWriter: w, body: body}
}

// Unwrap lets http.ResponseController flush.
func (a *duplexAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *duplexAnswer) WriteHeader(code int) {
	a.begin()
	a.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (a *duplexAnswer) Write(p []byte) (int, error) {
	a.begin()
	return a.ResponseWriter.Write(p)
}

func (a *duplexAnswer) begin() {
	if !a.begun && !a.body.ended.Load() {
		a.Header().Set("Connection", "close")
	}
	a.begun = true
}

// end bounds how long the rest of the request is read and thrown away. The handler has returned.
func (a *duplexAnswer) end() {
	a.begin()
	if !a.body.ended.Load() {
		a.body.expire(time.Now().Add(abandonGrace))
	}
}
