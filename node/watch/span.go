package watch

import "cmp"

// span is a set of keys: one key, those of [start, end), or all from start on. Equal ranges are equal spans.
type span struct {
	start, end string // end is empty for a single key and for an open span
	open       bool   // every key from start on
}

// spanOf reads the API's form: an empty end is a single key, "\0" means from key on.
func spanOf(key, end []byte) span {
	switch {
	case len(end) == 1 && end[0] == 0:
		return span{start: string(key), open: true}
	default:
		return span{start: string(key), end: string(end)}
	}
}

func (s span) single() bool { return s.end == "" && !s.open }

// rangeEnd is the end in the API's form.
func (s span) rangeEnd() []byte {
	if s.open {
		return []byte{0}
	}
	return []byte(s.end)
}

func (s span) contains(key []byte) bool {
	if s.single() {
		return string(key) == s.start
	}
	return string(key) >= s.start && (s.open || string(key) < s.end)
}

func compareSpans(a, b span) int {
	if c := cmp.Compare(a.start, b.start); c != 0 {
		return c
	}
	return compareEnds(a, b)
}

// compareEnds compares how far two ranges reach; the open one reaches farthest.
func compareEnds(a, b span) int {
	switch {
	case a.open && b.open:
		return 0
	case a.open:
		return 1
	case b.open:
		return -1
	}
	return cmp.Compare(a.end, b.end)
}
