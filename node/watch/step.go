package watch

import "github.com/detcd/detcd/statemachine"

// Step does a bounded piece of work and returns what is to be sent to the client, in this order. It reads from one view, and releases that
// before it returns, so a client that reads slowly pins nothing. more says that there is work left: call Step again. If not, there is
// nothing to do until Wake, or until Handle or NotifyProgress has been called.
//
// The list belongs to the caller until the next Step, which uses the list's memory again. The bytes that responses point at are never
// overwritten by a Step. A caller that may rest for long clears the list, so that it keeps no events alive.
func (s *Stream) Step() (out []Response, more bool) {
	if s.closed {
		return nil, false
	}
	out, more = s.step(append(s.out[:0], s.answers...))
	clear(s.answers)
	s.answers = s.answers[:0]
	s.out = nil
	if cap(out) <= outKeptMin+outKeptPerWatcher*len(s.watchers) {
		s.out = out
	}
	return out, more
}

// The list of responses is used again by the next step unless it is longer than so many, and so many for each watcher: steps that catch up
// make lists that no later step needs.
const (
	outKeptMin        = 16
	outKeptPerWatcher = 4
)

// step appends to out.
func (s *Stream) step(out []Response) (_ []Response, more bool) {
	// This order must be kept: first what the hub has seen, then the marks, then the view. See Interest.seenTo and Hub.Publish.
	s.progress.observe(s.topics)
	s.takeMarks()
	if s.live.len()+s.behind.len() == 0 && !s.progress.pending() {
		return out, false
	}
	v := s.port.AcquireView()
	defer v.Release()
	if s.progress.pending() {
		s.advanceForProgress(v)
	}
	for budget := s.options.ChunkBytes; budget > 0; {
		c := s.pick()
		if c == nil {
			break
		}
		var cost int
		out, cost = s.run(c, v, budget, out)
		budget -= cost
	}
	out = s.tellProgress(out, v.Revision())
	return out, s.live.len()+s.behind.len() > 0 || s.progress.awaitsHub && s.progress.pending()
}

// takeMarks queues the live cohorts of marked topics, in the order in which they were marked.
func (s *Stream) takeMarks() {
	var marked *topic // the stack turned over
	for t := s.ready.Swap(nil); t != nil; {
		below := t.nextReady
		t.nextReady, marked = marked, t
		t = below
	}
	for t := marked; t != nil; {
		next := t.nextReady
		t.nextReady = nil
		if !t.gone {
			// From here on the hub may push the topic again.
			if first, last, ok := t.interest.take(); ok {
				for _, c := range t.live {
					s.extend(c, first, last)
				}
			}
		}
		t = next
	}
}

// extend has a live cohort look at the revisions from first to last. If the cohort rests, nothing before first concerns it.
func (s *Stream) extend(c *cohort, first, last int64) {
	switch {
	case c == nil:
	case c.queued:
		c.until = max(c.until, last)
	default:
		c.next = max(c.next, first)
		if c.next <= last {
			c.until = last
			s.live.push(c)
		}
	}
}

// pick lets live cohorts and those that catch up take turns.
func (s *Stream) pick() *cohort {
	first, second := &s.live, &s.behind
	if s.behindFirst {
		first, second = second, first
	}
	s.behindFirst = !s.behindFirst
	if c := first.pop(); c != nil {
		return c
	}
	return second.pop()
}

// run moves a cohort on by one batch.
func (s *Stream) run(c *cohort, v *statemachine.View, budget int, out []Response) (_ []Response, cost int) {
	if !c.live {
		c.until = v.Revision()
	}
	events, err := c.events(v)
	if err != nil {
		if out = s.overtaken(c, v, out); len(c.watchers) == 0 {
			return out, costRun
		}
		events, _ = c.events(v)
	}
	most := limits{cost: budget, bytes: s.options.PackBytes, events: s.options.PackEvents}
	s.batch.gather(events, c, c.next, c.until, most, s.options.Room)
	s.noteWalk(c, &events)
	out = s.put(c, out)
	c.next = max(c.next, s.batch.next)
	cost = costRun + s.batch.cost
	if len(s.batch.ends) > 0 {
		cost += costResponse * len(c.watchers)
	}
	s.batch.forget()
	switch {
	case c.next <= c.until && c.live:
		s.live.push(c)
	case c.next <= c.until:
		s.behind.push(c)
	case !c.live:
		s.arrive(c)
	case s.progress.pending():
		s.advance(c, v)
	}
	return out, cost
}

// events returns the events that a cohort has yet to look at, and perhaps others. There are two ways. EventsIn finds the few changes of the
// range by its keys: that is good where most changes are of other keys. Events walks the log. If all walked it, many watchers that lag would each look
// at all that happened.
func (c *cohort) events(v *statemachine.View) (statemachine.EventIterator, error) {
	if c.walk > 0 {
		return v.Events(c.next)
	}
	return v.EventsIn([]byte(c.topic.span.start), c.topic.span.rangeEnd(), c.next, c.until)
}

// walkPerLook is how many events a cohort walks in the log for each key of its range that it looked at in vain.
const walkPerLook = 32

// noteWalk notes a search by keys that was in vain. The cohort then does without another one for a while; else each step would pay for one.
func (s *Stream) noteWalk(c *cohort, events *statemachine.EventIterator) {
	if vain := events.Vain(); vain > 0 {
		c.walk = walkPerLook * vain
		s.searchesInVain++
	}
	c.walk = max(0, c.walk-s.batch.looked)
}

// overtaken cancels those watchers of a cohort that had yet to look at revisions which are compacted. The other watchers begin later. The
// answer's header has revision 0, as etcd's: another revision would say that the watcher was told everything up to it.
func (s *Stream) overtaken(c *cohort, v *statemachine.View, out []Response) []Response {
	compacted := v.CompactRevision()
	for i := 0; i < len(c.watchers); {
		w := c.watchers[i]
		if from := max(w.next, c.next); from >= compacted || from > c.until {
			i++
			continue
		}
		out = append(out, Response{WatchID: w.id, Canceled: true, CompactRevision: compacted})
		s.remove(w)
	}
	c.next = max(c.next, compacted)
	return out
}

// arrive moves the watchers of a cohort that has caught up into the live cohort.
func (s *Stream) arrive(c *cohort) {
	live := c.topic.liveCohort(c.kind, c.next)
	for _, w := range c.watchers {
		w.next = max(w.next, c.next)
		live.add(w)
	}
	c.watchers = nil
	c.topic.dropBehind(c)
}

// put makes the responses of a batch.
func (s *Stream) put(c *cohort, out []Response) []Response {
	b := &s.batch
	if len(b.ends) == 0 {
		return out
	}
	revision, end := b.next-1, len(b.ends)
	s.progress.told = max(s.progress.told, revision)
	for _, w := range c.watchers {
		from := 0
		if c.next < c.latest {
			from = b.start(w.next)
		}
		if from == end {
			continue
		}
		w.told, w.due = true, false
		whole := Response{WatchID: w.id, Revision: revision, Events: b.bytes(from, end), EventCount: end - from}
		if limit := s.options.FragmentBytes; w.fragment && limit > 0 && len(whole.Events)+responseOverheadBytes > limit {
			out = b.appendFragments(out, whole, from, limit)
		} else {
			out = append(out, whole)
		}
	}
	return out
}

// appendFragments cuts a response, event by event, into parts below the limit as far as single events allow that.
func (b *batch) appendFragments(out []Response, whole Response, from, limit int) []Response {
	for end := len(b.ends); from < end; {
		to := b.fragment(from, limit-responseOverheadBytes)
		part := whole
		part.Events, part.EventCount, part.Fragment = b.bytes(from, to), to-from, to < end
		out = append(out, part)
		from = to
	}
	return out
}
