package listen

import (
	"net"
	"sync"
	"sync/atomic"
)

// Limit bounds how many connections of some listeners are open at a time. Each takes a descriptor of the process, which has others to open
// files with.
type Limit struct {
	most    int64
	refused func(net.Conn)
	open    atomic.Int64
}

// NewLimit allows most connections. refused is told of each beyond them, which is closed: its client can try another member at once, where
// it would wait in vain for an answer of this one.
func NewLimit(most int, refused func(net.Conn)) *Limit {
	return &Limit{most: int64(most), refused: refused}
}

// Listener is l within the limit.
func (l *Limit) Listener(inner net.Listener) net.Listener { return &limitedListener{inner, l} }

type limitedListener struct {
	net.Listener
	limit *Limit
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.limit.open.Add(1) <= l.limit.most {
			return &limitedConn{Conn: c, limit: l.limit}, nil
		}
		l.limit.open.Add(-1)
		_ = c.Close()
		l.limit.refused(c)
	}
}

// limitedConn gives its place back when it is closed.
type limitedConn struct {
	net.Conn
	limit *Limit
	once  sync.Once
}

// beneath implements layer.
func (c *limitedConn) beneath() net.Conn { return c.Conn }

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.limit.open.Add(-1) })
	return err
}
