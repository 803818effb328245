// Package watches holds the promises of watches: nothing missed, nothing twice, nothing that did not happen, in order, whole revisions, true
// bookmarks, and an end only where a compaction overtook the watch.
package watches

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/detcd/detcd/linearizability"
)

// Record is one watch on one stream, thus at one member, as its client saw it.
type Record struct {
	Client              int
	Member, Incarnation uint64
	Request             *pb.WatchCreateRequest
	Call                uint64 // stamp of the request
	// Told is every response for this watch, in order. A response for all watches of the stream (a progress answer with watch_id -1) is in the record of
	// each watch that had been created by then and not canceled. Nothing is added once another watch resumes this one.
	Told []Told
	// CancelCall is the stamp of the client's request to cancel it; 0: there was none.
	CancelCall uint64
	// Refusable: the request is wrong on purpose, a member may refuse it.
	Refusable bool
	// Resumes is the watch that this one goes on from; nil: none. The start revision in Request is what that watch's Next said.
	Resumes *Record
	// Unsure: the member can't know what the watch may have missed. Its state was replaced by a snapshot, or a compaction came before the watch was
	// attached.
	Unsure bool
	// Live: the stream still stood when the run ended, and the client had not asked to cancel.
	Live bool
}

// Told is a response, and its stamp.
type Told struct {
	Stamp    uint64
	Response *pb.WatchResponse
}

// Check holds watches to all promises of this package but CheckCaughtUp's.
func Check(t *linearizability.Truth, watches []*Record) *linearizability.Violation {
	if v := nowOnlyGrows(t, watches); v != nil {
		return v
	}
	for i, w := range watches {
		told, v := readWatch(t, i, w)
		if v != nil {
			return v
		}
		for _, promise := range []func(*watched) *linearizability.Violation{
			resumed, started, ordered, unique, filtered, prevRight, bookmarked, atomic, missed, compactedRight, sparedIdle} {
			if v := promise(told); v != nil {
				return v
			}
		}
	}
	return nil
}

// Next is the revision to resume from, behind everything that the watch has told in full. 0: nothing is known yet, and it is to begin anew.
func (w *Record) Next() int64 {
	next := w.Request.GetStartRevision()
	for _, u := range unitsOf(w) {
		switch {
		case !u.whole || u.canceled:
		case u.created && next == 0:
			next = u.revision + 1
		case u.created:
		case len(u.events) > 0:
			next = max(next, u.events[len(u.events)-1].GetKv().GetModRevision()+1)
		default:
			next = max(next, u.revision+1)
		}
	}
	return next
}

// unit is one response, or several that are fragments of one.
type unit struct {
	created, canceled bool
	whole             bool // the last fragment came
	stamp             uint64
	revision          int64 // the header's
	compacted         int64
	reason            string
	events            []*mvccpb.Event
}

// bookmark says whether a unit says only that all up to its revision has been told.
func (u *unit) bookmark() bool {
	return u.whole && !u.created && !u.canceled && len(u.events) == 0
}

// unitsOf puts fragments together.
func unitsOf(w *Record) []unit {
	var units []unit
	open := false
	for _, told := range w.Told {
		r := told.Response
		if !open {
			units = append(units, unit{created: r.GetCreated()})
		}
		u := &units[len(units)-1]
		u.canceled, u.compacted, u.reason = r.GetCanceled(), r.GetCompactRevision(), r.GetCancelReason()
		u.events = append(u.events, r.GetEvents()...)
		u.stamp, u.revision = told.Stamp, r.GetHeader().GetRevision()
		open = r.GetFragment()
		u.whole = !open
	}
	return units
}

// watched is a watch beside the truth about it.
type watched struct {
	*Record
	truth *linearizability.Truth
	name  int // in the list
	units []unit
	// begun: the watch was created. first is the first revision that it is about then.
	begun bool
	first int64
	// due are the events from first on that match.
	due []*mvccpb.Event
}

const promiseWatch = "watch: "

// readWatch reads a record, and holds what must be so for that: the first response is created, and has no events; nothing comes after canceled;
// fragments come only when asked for; no revision is named before anyone can have seen it.
func readWatch(t *linearizability.Truth, name int, r *Record) (*watched, *linearizability.Violation) {
	w := &watched{Record: r, truth: t, name: name, units: unitsOf(r)}
	for i := range w.units {
		u := &w.units[i]
		switch {
		case (i == 0) != u.created:
			return nil, w.broken("created comes first", "response %d has created: %v", i, u.created)
		case u.created && len(u.events) > 0:
			return nil, w.broken("created comes first", "it comes with %d events", len(u.events))
		case i > 0 && w.units[i-1].canceled:
			return nil, w.broken("canceled is the last", "something comes after it at %d", u.stamp)
		case u.canceled && len(u.events) > 0:
			return nil, w.broken("canceled is the last", "it comes with %d events", len(u.events))
		case u.revision > t.RevisionAt(u.stamp):
			return nil, w.broken("nothing before it happened", "the header names revision %d at %d, when the newest was %d", u.revision, u.stamp, t.RevisionAt(u.stamp))
		}
	}
	for i, told := range r.Told {
		last := i == len(r.Told)-1
		switch resp := told.Response; {
		case resp.GetFragment() && !r.Request.GetFragment():
			return nil, w.broken("atomic", "response %d is a fragment, which nobody asked for", i)
		case resp.GetFragment() && (resp.GetCreated() || resp.GetCanceled()), resp.GetFragment() && !last && w.endsRun(i+1):
			return nil, w.broken("atomic", "the fragments up to response %d have no end", i)
		}
	}
	if len(w.units) == 0 || w.units[0].canceled {
		return w, nil
	}
	w.begun, w.first = true, r.Request.GetStartRevision()
	if w.first <= 0 {
		w.first = w.units[0].revision + 1
	}
	for _, e := range t.Since(w.first) {
		if w.matches(e) {
			w.due = append(w.due, e)
		}
	}
	return w, nil
}

// endsRun says whether a response can't be a fragment behind another.
func (w *watched) endsRun(i int) bool {
	r := w.Told[i].Response
	return r.GetCreated() || r.GetCanceled() || len(r.GetEvents()) == 0
}

// key is the first key of the range: without one it is the smallest that there can be.
func (w *watched) key() []byte {
	if k := w.Request.GetKey(); len(k) > 0 {
		return k
	}
	return []byte{0}
}

// concerns says whether an event is of the range, whatever the filters say.
func (w *watched) concerns(e *mvccpb.Event) bool {
	return linearizability.InSpan(e.GetKv().GetKey(), w.key(), w.Request.GetRangeEnd())
}

func (w *watched) matches(e *mvccpb.Event) bool {
	if !w.concerns(e) {
		return false
	}
	for _, f := range w.Request.GetFilters() {
		if f == pb.WatchCreateRequest_NOPUT && e.GetType() == mvccpb.Event_PUT || f == pb.WatchCreateRequest_NODELETE && e.GetType() == mvccpb.Event_DELETE {
			return false
		}
	}
	return true
}

// events are all that was told, those of a unit that was cut off included.
func (w *watched) events() (all []*mvccpb.Event) {
	for _, u := range w.units {
		all = append(all, u.events...)
	}
	return all
}

func (w *watched) broken(promise, format string, args ...any) *linearizability.Violation {
	return linearizability.Broken(promiseWatch+promise, nil, "watch %d of client %d at member %x, asked for at %d (%s): %s",
		w.name, w.Client, w.Member, w.Call, linearizability.Text(w.Request), fmt.Sprintf(format, args...))
}

func revisionOf(e *mvccpb.Event) int64 { return e.GetKv().GetModRevision() }
