package watch

import (
	"math"

	"github.com/detcd/detcd/statemachine"
)

// progress is what a stream has yet to say about how far its watchers are. While there is something to say, every step has the cohorts look
// as far as the head of its view. The stream reports only what the cohorts have passed, so a report never overtakes an event.
type progress struct {
	requested bool  // a client's request awaits its answer
	due       int   // watchers whose periodic notification is due
	target    int64 // the head when it was asked for: no lower revision is reported
	told      int64 // the highest revision that any answer has had
	// awaitsHub says that some cohort could not look as far as the head in this step; see advance.
	awaitsHub bool
}

func (p *progress) pending() bool { return p.requested || p.due > 0 }

func (p *progress) ask(head int64) { p.target = max(p.target, head) }

// requestProgress notes a client's request. Several requests that wait have one answer. Without watchers there is no answer, as with etcd.
func (s *Stream) requestProgress() {
	s.progress.requested = true
	s.progress.ask(s.head())
}

// NotifyProgress says that the periodic notification is due. One of the next steps sends an empty response to each watcher that asked for
// notifications and was sent no events since the last one was due.
func (s *Stream) NotifyProgress() {
	p := &s.progress
	p.due = 0
	s.cohorts(func(c *cohort) {
		for _, w := range c.watchers {
			if w.notify {
				w.due, w.told = !w.told, false
			}
			if w.due {
				p.due++
			}
		}
	})
	if p.due > 0 {
		p.ask(s.head())
	}
}

func (s *Stream) cohorts(f func(*cohort)) {
	for _, t := range s.topics {
		t.cohorts(f)
	}
}

// observe notes how far the hub has looked for each topic, before the marks are taken.
func (p *progress) observe(topics []*topic) {
	if !p.pending() {
		return
	}
	for _, t := range topics {
		t.seenTo = t.interest.seenTo()
	}
}

// advanceForProgress has every resting cohort look as far as the head. A queued cohort does so once it has done what it is queued for.
func (s *Stream) advanceForProgress(v *statemachine.View) {
	s.progress.awaitsHub = false
	for _, t := range s.topics {
		for _, c := range t.live {
			if c != nil && !c.queued {
				s.advance(c, v)
			}
		}
	}
}

// advance has a resting cohort look at what the hub had not seen when this step began: the few events that are published, but not marked yet.
// A compaction may have hidden some of them. Then only the hub can say whether they concerned the cohort. It does so in the turn that is
// running, and a later step finds its mark.
func (s *Stream) advance(c *cohort, v *statemachine.View) {
	head, first := v.Revision(), max(c.next, c.topic.seenTo+1)
	if first < v.CompactRevision() && first <= head {
		s.progress.awaitsHub = true
		return
	}
	s.extend(c, first, head)
}

// tellProgress reports what has become true by the end of a step. When no cohort has anything left to do, no report is left either.
func (s *Stream) tellProgress(out []Response, head int64) []Response {
	p := &s.progress
	if p.due > 0 {
		p.due = 0
		s.cohorts(func(c *cohort) { out = p.notify(c, head, out) })
	}
	if !p.requested {
		return out
	}
	passed, some := int64(math.MaxInt64), false // what every watcher has passed
	s.cohorts(func(c *cohort) { passed, some = min(passed, c.next-1), true })
	switch {
	case some && passed < max(p.target, p.told), some && passed < head && s.startsAfter(passed+1):
		return out // a client was told a higher revision, or watches from one: reporting a lower revision looks like going backwards
	case some && !s.startsAfter(passed+1):
		p.told = passed
		out = append(out, Response{WatchID: EveryWatch, Revision: passed})
	}
	p.requested = false
	return out
}

// startsAfter says that some watcher starts after a revision. Then that revision is not reported, as by etcd: a client that comes back goes
// on from the last revision it was told, and would be told of events before its start.
func (s *Stream) startsAfter(revision int64) (some bool) {
	s.cohorts(func(c *cohort) {
		if c.latest <= revision {
			return
		}
		for _, w := range c.watchers {
			some = some || w.next > revision
		}
	})
	return some
}

// notify sends a cohort's due notifications, and counts those that stay due.
func (p *progress) notify(c *cohort, head int64, out []Response) []Response {
	for _, w := range c.watchers {
		switch {
		case !w.due:
		case c.next <= p.target:
			p.due++
		default:
			w.due = false
			if passed := max(w.next, c.next) - 1; passed <= head {
				p.told = max(p.told, passed)
				out = append(out, Response{WatchID: w.id, Revision: passed})
			}
		}
	}
	return out
}
