package linearizability

import (
	"cmp"
	"slices"
)

// CheckRevisions holds the promise that revisions only grow: an answer to a request that was made after another was answered names no
// older revision, whichever members answered. Reads that may be stale are exempt as the later ones, but not as the earlier: what they
// saw is there for everyone. It looks at headers only; the witness looks at the rest.
//
// A read that may be stale is held to what the client saw before of the same run of the same member: a member's state never goes back.
func CheckRevisions(h History) *Violation {
	type seat struct {
		client              int
		member, incarnation uint64
	}
	seen := make(map[seat]int)
	for i := range h {
		o := &h[i]
		if o.Outcome != Answered || headerOf(o.Response).GetRevision() == 0 {
			continue
		}
		at := seat{o.Client, o.Member, o.Incarnation}
		if j, known := seen[at]; known && h[j].Return < o.Call && headerOf(h[j].Response).GetRevision() > headerOf(o.Response).GetRevision() {
			return violation("revisions only grow", []int{j, i}, "member %x showed client %d revision %d and then %d", o.Member, o.Client,
				headerOf(h[j].Response).GetRevision(), headerOf(o.Response).GetRevision())
		}
		seen[at] = i
	}
	return overtaken("revisions only grow", h, func(o *Operation) (uint64, bool) {
		header := headerOf(o.Response)
		return uint64(header.GetRevision()), o.Outcome == Answered && header.GetRevision() > 0
	})
}

// overtaken looks for an operation that began after another had returned and yet has a lower rank. It is linear, but for sorting.
func overtaken(promise string, h History, rank func(*Operation) (uint64, bool)) *Violation {
	var byCall, byReturn []int
	for i := range h {
		if _, ranked := rank(&h[i]); ranked {
			byCall = append(byCall, i)
			if h[i].Return != Never {
				byReturn = append(byReturn, i)
			}
		}
	}
	slices.SortStableFunc(byCall, func(a, b int) int { return cmp.Compare(h[a].Call, h[b].Call) })
	slices.SortStableFunc(byReturn, func(a, b int) int { return cmp.Compare(h[a].Return, h[b].Return) })
	best, highest, next := -1, uint64(0), 0
	for _, i := range byCall {
		for next < len(byReturn) && h[byReturn[next]].Return < h[i].Call {
			if r, _ := rank(&h[byReturn[next]]); best < 0 || r > highest {
				best, highest = byReturn[next], r
			}
			next++
		}
		if r, _ := rank(&h[i]); best >= 0 && r < highest && !mayBeStale(h[i].Request) {
			return violation(promise, []int{best, i}, "operation %d came after operation %d was answered, but is placed before it (%d < %d)", i, best, r, highest)
		}
	}
	return nil
}
