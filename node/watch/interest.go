package watch

import "sync/atomic"

// Interest is a range of keys that somebody wants to be told about. It is attached to a member's Hub, which marks it.
type Interest struct {
	span span
	wake func()

	// first is the first revision with a matching event that has not been taken yet; 0: there is none, the interest is unmarked.
	first atomic.Int64
	// last is the newest revision with a matching event. Invariant: it is stored before first, so whoever takes a mark and then loads
	// last sees at least all that was marked by then.
	last atomic.Int64
	// hub's seen, while attached.
	seen atomic.Pointer[atomic.Int64]

	// What follows belongs to the hub.
	audience *audience
	floor    int64  // events below are of no interest
	slot     [2]int // places in the rosters
}

// NewInterest makes an interest in one key (end empty), in [key, end), or in all keys from key on (end is "\0"). wake is called in a turn
// of the member each time the interest goes from unmarked to marked, after the hub has seen all that was published; it must not block,
// and may attach and detach interests.
func NewInterest(key, end []byte, wake func()) *Interest {
	return &Interest{span: spanOf(key, end), wake: wake}
}

// Take unmarks the interest, and says from which revision on there may be matching events that were not taken before. Views acquired
// afterwards hold them. Any goroutine may call it, one at a time.
func (i *Interest) Take() (from int64, marked bool) {
	from = i.first.Swap(0)
	return from, from != 0
}

// take is Take with the last revision that may hold a matching event of those taken.
func (i *Interest) take() (first, last int64, marked bool) {
	first = i.first.Swap(0)
	return first, i.last.Load(), first != 0
}

// seenTo is a revision up to which every matching event has led to a mark that is visible by now; 0 while not attached.
func (i *Interest) seenTo() int64 {
	if seen := i.seen.Load(); seen != nil {
		return seen.Load()
	}
	return 0
}

// mark says that matching events lie within [first, last]; it reports whether the interest was unmarked before.
func (i *Interest) mark(first, last int64) (woken bool) {
	if last < i.floor {
		return false
	}
	i.last.Store(last)
	// An older mark that has not been taken stays: it is the earlier one.
	return i.first.CompareAndSwap(0, max(first, i.floor))
}
