package linearizability

const promiseNotEarly = "no lease ends early"

// checkNotEarly holds the promise that a lease that nobody revokes lives for its TTL at least after it was asked for, on whichever clock
// within the drift bound that is measured. Renewals have the same promise: see checkRenewed. It can't judge a grant whose client never
// learned its id.
func checkNotEarly(t *Truth, l life, records []*LeaseRecord, b LeaseBounds) *Violation {
	end := t.endOf(l)
	if end == Forever || revoked(records, end) {
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
		switch a.Outcome {
		case Answered:
			if v := renewedRightly(t, r.ID, a, records, b); v != nil {
				return v
			}
		case Refused:
			if v := goneRightly(t, r, a, records, b); v != nil {
				return v
			}
		}
	}
	return nil
}

// renewedRightly wants one life of a lease that can be what a renewal was for.
func renewedRightly(t *Truth, id int64, a Act, records []*LeaseRecord, b LeaseBounds) *Violation {
	var short *life
	for i := range t.leases {
		l := &t.leases[i]
		end := t.endOf(*l)
		if l.id != id || t.when[l.granted].Time > a.Until || end < a.Asked {
			continue
		}
		if end == Forever || revoked(records, end) || end >= a.Asked+b.atLeast(l.ttl) {
			return nil
		}
		short = l
	}
	if short == nil {
		return violation(promiseNotEarly, nil, "lease %x was renewed between %d ns and %d ns, when there was none", id, a.Asked, a.Until)
	}
	return violation(promiseNotEarly, nil, "%s: renewed as of %d ns, it had to live until %d ns", t.tell(*short), a.Asked, a.Asked+b.atLeast(short.ttl))
}

// goneRightly wants a lease that a member said was gone to have been past what had been promised of it, or revoked. The grant and
// those renewals count that had been acknowledged before.
func goneRightly(t *Truth, r *LeaseRecord, gone Act, records []*LeaseRecord, b LeaseBounds) *Violation {
	for _, l := range t.leases {
		if l.id != r.ID || t.when[l.granted].Time > gone.Asked || t.endOf(l) <= gone.Until || !r.began(t, l) || revokedBefore(records, gone.Until) {
			continue
		}
		for _, a := range append([]Act{r.Grant}, r.Renewals...) {
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
