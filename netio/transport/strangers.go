package transport

import (
	"fmt"
	"net"
	"sync"

	"github.com/detcd/detcd/netio/logging"
	"github.com/detcd/detcd/node/port"
)

// strangerError says who greeted and was refused.
type strangerError struct {
	from    port.MemberID
	cluster uint64
	verdict Verdict
}

// Error says who was refused, and why.
func (e *strangerError) Error() string {
	return fmt.Sprintf("member %x of cluster %x: %v", uint64(e.from), e.cluster, e.verdict)
}

// maxStrangers bounds how many strangers are remembered. When there are more, all are forgotten, and may be logged anew.
const maxStrangers = 1024

// strangers remembers who was refused already, so that each is logged once and not at every attempt.
type strangers struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (s *strangers) init() { s.seen = map[string]bool{} }

// first says whether key is new.
func (s *strangers) first(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[key] {
		return false
	}
	if len(s.seen) >= maxStrangers {
		clear(s.seen)
	}
	s.seen[key] = true
	return true
}

// strangerKey names a stranger by its host and by what was wrong. The port is left out: each attempt comes from another one.
func strangerKey(conn net.Conn, err error) string {
	host := logging.HostOf(conn.RemoteAddr())
	if e, ok := err.(*strangerError); ok {
		return host + " " + e.Error()
	}
	return host
}
