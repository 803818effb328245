package linearizability

import (
	"fmt"
	"slices"
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
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

// Truth is what the committed log says happened, as package model understands it: every change of every key, every life of a lease,
// every compaction, and when. What clients were told is held to it. Nothing in it comes from a member but the log itself, which
// Durability and CheckWitness judge.
//
// It is not changed once made.
type Truth struct {
	log    []Applied
	after  []outcome       // of each request in the log
	when   []Moment        // the first member applied it
	events []*mvccpb.Event // all that ever happened, in order
	named  map[eventName][]*mvccpb.Event

	compactions []compaction
	leases      []life // in the order of their grants
	fences      []fence
	err         *Violation
}

// outcome is how the state stands after a request.
type outcome struct {
	changes  int // how many events there have been
	revision int64
	refused  bool
}

type compaction struct {
	place    int // in the log
	revision int64
}

// NewTruth replays the log, which must be in order. first says when the first member applied an entry; it must grow with the index.
// What a request changed may be seen by anyone from then on, and by no one before.
func NewTruth(log []Applied, first func(index uint64) Moment) *Truth {
	t := &Truth{log: log}
	state := model.New()
	for place, a := range log {
		fenced := fencesIn(state, a.Request.GetTxn())
		answer, err := state.Apply(a.Request)
		t.after = append(t.after, outcome{state.Changes(), state.Revision(), err != nil})
		t.when = append(t.when, first(a.Index))
		if err != nil {
			continue
		}
		t.noteFences(place, fenced, answer)
		switch {
		case a.Request.GetCompaction() != nil:
			t.compactions = append(t.compactions, compaction{place, state.CompactRevision()})
		case a.Request.GetLeaseGrant() != nil:
			g := a.Request.GetLeaseGrant()
			t.leases = append(t.leases, life{id: g.GetID(), ttl: g.GetTTL(), granted: place, ended: never})
		case a.Request.GetLeaseRevoke() != nil:
			t.endLease(place, a.Request.GetLeaseRevoke().GetID(), state)
		}
	}
	t.events = state.Events()
	t.named = make(map[eventName][]*mvccpb.Event, len(t.events))
	for _, e := range t.events {
		t.named[nameEvent(e)] = append(t.named[nameEvent(e)], e)
	}
	return t
}

// never is the place in the log of what did not happen.
const never = int(^uint(0) >> 1)

// Revision is the newest revision.
func (t *Truth) Revision() int64 {
	if len(t.after) == 0 {
		return model.New().Revision()
	}
	return t.after[len(t.after)-1].revision
}

// known returns how many requests of the log had been applied by some member by a stamp: the newest state that anyone can have seen.
func (t *Truth) known(stamp uint64) int {
	return sort.Search(len(t.when), func(i int) bool { return t.when[i].Stamp > stamp })
}

// revisionAt is the newest revision that anyone can have seen by a stamp.
func (t *Truth) revisionAt(stamp uint64) int64 {
	if n := t.known(stamp); n > 0 {
		return t.after[n-1].revision
	}
	return model.New().Revision()
}

// compactedBy says whether a revision was compacted, from below up to at least it, by a stamp.
func (t *Truth) compactedBy(revision int64, stamp uint64) bool {
	return slices.ContainsFunc(t.compactions, func(c compaction) bool { return c.revision >= revision && t.when[c.place].Stamp <= stamp })
}

// find returns the event that a told one can be, but for its prev_kv; nil if there is none.
func (t *Truth) find(told *mvccpb.Event) *mvccpb.Event {
	for _, e := range t.named[nameEvent(told)] {
		if proto.Equal(e.GetKv(), told.GetKv()) {
			return e
		}
	}
	return nil
}

// since returns the events from a revision on.
func (t *Truth) since(revision int64) []*mvccpb.Event {
	return t.events[sort.Search(len(t.events), func(i int) bool { return t.events[i].GetKv().GetModRevision() >= revision }):]
}

// changesOf are the events of one request of the log.
func (t *Truth) changesOf(place int) []*mvccpb.Event {
	from := 0
	if place > 0 {
		from = t.after[place-1].changes
	}
	return t.events[from:t.after[place].changes]
}

// at names a place in the log as people look for it.
func (t *Truth) at(place int) string {
	if place == never {
		return "never"
	}
	return fmt.Sprintf("entry %d.%d (%d ns)", t.log[place].Index, t.log[place].Position, t.when[place].Time)
}

// Nobody is the client of operations that WithServed adds.
const Nobody = -1

// WithServed returns a history with the log's writes that no client made behind it, one operation each: members end leases and carry
// out lock and election calls. A search that sees keys come and go needs to know of them. Their outcome is unknown, as nobody got an
// answer, but they have their places in the log, and the time in which they happened: after everything had been called that stands
// before them, and by the time that the first member had applied them.
//
// A write that may be one of a client's, which does not know what became of it, is not added, unless it ends a lease. The result is for
// CheckPorcupine, Settle before it or not, and not for CheckWitness, which would take the log's word for what it is to judge. What is added is of the group that its keys are in, like any operation; a lock's
// keys must be in that of the transactions that are fenced with them.
func (t *Truth) WithServed(h History) History {
	claimed, lost := make(map[place]int), make(map[string]bool)
	for i := range h {
		switch o := &h[i]; {
		case !writes(o.Request):
		case o.Outcome == Unknown:
			lost[nameOf(wrapped(o.Request))] = true
		case o.Index > 0:
			claimed[place{o.Index, o.Position}] = i
		}
	}
	h = slices.Clip(h)
	called := uint64(0)
	for at, a := range t.log {
		i, ours := claimed[place{a.Index, a.Position}]
		switch {
		case ours:
			called = max(called, h[i].Call)
		case t.after[at].refused || a.Request.GetLeaseRevoke() == nil && lost[nameOf(a.Request)]:
		default:
			if request := requestIn(a.Request); request != nil && !isGrant(request) {
				h = append(h, Operation{Client: Nobody, Call: min(called, t.when[at].Stamp), Return: t.when[at].Stamp, Request: request,
					Index: a.Index, Position: a.Position})
			}
		}
	}
	return h
}

func isGrant(m proto.Message) bool {
	_, is := m.(*pb.LeaseGrantRequest)
	return is
}
