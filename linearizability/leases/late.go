package leases

import "github.com/detcd/detcd/linearizability"

// inTime holds the promise that a lease ends within a bound after the last moment at which it can have been renewed. It can't judge a lease where the
// run ends too early, where the last renewal may take effect at any time, or where no leader lasted long enough.
func (l *ledger) inTime(one life) *linearizability.Violation {
	end := min(l.endOf(one), l.bounds.Now)
	base := l.truth.When(one.granted).Time
	for _, r := range l.of[one.id] {
		for _, a := range r.Renewals {
			if a.Outcome != linearizability.Refused && a.Asked <= end {
				base = max(base, a.Until)
			}
		}
	}
	if due := l.bounds.latest(one.ttl, base); end > due {
		return linearizability.Broken("every lease ends", nil, "%s: with nothing to prolong it after %d ns, it had to be gone by %d ns", l.tell(one), base, due)
	}
	return nil
}

// latest is the last true time at which a lease may end that nothing prolongs after base; Forever if no tenure is long enough.
//
// A new leader gives a lease what is left of it, and the time that it adds at its promotion. If that leader does not last, its successor begins with
// as much again, less what checkpoints have noted: one for each interval, in whole seconds, rounded up, as long as more than an interval is
// left.
func (b *Bounds) latest(ttl, base int64) int64 {
	if base == Forever {
		return Forever
	}
	const second = 1_000_000_000
	full := min(ttl, ttlMost) * second
	left := full
	for _, tenure := range b.Tenures {
		if tenure.To <= base {
			continue
		}
		begun := max(base, tenure.From+b.atMost(b.Promotion))
		if due := begun + b.atMost(left) + b.Slack; due <= tenure.To {
			return due
		}
		noted := false
		for at := max(base, tenure.From) + b.atMost(b.Checkpoint); b.Checkpoint > 0 && left > b.Checkpoint && at+b.Slack <= tenure.To; at += b.atMost(b.Checkpoint) {
			left, noted = left-b.Checkpoint, true
		}
		if noted {
			left = min(full, left+b.Promotion+second)
		}
	}
	return Forever
}
