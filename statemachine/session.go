package statemachine

import (
	"cmp"
	"slices"
)

// sessionWindow is how far, in sequence numbers, a proposer's batches may overtake each other and still be applied.
const sessionWindow = 1024

// session is what is known of one proposer's batches: enough to apply each at most once, in bounded space.
type session struct {
	proposer    MemberID
	incarnation uint64
	// floor: every sequence up to it has been applied or is given up on.
	floor uint64
	// applied holds a bit for each applied sequence in (floor, floor+sessionWindow], at sequence mod sessionWindow.
	// Invariant: all other bits are zero, and so is the one of floor+1.
	applied [sessionWindow / 64]uint64
}

func (s *session) has(seq uint64) bool { return s.applied[seq%sessionWindow/64]>>(seq%64)&1 != 0 }
func (s *session) set(seq uint64)      { s.applied[seq%sessionWindow/64] |= 1 << (seq % 64) }
func (s *session) clear(seq uint64)    { s.applied[seq%sessionWindow/64] &^= 1 << (seq % 64) }

// admit says whether the batch is new and notes it if so. Sequences start at 1 with each incarnation. A batch that comes
// more than sessionWindow after a later one is given up on, as one that is lost would be: its proposer is answered
// that it was not applied.
func (s *session) admit(incarnation, seq uint64) bool {
	if incarnation < s.incarnation {
		return false
	}
	if incarnation > s.incarnation {
		*s = session{proposer: s.proposer, incarnation: incarnation}
	}
	if seq <= s.floor || seq-s.floor <= sessionWindow && s.has(seq) {
		return false
	}
	if seq-s.floor > 2*sessionWindow { // nothing in the window stays in it
		s.applied = [sessionWindow / 64]uint64{}
		s.floor = seq - sessionWindow
	}
	for seq-s.floor > sessionWindow {
		s.floor++
		s.clear(s.floor)
	}
	s.set(seq)
	for s.has(s.floor + 1) {
		s.floor++
		s.clear(s.floor)
	}
	return true
}

// admit says whether a batch may take effect: from a member, of its newest incarnation, not seen before.
func (m *Machine) admit(o Origin) bool {
	if len(m.members) > 0 && m.member(o.Proposer) < 0 {
		return false
	}
	at, known := slices.BinarySearchFunc(m.sessions, o.Proposer, func(s session, id MemberID) int {
		return cmp.Compare(s.proposer, id)
	})
	if !known {
		m.sessions = slices.Insert(m.sessions, at, session{proposer: o.Proposer})
		m.content += m.sessions[at].contentHash()
	}
	s := &m.sessions[at]
	before := s.contentHash()
	if !s.admit(o.Incarnation, o.Sequence) {
		return false
	}
	m.content += s.contentHash() - before
	return true
}

// forgetSession ends a removed member's session.
func (m *Machine) forgetSession(id MemberID) {
	m.sessions = slices.DeleteFunc(m.sessions, func(s session) bool {
		if s.proposer == id {
			m.content -= s.contentHash()
		}
		return s.proposer == id
	})
}
