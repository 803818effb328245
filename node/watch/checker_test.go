package watch_test

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/watch"
)

// observed is a watch as its client sees it, beside what a naive reading of the history promises it.
type observed struct {
	id       int64
	request  *pb.WatchCreateRequest
	start    int64 // the first revision it is to be told of
	promised int   // index in history of the first event that it has not been told, matching or not
	last     int64 // revision of the last event told
	revision int64 // of the last answer
	within   bool  // a run of fragments
	past     bool  // started at or before the head, and was not seen to have caught up
	ended    bool
}

func (o *observed) matches(c change) bool {
	key, from, end := string(c.event.Kv.Key), string(o.request.Key), string(o.request.RangeEnd)
	if from == "" {
		from = "\x00"
	}
	switch end {
	case "":
		return key == from
	case "\x00":
		return key >= from
	}
	return key >= from && key < end
}

// wants is matches with filters and the start.
func (o *observed) wants(c change) bool {
	if c.main < o.start || !o.matches(c) {
		return false
	}
	for _, f := range o.request.Filters {
		if (f == pb.WatchCreateRequest_NOPUT) == (c.event.Type == mvccpb.Event_PUT) {
			return false
		}
	}
	return true
}

// checker is a client that holds every answer against the history.
type checker struct {
	*client
	name     string
	options  watch.Options
	watches  map[int64]*observed
	pending  []*pb.WatchCreateRequest // creations that have not been answered
	asked    int64                    // head at the last progress request; 0 if none awaits an answer
	sure     bool                     // that request is answered in the end: there were watchers all the time, none of the future
	restored bool
	idle     int64 // the head when the stream last had nothing to do: then every watch has seen everything
}

func (c *checker) fail(format string, args ...any) {
	c.w.t.Helper()
	c.w.t.Fatalf("%s: %s", c.name, fmt.Sprintf(format, args...))
}

// check takes one answer.
func (c *checker) check(m *pb.WatchResponse) {
	if m.Created {
		c.checkCreated(m)
		return
	}
	if m.WatchId == -1 {
		c.checkProgressOfAll(m)
		return
	}
	o := c.watches[m.WatchId]
	switch {
	case o == nil || o.ended:
		c.fail("an answer for a watch that there is not: %v", m)
	case m.Canceled:
		o.ended, c.sure = true, false
		if m.CompactRevision != 0 {
			c.checkOvertaken(o, m)
		}
	case len(m.Events) == 0:
		if !o.request.ProgressNotify {
			c.fail("an empty answer: %v", m)
		}
		c.checkPassed(o, m.Header.Revision)
		if m.Header.Revision+1 < o.start {
			c.fail("watch %d starts at %d and was told progress %d", o.id, o.start, m.Header.Revision)
		}
	default:
		c.checkEvents(o, m)
	}
}

func (c *checker) checkCreated(m *pb.WatchResponse) {
	r := c.pending[0]
	c.pending = c.pending[1:]
	if m.Canceled || len(m.Events) > 0 {
		c.fail("created: %v", m)
	}
	if o := c.watches[m.WatchId]; o != nil && !o.ended {
		c.fail("watch id %d is used twice", m.WatchId)
	}
	o := &observed{id: m.WatchId, request: r, start: r.StartRevision, past: r.StartRevision != 0 && r.StartRevision <= m.Header.Revision}
	if o.start == 0 {
		o.start = m.Header.Revision + 1
	}
	c.watches[m.WatchId] = o
}

func (c *checker) checkEvents(o *observed, m *pb.WatchResponse) {
	first := m.Events[0].Kv.ModRevision
	if !o.within && first <= o.last {
		c.fail("watch %d: revision %d is split", o.id, first)
	}
	if m.Header.Revision < o.revision || (o.within && m.Header.Revision != o.revision) {
		c.fail("watch %d: answers of revisions %d, then %d", o.id, o.revision, m.Header.Revision)
	}
	for _, got := range m.Events {
		want := c.next(o)
		if want == nil {
			c.fail("watch %d: told too much: %v", o.id, got)
		}
		if want = proto.CloneOf(want); !o.request.PrevKv || want.Kv.ModRevision <= c.w.view.CompactRevision() {
			want.PrevKv = nil
		}
		if !proto.Equal(got, want) {
			c.fail("watch %d:\n got %v\nwant %v", o.id, got, want)
		}
		o.last = got.Kv.ModRevision
	}
	o.revision, o.within = m.Header.Revision, m.Fragment
	if m.Fragment && !o.request.Fragment {
		c.fail("watch %d did not ask for fragments", o.id)
	}
	if o.request.Fragment && len(m.Events) > 1 && proto.Size(m) > c.options.FragmentBytes {
		c.fail("watch %d: a fragment of %d bytes", o.id, proto.Size(m))
	}
	if !m.Fragment {
		c.checkPassed(o, m.Header.Revision)
	}
}

// next is the next event that the watch is promised; nil if there is none.
func (c *checker) next(o *observed) *mvccpb.Event {
	for ; o.promised < len(c.w.history); o.promised++ {
		if change := c.w.history[o.promised]; o.wants(change) {
			o.promised++
			return change.event
		}
	}
	return nil
}

// checkPassed says that everything up to a revision has been told.
func (c *checker) checkPassed(o *observed, rev int64) {
	if rev < o.revision || rev > c.w.view.Revision() {
		c.fail("watch %d: revision %d after %d, at %d", o.id, rev, o.revision, c.w.view.Revision())
	}
	o.revision = rev
	for _, change := range c.w.history[o.promised:] {
		if change.main <= rev && o.wants(change) {
			c.fail("watch %d: revision %d is said before %v", o.id, rev, change.event)
		}
	}
}

func (c *checker) checkProgressOfAll(m *pb.WatchResponse) {
	rev := m.Header.Revision
	if len(m.Events) > 0 || m.Canceled || c.asked == 0 || rev < c.asked {
		c.fail("progress asked at %d: %v", c.asked, m)
	}
	c.asked = 0
	for _, o := range c.watches {
		if !o.ended {
			c.checkPassed(o, rev)
		}
	}
}

// checkOvertaken: a cancellation is right only if the compaction reaches beyond something that the watch had yet to look at. One that has
// looked at everything and then had no event is not overtaken, however far the compaction reaches.
func (c *checker) checkOvertaken(o *observed, m *pb.WatchResponse) {
	rev := c.w.view.CompactRevision()
	if m.CompactRevision != rev {
		c.fail("watch %d was told compacted revision %d, it is %d", o.id, m.CompactRevision, rev)
	}
	missing := o.start < rev && (o.past || c.restored || c.w.hidden)
	for _, change := range c.w.history {
		missing = missing || change.main > c.idle && change.main < rev && o.matches(change)
	}
	if !missing {
		c.fail("watch %d from %d was cancelled by compaction %d, which took nothing from it", o.id, o.start, rev)
	}
}

// settled is checked when nothing is left to do: nothing was missed.
func (c *checker) settled() {
	for _, o := range c.watches {
		if o.ended {
			continue
		}
		o.past = false
		if missed := c.next(o); missed != nil {
			c.fail("watch %d missed %v", o.id, missed)
		}
	}
	if c.asked != 0 && c.sure {
		c.fail("progress asked at %d was not answered", c.asked)
	}
	c.asked, c.restored = 0, false
}

func (c *checker) ask() {
	c.asked, c.sure = c.w.view.Revision(), c.stream.Watchers() > 0
	for _, o := range c.watches {
		c.sure = c.sure && (o.ended || o.start <= c.asked+1)
	}
	for _, r := range c.pending {
		c.sure = c.sure && r.StartRevision <= c.asked+1
	}
	c.progress()
}

func (c *checker) advance() {
	for _, m := range c.step() {
		c.check(m)
	}
	c.rest()
}

func (c *checker) rest() {
	if !c.due {
		c.idle = c.w.view.Revision()
	}
}
