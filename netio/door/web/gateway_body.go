package web

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// jsonFactor is how much larger a request may be as JSON than as a message: base64 makes bytes larger by a third, and names and white space come on top. A larger
// request is cut off here. A smaller one may still be too large as a message, and then gets gRPC's own error.
const jsonFactor = 3

// bodyTimeout is how long the body of a request that is a single message may stall. Only tests change it.
var bodyTimeout = time.Minute

// requestBody is the body of a gateway's request, within bounds. It belongs to one reader at a time.
type requestBody struct {
	body    io.ReadCloser
	control *http.ResponseController
	// limit bounds the bytes of one message, about: what is read ahead counts too. left is what is left of it.
	limit, left int64
	// endless bodies bring message after message, and may be silent for as long as they like.
	endless bool
	ended   atomic.Bool
	cancel  context.CancelFunc
	failure atomic.Pointer[status.Status]
}

// bodyKey is the key of a request's requestBody in its context.
type bodyKey struct{}

// newRequestBody bounds the body of r, whose answer goes to w. The request returned ends with its context, at the latest with cancel.
func newRequestBody(w http.ResponseWriter, r *http.Request, limit int64) (request *http.Request, b *requestBody) {
	b = &requestBody{body: r.Body, control: http.NewResponseController(w), limit: limit, left: limit}
	b.ended.Store(r.Body == http.NoBody)
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), bodyKey{}, b))
	b.cancel = cancel
	request = r.WithContext(ctx)
	request.Body = b
	return request, b
}

// fail ends the request. The first reason is the answer. The context's cause can't tell the reason: net/http itself ends the context of a request whose body can't be
// read, and does so earlier.
func (b *requestBody) fail(s *status.Status) {
	b.failure.CompareAndSwap(nil, s)
	b.cancel()
}

// failed is why the request with that context was given up; nil: it was not.
func failed(ctx context.Context) *status.Status {
	b, ok := ctx.Value(bodyKey{}).(*requestBody)
	if !ok {
		return nil
	}
	return b.failure.Load()
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.tooLarge()
	}
	if !b.endless && !b.ended.Load() {
		b.expire(time.Now().Add(bodyTimeout))
	}
	n, err := b.body.Read(p)
	b.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF):
		b.ended.Store(true)
		if !b.endless {
			// The connection is read on, to notice when the client goes.
			b.expire(time.Time{})
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.fail(status.New(codes.DeadlineExceeded, "request body stalled"))
	case err != nil:
		b.fail(b.unreadable(err))
	case b.left < 0:
		return 0, b.tooLarge()
	}
	return n, err
}

// unreadable is the answer to a body that can't be read to its end. A client that sends no proper body, or less than it announced, made a mistake, and is told which
// one, in net/http's words, as by etcd. A client that went away has cancelled its request. So has one whose stream of messages broke off: such a stream
// announces no length.
func (b *requestBody) unreadable(err error) *status.Status {
	var network net.Error
	gone := errors.As(err, &network) || errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrBodyReadAfterClose) || errors.Is(err, io.ErrClosedPipe)
	if gone || b.endless && errors.Is(err, io.ErrUnexpectedEOF) {
		return status.Newf(codes.Canceled, "request body broke off: %v", err)
	}
	return status.New(codes.InvalidArgument, err.Error())
}

func (b *requestBody) tooLarge() error {
	// gRPC's code for a message above its limit, as the client would have got it.
	s := status.Newf(codes.ResourceExhausted, "request body larger than max (%d bytes)", b.limit)
	b.fail(s)
	return s.Err()
}

// expire sets the deadline of reading. Only the handler's own goroutine may call it: net/http sets deadlines, too, once the handler has returned. For a websocket it
// fails, which does no harm: nobody waits for one.
func (b *requestBody) expire(at time.Time) { _ = b.control.SetReadDeadline(at) }

// Close implements io.Closer.
func (b *requestBody) Close() error { return b.body.Close() }

// next begins a message.
func (b *requestBody) next() { b.left = b.limit }
