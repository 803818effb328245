package statemachine

import "github.com/detcd/detcd/statemachine/format"

// sessionWindow is how far, in sequence numbers, a proposer's batches may overtake each other and still be applied.
const sessionWindow = 1024

// session is what is known of one proposer's batches. As a row of a table it is never changed: a batch gives it other sequences.
type session struct {
	proposer MemberID
	*sequences
}

// sequences tell which batches of a proposer were applied: enough to apply each at most once, in bounded space.
type sequences struct {
	incarnation uint64
	// floor: every sequence up to it has been applied or is given up on.
	floor uint64
	// applied holds a bit for each applied sequence in (floor, floor+sessionWindow], at sequence mod sessionWindow.
	// Invariant: all other bits are zero, and so is the one of floor+1.
	applied [sessionWindow / 64]uint64
}

func (s *sequences) has(seq uint64) bool { return s.applied[seq%sessionWindow/64]>>(seq%64)&1 != 0 }
func (s *sequences) set(seq uint64)      { s.applied[seq%sessionWindow/64] |= 1 << (seq % 64) }
func (s *sequences) clear(seq uint64)    { s.applied[seq%sessionWindow/64] &^= 1 << (seq % 64) }

// seen says that the batch was applied, or is given up on. Number 0, which nothing has, always is.
func (s *sequences) seen(incarnation, seq uint64) bool {
	if incarnation != s.incarnation {
		return incarnation < s.incarnation || seq == 0
	}
	return seq <= s.floor || seq-s.floor <= sessionWindow && s.has(seq)
}

// admit says whether the batch is new, and notes it then. Sequences start at 1 in each incarnation. A batch whose sequence lies sessionWindow or more
// below the highest one is given up on, as if it was lost: it is not applied, and its proposer is told so.
func (s *sequences) admit(incarnation, seq uint64) bool {
	if s.seen(incarnation, seq) {
		return false
	}
	if incarnation > s.incarnation {
		*s = sequences{incarnation: incarnation}
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

// foundingTerm is raft's term of the entries that found a cluster; all others have a higher one.
const foundingTerm = 1

// admit says whether an envelope may take effect: from a member, of its newest incarnation, not seen before. What founds a cluster has no origin,
// and in format version 1 no change of the membership has one; nothing else is without.
func (m *Machine) admit(e *Envelope) bool {
	o := e.Origin
	if o == (Origin{}) {
		return e.Change != nil && (m.term == foundingTerm || m.format == format.Batches)
	}
	if m.members.len() > 0 && !m.members.has(MemberInfo{ID: o.Proposer}) {
		return false
	}
	old, known := m.sessions.get(session{proposer: o.Proposer})
	next := sequences{}
	if known {
		next = *old.sequences
	}
	fresh := next.admit(o.Incarnation, o.Sequence)
	if fresh || !known {
		m.sessions.put(session{o.Proposer, &next})
	}
	return fresh
}
