package wal

import "fmt"

// state is what all records up to some point add up to, apart from the entries' data. Writing and reading both go through it. So what Write
// refuses is also what counts as corruption when it is read.
type state struct {
	term, vote, commit uint64
	hasHard            bool
	mark               SnapshotMark
	hasMark            bool
	last, lastTerm     uint64 // the last entry, or the mark's
	runs               []run  // Invariant: ascending, ends with lastTerm's; covers at least the indexes above mark.Index
}

// run says that the entries from index first up to the next run's first have this term.
type run struct{ first, term uint64 }

// Each method below returns "" if all is well, and else the rule that was broken. After that the state must not be used any more.

func (s *state) addEntry(index, term uint64) string {
	if index == 0 || index > s.last+1 {
		return fmt.Sprintf("entry %d follows entry %d", index, s.last)
	}
	if index <= s.commit {
		return fmt.Sprintf("entry %d (term %d) replaces one that is committed (up to %d)", index, term, s.commit)
	}
	for len(s.runs) > 0 && s.runs[len(s.runs)-1].first >= index {
		s.runs = s.runs[:len(s.runs)-1]
	}
	var before uint64
	if len(s.runs) > 0 {
		before = s.runs[len(s.runs)-1].term
	}
	if term == 0 || term < before {
		return fmt.Sprintf("entry %d has term %d, the one before it %d", index, term, before)
	}
	if term != before {
		s.runs = append(s.runs, run{index, term})
	}
	s.last, s.lastTerm = index, term
	return ""
}

// newer reports whether m is newer than the present mark. It need not be: while a snapshot was written in the background, a later one may have
// come from the leader. Then the mark of the first one means nothing.
func (s *state) newer(m *SnapshotMark) bool { return !s.hasMark || m.Index > s.mark.Index }

// contradicts reports whether the log does not lead up to m: it ends before it, or has another term there.
func (s *state) contradicts(m *SnapshotMark) bool {
	if m.Index > s.last {
		return true
	}
	for i := len(s.runs) - 1; i >= 0; i-- {
		if s.runs[i].first <= m.Index {
			return s.runs[i].term != m.Term
		}
	}
	return false
}

func (s *state) setMark(m *SnapshotMark, reset bool) string {
	if m.Index == 0 {
		return "snapshot mark at index 0"
	}
	if s.hasMark && m.Index <= s.mark.Index {
		return fmt.Sprintf("snapshot mark at %d after one at %d", m.Index, s.mark.Index)
	}
	if !reset && s.contradicts(m) {
		return fmt.Sprintf("snapshot mark at %d (term %d) contradicts the log, which ends at %d", m.Index, m.Term, s.last)
	}
	if reset && m.Index < s.commit {
		return fmt.Sprintf("snapshot mark at %d (term %d) voids entries committed up to %d", m.Index, m.Term, s.commit)
	}
	if reset {
		s.runs = append(s.runs[:0], run{m.Index, m.Term})
		s.last, s.lastTerm = m.Index, m.Term
	}
	for len(s.runs) > 1 && s.runs[1].first <= m.Index {
		s.runs = s.runs[1:]
	}
	s.mark, s.hasMark = SnapshotMark{Index: m.Index, Term: m.Term, ConfState: append([]byte(nil), m.ConfState...)}, true
	if s.commit < m.Index {
		// A snapshot holds committed entries only. So its mark tells a commit index, as a hard state does.
		s.commit, s.hasHard = m.Index, true
	}
	if s.term < m.Term {
		s.term, s.vote, s.hasHard = m.Term, 0, true
	}
	return ""
}

func (s *state) setHard(term, vote, commit uint64) string {
	switch {
	case term < s.term:
		return fmt.Sprintf("term %d after term %d", term, s.term)
	case term == s.term && s.vote != 0 && vote != s.vote:
		return fmt.Sprintf("vote for %x in term %d after one for %x", vote, term, s.vote)
	case commit < s.commit:
		return fmt.Sprintf("commit index %d after %d", commit, s.commit)
	case commit > s.last:
		return fmt.Sprintf("commit index %d beyond the last entry, %d", commit, s.last)
	}
	s.term, s.vote, s.commit, s.hasHard = term, vote, commit, true
	return ""
}

// same reports whether a segment header's state o is s, as far as headers tell.
func (s *state) same(o *state) bool {
	return s.term == o.term && s.vote == o.vote && s.commit == o.commit && s.hasHard == o.hasHard &&
		s.hasMark == o.hasMark && s.mark.Index == o.mark.Index && s.mark.Term == o.mark.Term &&
		string(s.mark.ConfState) == string(o.mark.ConfState) && s.last == o.last && s.lastTerm == o.lastTerm
}
