package web

import (
	"net/http"
	"time"
)

// endless are the routes whose request is a stream of messages, which may go on for as long as its answer.
var endless = map[string]bool{"/v3/watch": true, "/v3/lease/keepalive": true}

// abandonGrace is how long what a client still sends is read over once its answer has ended, so that the answer reaches it.
const abandonGrace = 250 * time.Millisecond

// duplexAnswer is the answer to a request that may go on meanwhile. net/http would read such a request to its end first. It can be told
// not to, but then its connection must not be used again unless the request has ended in time: net/http loses its place
// in the bytes.
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

// end bounds how long the rest of the request is read over. The handler has returned.
func (a *duplexAnswer) end() {
	a.begin()
	if !a.body.ended.Load() {
		a.body.expire(time.Now().Add(abandonGrace))
	}
}
