package linearizability

import (
	"fmt"
	"slices"
	"sort"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability/model"
)

// Moment is when something happened: its number among the events of the run, which an Operation's Call and Return are from too, and the
// true time in nanoseconds, which no client and no member sees.
type Moment struct {
	Stamp uint64
	Time  int64
}

// Truth is what the committed log says happened, as package model understands it: every change of every key, every compaction, every
// answer, and when. What clients were told is held to it. Nothing in it comes from a member but the log itself, which packages replicas and
// requests judge.
//
// A place is where a request stands in the log, counted from 0.
//
// It is not changed once made. What it returns must not be changed either.
type Truth struct {
	log         []Applied
	after       []outcome       // of each request in the log
	when        []Moment        // the first member applied it
	events      []*mvccpb.Event // all that ever happened, in order
	named       map[EventName][]*mvccpb.Event
	compactions []Compaction
}

// outcome is what came of a request, and how the state stands after it.
type outcome struct {
	changes  int // how many events there have been
	revision int64
	answer   proto.Message // nil: it was refused
}

// Compaction is a compaction in the log.
type Compaction struct {
	Place    int
	Revision int64
}

// EventName is what tells an event from nearly all others: see Truth.Named.
type EventName struct {
	revision int64
	key      string
	kind     mvccpb.Event_EventType
}

// NameEvent returns an event's name.
func NameEvent(e *mvccpb.Event) EventName {
	return EventName{e.GetKv().GetModRevision(), string(e.GetKv().GetKey()), e.GetType()}
}

// NewTruth replays the log, which must be in order. first says when the first member applied an entry; it must grow with the index.
// What a request changed may be seen by anyone from then on, and by no one before.
func NewTruth(log []Applied, first func(index uint64) Moment) *Truth {
	t := &Truth{log: log}
	state := model.New()
	for place, a := range log {
		answer, err := state.Apply(a.Request)
		if err != nil {
			answer = nil
		}
		t.after = append(t.after, outcome{state.Changes(), state.Revision(), answer})
		t.when = append(t.when, first(a.Index))
		if err == nil && a.Request.GetCompaction() != nil {
			t.compactions = append(t.compactions, Compaction{place, state.CompactRevision()})
		}
	}
	t.events = state.Events()
	t.named = make(map[EventName][]*mvccpb.Event, len(t.events))
	for _, e := range t.events {
		t.named[NameEvent(e)] = append(t.named[NameEvent(e)], e)
	}
	return t
}

// Log is the log. A place is an index into it.
func (t *Truth) Log() []Applied { return t.log }

// When says when the first member applied the request at a place.
func (t *Truth) When(place int) Moment { return t.when[place] }

// Answer is what the request at a place is answered; nil: it is refused.
func (t *Truth) Answer(place int) proto.Message { return t.after[place].answer }

// Compactions are those in the log, in order.
func (t *Truth) Compactions() []Compaction { return t.compactions }

// Nowhere is the place in the log of what did not happen. It is greater than all places.
const Nowhere = int(^uint(0) >> 1)

// Revision is the newest revision.
func (t *Truth) Revision() int64 {
	if len(t.after) == 0 {
		return model.New().Revision()
	}
	return t.after[len(t.after)-1].revision
}

// Known returns how many requests of the log had been applied by some member by a stamp: the newest state that anyone can have seen.
func (t *Truth) Known(stamp uint64) int {
	return sort.Search(len(t.when), func(i int) bool { return t.when[i].Stamp > stamp })
}

// RevisionAt is the newest revision that anyone can have seen by a stamp.
func (t *Truth) RevisionAt(stamp uint64) int64 {
	if n := t.Known(stamp); n > 0 {
		return t.after[n-1].revision
	}
	return model.New().Revision()
}

// CompactedBy says whether the log had been compacted to at least a revision by a stamp.
func (t *Truth) CompactedBy(revision int64, stamp uint64) bool {
	return slices.ContainsFunc(t.compactions, func(c Compaction) bool { return c.Revision >= revision && t.when[c.Place].Stamp <= stamp })
}

// Find returns the event that a told one can be, but for its prev_kv; nil if there is none.
func (t *Truth) Find(told *mvccpb.Event) *mvccpb.Event {
	for _, e := range t.named[NameEvent(told)] {
		if proto.Equal(e.GetKv(), told.GetKv()) {
			return e
		}
	}
	return nil
}

// Named returns the events of a name. There can be several: one transaction can change a key more than once where it deletes all keys from
// some key on.
func (t *Truth) Named(name EventName) []*mvccpb.Event { return t.named[name] }

// Since returns the events from a revision on.
func (t *Truth) Since(revision int64) []*mvccpb.Event {
	return t.events[sort.Search(len(t.events), func(i int) bool { return t.events[i].GetKv().GetModRevision() >= revision }):]
}

// ChangesOf are the events of one request of the log.
func (t *Truth) ChangesOf(place int) []*mvccpb.Event {
	from := 0
	if place > 0 {
		from = t.after[place-1].changes
	}
	return t.events[from:t.after[place].changes]
}

// At names a place in the log as people look for it.
func (t *Truth) At(place int) string {
	if place == Nowhere {
		return "never"
	}
	return fmt.Sprintf("entry %d.%d (%d ns)", t.log[place].Index, t.log[place].Position, t.when[place].Time)
}
