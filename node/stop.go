package node

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/detcd/detcd/node/port"
)

// stop is the member's end in good order: a leader hands leadership over if someone can take it, requests under way are answered, the log is closed.
type stop struct {
	*core
	idle
	writer *writer
	// shutDown answers what waits, and closes the log.
	shutDown func()
	deadline port.Instant // for handing leadership over
	done     func()       // called once, when the log is closed
}

// ask begins a stop. done is called when the log is closed.
func (s *stop) ask(done func()) {
	if s.stopping {
		return
	}
	s.stopping, s.done = true, done
	if s.failed != nil {
		s.later(s.closed)
		return
	}
	s.deadline = s.now().Add(s.electionTimeout())
	if to := s.successor(); to != 0 {
		s.log(port.Info, "handing leadership over", "to", to)
		s.raft.TransferLeader(uint64(to))
		return
	}
	s.shutDown()
}

// successor is the member that is best placed to lead next, 0 if there is none or this member does not lead.
func (s *stop) successor() port.MemberID {
	if s.role != Leader {
		return 0
	}
	var best port.MemberID
	var bestMatch uint64
	s.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if port.MemberID(id) == s.config.ID || pr.IsLearner || !pr.RecentActive {
			return
		}
		if pr.Match > bestMatch || pr.Match == bestMatch && port.MemberID(id) < best {
			best, bestMatch = port.MemberID(id), pr.Match
		}
	})
	return best
}

// tick goes on with a stop once leadership is handed over, or that took too long.
func (s *stop) tick(now port.Instant) {
	if s.stopping && !s.writer.closing && (s.role != Leader || now >= s.deadline) {
		s.shutDown()
	}
}

// closed tells whoever asked for the stop that it is done.
func (s *stop) closed() {
	if s.done != nil {
		s.done()
		s.done = nil
	}
}
