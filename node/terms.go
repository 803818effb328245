package node

import "slices"

// terms says which terms the entries of a log have. Each element holds from its first index up to the next one's.
type terms []termRun

type termRun struct{ first, term uint64 }

// of returns the term of the entry at index; 0 before the first that is known.
func (t terms) of(index uint64) uint64 {
	for i := len(t) - 1; i >= 0; i-- {
		if t[i].first <= index {
			return t[i].term
		}
	}
	return 0
}

// add notes the term of the entry after the last one.
func (t terms) add(index, term uint64) terms {
	if n := len(t); n > 0 && t[n-1].term == term {
		return t
	}
	return append(t, termRun{index, term})
}

// before forgets the entries from index on.
func (t terms) before(index uint64) terms {
	n := len(t)
	for n > 0 && t[n-1].first >= index {
		n--
	}
	return t[:n]
}

// from forgets the entries before index. The result shares nothing with t.
func (t terms) from(index uint64) terms {
	n := 0
	for n+1 < len(t) && t[n+1].first <= index {
		n++
	}
	return slices.Clone(t[n:])
}
