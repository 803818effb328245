package transport

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/detcd/detcd/netio/logging"
)

// lobby holds the connections of those who have dialled, and have not said yet who they are. Anybody can come in, so it has a bound. Anybody can
// also stay and say nothing. So a newcomer who finds the lobby full takes the place of another guest: of the address with the most guests, the
// one who has been there the longest. Members are safe from that, as they say at once who they are.
type lobby struct {
	size   int
	thrown func(*guest) // is told of each guest who had to make way

	mu     sync.Mutex
	guests []*guest // in the order they came
}

// guest is one connection in a lobby.
type guest struct {
	conn   net.Conn
	host   string
	since  time.Time
	thrown bool // guarded by the lobby's lock
}

// lobbyGrace is how long a guest may stay in any case. It is longer than a member needs to greet, also on a busy machine. When many come at once,
// the others wait in the kernel meanwhile, with their greetings.
const lobbyGrace = 25 * time.Millisecond

// enter lets conn in. While no guest has been there for long enough to make way, it waits. Nil: ctx has ended.
func (l *lobby) enter(ctx context.Context, conn net.Conn) *guest {
	g := &guest{conn: conn, host: logging.HostOf(conn.RemoteAddr())}
	for {
		victim, wait := l.tryEnter(g, time.Now())
		if wait == 0 {
			if victim != nil {
				_ = rawConn(victim.conn).Close()
				l.thrown(victim)
			}
			return g
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// tryEnter lets g in; victim is the guest who had to make way for it, nil if nobody had to. If wait is not 0, g was not let in: ask again after
// that time.
func (l *lobby) tryEnter(g *guest, now time.Time) (victim *guest, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.guests) >= l.size {
		victim = l.victim()
		if stayed := now.Sub(victim.since); stayed < lobbyGrace {
			return nil, lobbyGrace - stayed
		}
		victim.thrown = true
		l.remove(victim)
	}
	g.since = now
	l.guests = append(l.guests, g)
	return victim, 0
}

// victim returns the guest who has to make way. The lobby must not be empty.
func (l *lobby) victim() *guest {
	count := map[string]int{} // looked up, never ranged
	for _, g := range l.guests {
		count[g.host]++
	}
	return slices.MaxFunc(l.guests, func(a, b *guest) int { return count[a.host] - count[b.host] }) // the first of several: the oldest
}

// leave ends a guest's stay. thrown says that the stay had ended already, as the guest had to make way.
func (l *lobby) leave(g *guest) (thrown bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(g)
	return g.thrown
}

func (l *lobby) remove(g *guest) {
	if i := slices.Index(l.guests, g); i >= 0 {
		l.guests = slices.Delete(l.guests, i, i+1)
	}
}

// rawConn is conn without its TLS. Closing a TLS connection first says goodbye, and may wait for a side that is silent.
func rawConn(conn net.Conn) net.Conn {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return secure.NetConn()
	}
	return conn
}
