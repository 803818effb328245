package leases

import "github.com/detcd/detcd/linearizability"

const promiseNotEarly = "no lease ends early"

// notEarly holds the promise that a lease that nobody revokes lives for its TTL at least after it was asked for, on whichever clock
// within the drift bound that is measured. Renewals have the same promise: see renewalsHold. A grant whose client never learned the
// lease's id can't be judged.
func (l *ledger) notEarly(one life) *linearizability.Violation {
	end := l.endOf(one)
	if end == Forever || l.revoked(one, end) {
		return nil
	}
	for _, r := range l.of[one.id] {
		if !l.began(r, one) {
			continue
		}
		if due := r.Grant.Asked + l.bounds.AtLeast(one.ttl); end < due {
			return linearizability.Broken(promiseNotEarly, nil, "%s: asked for at %d ns, it had to live until %d ns", l.tell(one), r.Grant.Asked, due)
		}
	}
	return nil
}

// began says whether a record's grant is what made a life.
func (l *ledger) began(r *Record, one life) bool {
	if r.Index > 0 {
		return l.isAt(one.granted, r.Index, r.Position)
	}
	at := l.truth.When(one.granted).Time
	return r.Grant.Outcome != linearizability.Refused && r.Grant.Asked <= at && at <= r.Grant.Until
}

// renewalsHold holds the promise of renewals: a lease whose renewal is acknowledged was there, and lives for its TTL at least after the
// renewal was asked for; and none is said to be gone that was promised to live.
func (l *ledger) renewalsHold(r *Record) *linearizability.Violation {
	for _, a := range r.Renewals {
		v := l.goneRightly(r, a.Act)
		if a.Outcome == linearizability.Answered {
			v = l.livesOn(r.ID, a, a.TTL)
		}
		if v != nil {
			return v
		}
	}
	return nil
}

// looksAreTrue holds the promise of what is said of a lease's time: it is what was granted, and as much of it is left as is said, or a second
// less, as seconds may be rounded.
func (l *ledger) looksAreTrue(r *Record) *linearizability.Violation {
	for _, a := range r.Looks {
		v := l.goneRightly(r, a.Act)
		if a.Outcome == linearizability.Answered {
			v = l.livesOn(r.ID, a, max(a.Remaining-1, 0))
			if a.Remaining < 0 || a.Remaining > a.TTL {
				v = linearizability.Broken(promiseNotEarly, nil, "lease %x was said by %d ns to have %d s left of %d s", r.ID, a.Until, a.Remaining, a.TTL)
			}
		}
		if v != nil {
			return v
		}
	}
	return nil
}

// livesOn wants one life of a lease that can be what an answer was about: one with that TTL, which has some seconds to go.
func (l *ledger) livesOn(id int64, a Answer, seconds int64) *linearizability.Violation {
	due := a.Asked + l.bounds.AtLeast(seconds)
	var short *life
	for i := range l.lives {
		one := &l.lives[i]
		end := l.endOf(*one)
		if one.id != id || one.ttl != a.TTL || l.truth.When(one.granted).Time > a.Until || end < a.Asked {
			continue
		}
		if end == Forever || l.revoked(*one, end) || end >= due {
			return nil
		}
		short = one
	}
	if short == nil {
		return linearizability.Broken(promiseNotEarly, nil, "lease %x of %d s was there, it was said between %d ns and %d ns, when there was none",
			id, a.TTL, a.Asked, a.Until)
	}
	return linearizability.Broken(promiseNotEarly, nil, "%s: as was said of it from %d ns on, it had to live until %d ns", l.tell(*short), a.Asked, due)
}

// goneRightly wants a lease that a member said was gone to have been past what had been promised of it, or revoked. What had been promised is
// its grant and those renewals that had been acknowledged before.
func (l *ledger) goneRightly(r *Record, gone Act) *linearizability.Violation {
	if gone.Outcome != linearizability.Refused {
		return nil
	}
	promised := []Act{r.Grant}
	for _, a := range r.Renewals {
		promised = append(promised, a.Act)
	}
	for _, one := range l.lives {
		if one.id != r.ID || l.truth.When(one.granted).Time > gone.Asked || l.endOf(one) <= gone.Until || !l.began(r, one) ||
			l.revokeAsked(r.ID, gone.Until) {
			continue
		}
		for _, a := range promised {
			due := a.Asked + l.bounds.AtLeast(one.ttl)
			if a.Outcome == linearizability.Answered && a.Until < gone.Asked && gone.Until < due {
				return linearizability.Broken(promiseNotEarly, nil, "%s: asked to live at %d ns, it had to until %d ns, but was said to be gone by %d ns",
					l.tell(one), a.Asked, due, gone.Until)
			}
		}
	}
	return nil
}

// revokeAsked says whether a client had asked for the end of a lease by a time.
func (l *ledger) revokeAsked(id, by int64) bool {
	for _, r := range l.of[id] {
		for _, a := range r.Revokes {
			if a.Asked <= by {
				return true
			}
		}
	}
	return false
}
