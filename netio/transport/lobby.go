package transport

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/detcd/detcd/netio/logging"
)

// lobby is where those wait who have dialled and not said yet who they are. Anybody can come in, so it has a bound; and as anybody can stay and
// say nothing, whoever comes when it is full takes the place of another: of the address that has the most, the one who has been there the
// longest. A member says who it is at once.
type lobby struct {
	size   int
	thrown func(*guest) // told of each who had to make way

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

// lobbyGrace is how long a guest may stay in any case: more than a member needs on a busy machine. It bounds how fast guests follow each other
// when many come at once; those to come wait in the kernel meanwhile, with their greetings.
const lobbyGrace = 25 * time.Millisecond

// enter lets conn in. It waits while nobody has been there for long enough to make way; nil: ctx has ended.
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

// tryEnter lets g in, in place of a victim where need be. When wait is not 0 it did not, and is to be asked again then.
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

// victim is who makes way. There is somebody.
func (l *lobby) victim() *guest {
	count := map[string]int{} // looked up, never ranged
	for _, g := range l.guests {
		count[g.host]++
	}
	return slices.MaxFunc(l.guests, func(a, b *guest) int { return count[a.host] - count[b.host] }) // the first of several: the oldest
}

// leave ends a guest's stay, and tells whether it had ended already, for another's.
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

// rawConn is conn without its TLS: to close that says goodbye first, and may wait for whoever is silent.
func rawConn(conn net.Conn) net.Conn {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return secure.NetConn()
	}
	return conn
}
