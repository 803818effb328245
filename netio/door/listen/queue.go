package listen

import (
	"context"
	"net"
	"sync"
)

// Queue is a net.Listener whose connections are handed in: those of a Splitter, or those dialled within the process.
type Queue struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	addr   net.Addr
}

func newQueue(addr net.Addr) *Queue {
	return &Queue{conns: make(chan net.Conn), closed: make(chan struct{}), addr: addr}
}

// NewPipe returns a listener for connections within the process, made with Dial.
func NewPipe() *Queue { return newQueue(pipeAddr{}) }

// Accept implements net.Listener.
func (q *Queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

// Dial connects to whoever accepts, through memory.
func (q *Queue) Dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case q.conns <- there:
		return here, nil
	case <-q.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// put hands a connection to Accept, or closes it when nobody accepts any more.
func (q *Queue) put(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.closed:
		c.Close()
	}
}

// Close implements net.Listener. Connections accepted before are not touched.
func (q *Queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// Addr implements net.Listener.
func (q *Queue) Addr() net.Addr { return q.addr }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
