package linearizability

const promiseNotEarly = "no lease ends early"

// checkNotEarly holds the promise that a lease that nobody revokes lives for its TTL at least after it was asked for, on whichever clock
// within the drift bound that is measured. Renewals have the same promise: see checkRenewed. It can't judge a grant whose client never
// learned its id.
func checkNotEarly(t *Truth, l life, records []*LeaseRecord, b LeaseBounds) *Violation {
	end := t.endOf(l)
	if end == Forever || t.revoked(l, records, end) {
		return nil
	}
	for _, r := range records {
		if !r.began(t, l) {
			continue
		}
		if due := r.Grant.Asked + b.atLeast(l.ttl); end < due {
			return violation(promiseNotEarly, nil, "%s: asked for at %d ns, it had to live until %d ns", t.tell(l), r.Grant.Asked, due)
		}
	}
	return nil
}

// began says whether a record's grant is what made a life.
func (r *LeaseRecord) began(t *Truth, l life) bool {
	if r.Index > 0 {
		return t.log[l.granted].Index == r.Index && t.log[l.granted].Position == r.Position
	}
	at := t.when[l.granted].Time
	return r.Grant.Outcome != Refused && r.Grant.Asked <= at && at <= r.Grant.Until
}

// checkRenewed holds the promise of renewals: a lease whose renewal is acknowledged was there, and lives for its TTL at least after the
// renewal was asked for; and none is said to be gone that was promised to live.
func checkRenewed(t *Truth, r *LeaseRecord, records []*LeaseRecord, b LeaseBounds) *Violation {
	for _, a := range r.Renewals {
		v := goneRightly(t, r, a.Act, records, b)
		if a.Outcome == Answered {
			v = livesOn(t, r.ID, a, a.TTL, records, b)
		}
		if v != nil {
			return v
		}
	}
	return nil
}

// checkLooks holds the promise of what is said of a lease's time: it is what was granted, and as much of it is left as is said, or a second
// less, as seconds may be rounded.
func checkLooks(t *Truth, r *LeaseRecord, records []*LeaseRecord, b LeaseBounds) *Violation {
	for _, a := range r.Looks {
		v := goneRightly(t, r, a.Act, records, b)
		if a.Outcome == Answered {
			v = livesOn(t, r.ID, a, max(a.Remaining-1, 0), records, b)
			if a.Remaining < 0 || a.Remaining > a.TTL {
				v = violation(promiseNotEarly, nil, "lease %x was said by %d ns to have %d s left of %d s", r.ID, a.Until, a.Remaining, a.TTL)
			}
		}
		if v != nil {
			return v
		}
	}
	return nil
}

// livesOn wants one life of a lease that can be what an answer was about: one with that TTL, which has some seconds to go.
func livesOn(t *Truth, id int64, a LeaseAnswer, seconds int64, records []*LeaseRecord, b LeaseBounds) *Violation {
	due := a.Asked + b.atLeast(seconds)
	var short *life
	for i := range t.leases {
		l := &t.leases[i]
		end := t.endOf(*l)
		if l.id != id || l.ttl != a.TTL || t.when[l.granted].Time > a.Until || end < a.Asked {
			continue
		}
		if end == Forever || t.revoked(*l, records, end) || end >= due {
			return nil
		}
		short = l
	}
	if short == nil {
		return violation(promiseNotEarly, nil, "lease %x of %d s was there, it was said between %d ns and %d ns, when there was none", id, a.TTL, a.Asked, a.Until)
	}
	return violation(promiseNotEarly, nil, "%s: as was said of it from %d ns on, it had to live until %d ns", t.tell(*short), a.Asked, due)
}

// goneRightly wants a lease that a member said was gone to have been past what had been promised of it, or revoked. The grant and
// those renewals count that had been acknowledged before.
func goneRightly(t *Truth, r *LeaseRecord, gone Act, records []*LeaseRecord, b LeaseBounds) *Violation {
	if gone.Outcome != Refused {
		return nil
	}
	promised := []Act{r.Grant}
	for _, a := range r.Renewals {
		promised = append(promised, a.Act)
	}
	for _, l := range t.leases {
		if l.id != r.ID || t.when[l.granted].Time > gone.Asked || t.endOf(l) <= gone.Until || !r.began(t, l) || revokedBefore(records, gone.Until) {
			continue
		}
		for _, a := range promised {
			if due := a.Asked + b.atLeast(l.ttl); a.Outcome == Answered && a.Until < gone.Asked && gone.Until < due {
				return violation(promiseNotEarly, nil, "%s: asked to live at %d ns, it had to until %d ns, but was said to be gone by %d ns",
					t.tell(l), a.Asked, due, gone.Until)
			}
		}
	}
	return nil
}

// revokedBefore says whether a client had asked for the end of a lease.
func revokedBefore(records []*LeaseRecord, by int64) bool {
	for _, r := range records {
		for _, a := range r.Revokes {
			if a.Asked <= by {
				return true
			}
		}
	}
	return false
}
