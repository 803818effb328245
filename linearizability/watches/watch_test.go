package watches_test

import (
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	. "github.com/detcd/detcd/linearizability"
	. "github.com/detcd/detcd/linearizability/logtest"
	"github.com/detcd/detcd/linearizability/model"
	. "github.com/detcd/detcd/linearizability/watches"
)

// watchLog has events at revisions 2 to 7, in entries 4, 5, 6, 7, 9 and 10, and a compaction to 3 in entry 8.
func watchLog() []Applied {
	return Logged(
		Put("a", "1"),
		&pb.TxnRequest{Success: []*pb.RequestOp{OpPut(Put("a", "2")), OpPut(Put("b", "1"))}},
		Put("c", "1"),
		Delete("a"),
		&pb.CompactionRequest{Revision: 3},
		Put("b", "2"),
		&pb.TxnRequest{Success: []*pb.RequestOp{OpPut(Put("a", "3")), OpPut(Put("b", "3"))}},
	)
}

// eventsOf are all events of a log, with prev_kv, by revision.
func eventsOf(t testing.TB, log []Applied) map[int64][]*mvccpb.Event {
	t.Helper()
	state := model.New()
	for _, a := range log {
		if _, err := state.Apply(a.Request); err != nil {
			t.Fatal(err)
		}
	}
	by := make(map[int64][]*mvccpb.Event)
	for _, e := range state.Events() {
		by[e.Kv.ModRevision] = append(by[e.Kv.ModRevision], e)
	}
	return by
}

func tell(stamp uint64, revision int64, events ...*mvccpb.Event) Told {
	r := &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: revision}}
	for _, e := range events {
		r.Events = append(r.Events, proto.Clone(e).(*mvccpb.Event))
	}
	return Told{stamp, r}
}

func created(stamp uint64, revision int64) Told {
	told := tell(stamp, revision)
	told.Response.Created = true
	return told
}

func canceled(stamp uint64, revision, compacted int64) Told {
	told := tell(stamp, revision)
	told.Response.Canceled, told.Response.CompactRevision = true, compacted
	return told
}

// rightWatch watches a and b, from revision 2 on.
func rightWatch(by map[int64][]*mvccpb.Event) *Record {
	return &Record{Client: 1, Member: 1, Live: true, Call: 650,
		Request: &pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("c"), StartRevision: 2, PrevKv: true},
		Told: []Told{
			created(651, 4),
			tell(652, 4, slices.Concat(by[2], by[3])...),
			tell(653, 4), // a bookmark
			tell(705, 5, by[5]...),
			tell(905, 6, by[6]...),
			tell(1005, 7, by[7]...),
			tell(1010, 7),
		}}
}

// drop leaves the i-th response out.
func drop(w *Record, i int) { w.Told = slices.Delete(w.Told, i, i+1) }

// canceledOf is a watch that is created before revision 2 and canceled, without a word in between, for the compaction to 3.
func canceledOf(key string, start int64, end string) *Record {
	return &Record{Client: 1, Member: 1, Call: 350,
		Request: &pb.WatchCreateRequest{Key: []byte(key), RangeEnd: []byte(end), StartRevision: start},
		Told:    []Told{created(351, 1), canceled(801, 0, 3)}}
}

func TestWatchPromises(t *testing.T) {
	log := watchLog()
	by := eventsOf(t, log)
	fragmented := func(w *Record) {
		w.Request.Fragment = true
		first, second := tell(1005, 7, by[7][0]), tell(1006, 7, by[7][1])
		first.Response.Fragment = true
		w.Told = slices.Concat(w.Told[:5], []Told{first, second})
	}
	for _, c := range []struct {
		name   string
		change func(w *Record)
		want   string // empty: it is still right
	}{
		{"nothing", func(w *Record) {}, ""},
		{"it is cut off", func(w *Record) { w.Told = w.Told[:4] }, ""},
		{"nobody answers", func(w *Record) { w.Told = nil }, ""},
		{"created only", func(w *Record) { w.Told = w.Told[:1] }, ""},
		{"two revisions in one response", func(w *Record) {
			w.Told[5] = tell(1005, 7, slices.Concat(by[6], by[7])...)
			drop(w, 4)
		}, ""},

		{"no created", func(w *Record) { drop(w, 0) }, "created comes first"},
		{"created twice", func(w *Record) { w.Told = slices.Insert(w.Told, 2, created(653, 4)) }, "created comes first"},
		{"created with events", func(w *Record) { w.Told[0].Response.Events = by[2] }, "created comes first"},
		{"refused", func(w *Record) {
			w.Told = []Told{created(651, 4)}
			w.Told[0].Response.Canceled = true
		}, "created"},
		{"refused for a reason", func(w *Record) {
			w.Told = []Told{created(651, 4)}
			w.Told[0].Response.Canceled, w.Refusable = true, true
		}, ""},

		{"a header from the future", func(w *Record) { w.Told[2].Response.Header.Revision = 5 }, "nothing before it happened"},
		{"an event from the future", func(w *Record) {
			w.Told[3].Stamp = 699
			w.Told[3].Response.Header.Revision = 4
		}, "nothing before it happened"},
		{"a header older than the events", func(w *Record) { w.Told[5].Response.Header.Revision = 6 }, "bookmarkable"},

		{"older than asked", func(w *Record) { w.Request.StartRevision = 3 }, "starts where asked"},
		{"from now on, and what was before", func(w *Record) { w.Request.StartRevision = 0 }, "starts where asked"},
		{"from now on", func(w *Record) {
			w.Request.StartRevision = 0
			w.Told = slices.Delete(w.Told, 1, 3)
		}, ""},
		{"from now on, with the first missing", func(w *Record) {
			w.Request.StartRevision = 0
			w.Told = slices.Delete(w.Told, 1, 4)
		}, "nothing missed"},
		{"from the future on", func(w *Record) {
			w.Request.StartRevision = 7
			w.Told = slices.Delete(w.Told, 1, 5)
		}, ""},
		{"from the future on, and what was before", func(w *Record) {
			w.Request.StartRevision = 7
			w.Told = slices.Delete(w.Told, 1, 4)
		}, "starts where asked"},

		{"out of order", func(w *Record) { w.Told[4], w.Told[5] = tell(1004, 7, by[7]...), tell(1005, 7, by[6]...) }, "ordered"},
		{"from the beginning again", func(w *Record) { w.Told = append(w.Told, tell(1011, 7, by[3]...)) }, "ordered"},
		{"an event twice", func(w *Record) { w.Told = slices.Insert(w.Told, 5, tell(906, 6, by[6]...)) }, "unique"},
		{"an event twice in a response", func(w *Record) { w.Told[4] = tell(905, 6, by[6][0], by[6][0]) }, "unique"},

		{"a key outside of the range", func(w *Record) { w.Told[2] = tell(653, 4, by[4]...) }, "filterable"},
		{"a deletion that is filtered", func(w *Record) {
			w.Request.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE}
		}, "filterable"},
		{"a put that is filtered", func(w *Record) {
			w.Request.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT}
		}, "filterable"},
		{"without deletions", func(w *Record) {
			w.Request.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE}
			drop(w, 3)
		}, ""},
		{"a value that nobody wrote", func(w *Record) { w.Told[4].Response.Events[0].Kv.Value = []byte("9") }, "true"},
		{"a revision that is not", func(w *Record) { w.Told[4].Response.Events[0].Kv.ModRevision = 5 }, "true"},
		{"a deletion that was none", func(w *Record) { w.Told[4].Response.Events[0].Type = mvccpb.Event_DELETE }, "true"},

		{"another prev_kv", func(w *Record) { w.Told[4].Response.Events[0].PrevKv.Value = []byte("9") }, "prev_kv"},
		{"a prev_kv of what was created", func(w *Record) { w.Told[1].Response.Events[0].PrevKv = by[3][0].PrevKv }, "prev_kv"},
		{"no prev_kv", func(w *Record) { w.Told[4].Response.Events[0].PrevKv = nil }, "prev_kv"},
		{"no prev_kv before it is compacted", func(w *Record) { w.Told[1].Response.Events[1].PrevKv = nil }, "prev_kv"},
		{"a prev_kv that nobody asked for", func(w *Record) { w.Request.PrevKv = false }, "prev_kv"},
		{"no prev_kv after it was compacted", func(w *Record) {
			w.Call = 850
			for i := range w.Told {
				w.Told[i].Stamp += 1000
			}
			w.Told[1].Response.Events[1].PrevKv = nil
		}, ""},

		{"half a revision", func(w *Record) { w.Told[5] = tell(1005, 7, by[7][:1]...) }, "atomic"},
		{"the other half", func(w *Record) { w.Told[5] = tell(1005, 7, by[7][1:]...) }, "atomic"},
		{"one half after the other", func(w *Record) {
			w.Told = slices.Replace(w.Told, 5, 6, tell(1005, 7, by[7][:1]...), tell(1006, 7, by[7][1:]...))
		}, "atomic"},
		{"one half before the other", func(w *Record) { w.Told[5] = tell(1005, 7, by[7][1], by[7][0]) }, "atomic"},
		{"half of one that is not the last", func(w *Record) { w.Told[1] = tell(652, 4, by[2][0], by[3][0]) }, "atomic"},
		{"half of one in the middle", func(w *Record) {
			w.Told = slices.Replace(w.Told, 1, 4, tell(705, 5, by[2][0], by[3][0], by[5][0]))
		}, "atomic"},
		{"fragments", fragmented, ""},
		{"fragments that nobody asked for", func(w *Record) { fragmented(w); w.Request.Fragment = false }, "atomic"},
		{"fragments cut off", func(w *Record) { fragmented(w); w.Told = w.Told[:6] }, ""},
		{"fragments without an end", func(w *Record) { fragmented(w); w.Told[6].Response.Events = nil }, "atomic"},
		{"fragments out of order", func(w *Record) {
			fragmented(w)
			a, b := w.Told[5].Response, w.Told[6].Response
			a.Events, b.Events = b.Events, a.Events
		}, "atomic"},

		{"a gap", func(w *Record) { drop(w, 3) }, "nothing missed"},
		{"a gap before a bookmark", func(w *Record) { drop(w, 5) }, "nothing missed"},
		{"nothing but a bookmark", func(w *Record) { w.Told = slices.Delete(w.Told, 1, 6) }, "nothing missed"},
		{"a gap in the first response", func(w *Record) { w.Told[1] = tell(652, 4, by[3]...) }, "nothing missed"},
		{"a bookmark ahead of its events", func(w *Record) { w.Told[5], w.Told[6] = tell(1005, 7), tell(1006, 7, by[7]...) }, "bookmarkable"},

		{"canceled by itself", func(w *Record) { w.Told = append(w.Told[:2], canceled(660, 4, 0)) }, "compacted"},
		{"canceled as asked", func(w *Record) {
			w.CancelCall = 655
			w.Told = append(w.Told[:2], canceled(660, 4, 0))
		}, ""},
		{"canceled before asked", func(w *Record) {
			w.CancelCall = 665
			w.Told = append(w.Told[:2], canceled(660, 4, 0))
		}, "compacted"},
		{"events after it was canceled", func(w *Record) {
			w.CancelCall = 655
			w.Told = slices.Insert(w.Told, 2, canceled(653, 4, 0))
		}, "canceled is the last"},
		{"canceled with events", func(w *Record) {
			w.CancelCall = 655
			w.Told[6] = tell(1006, 7, by[7]...)
			w.Told[6].Response.Canceled = true
			drop(w, 5)
		}, "canceled is the last"},
		{"overtaken", func(w *Record) { w.Told = append(w.Told[:1], canceled(801, 5, 3)) }, ""},
		{"overtaken before it was compacted", func(w *Record) { w.Told = append(w.Told[:1], canceled(701, 5, 3)) }, "compacted"},
		{"overtaken by another revision", func(w *Record) { w.Told = append(w.Told[:1], canceled(801, 5, 4)) }, "compacted"},
		{"overtaken though it was told", func(w *Record) { w.Told = append(w.Told[:2], canceled(801, 5, 3)) }, "compacted"},
		{"overtaken though it starts there", func(w *Record) {
			w.Request.StartRevision = 3
			w.Told = append(w.Told[:1], canceled(801, 5, 3))
		}, "compacted"},
		{"canceled for a compaction though idle", func(w *Record) { *w = *canceledOf("z", 0, "") }, "idle is spared"},
		{"canceled for a compaction though idle, all from z on", func(w *Record) { *w = *canceledOf("z", 0, "\x00") }, "idle is spared"},
		{"canceled for a compaction though idle, from the future on", func(w *Record) { *w = *canceledOf("z", 2, "") }, "idle is spared"},
		{"idle, but its member can't know", func(w *Record) { *w = *canceledOf("z", 0, ""); w.Unsure = true }, ""},
		{"idle, but from the past on", func(w *Record) { *w = *canceledOf("z", 1, "") }, ""},
		{"its range saw a change, behind the compaction", func(w *Record) { *w = *canceledOf("c", 0, "") }, ""},
		{"its range saw a change, which it filters", func(w *Record) {
			*w = *canceledOf("c", 0, "")
			w.Request.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT}
		}, ""},
		{"compacted, but going on", func(w *Record) { w.Told[6].Response.CompactRevision = 3 }, "compacted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := rightWatch(by)
			c.change(w)
			Verdict(t, Check(NewTruth(log, Each), []*Record{w}), c.want)
		})
	}
}

// resumedWatch goes on elsewhere after revision 5 had been told.
func resumedWatch(by map[int64][]*mvccpb.Event) (first, then *Record) {
	first = rightWatch(by)
	first.Told, first.Live = first.Told[:4], false
	then = rightWatch(by)
	then.Member, then.Call, then.Resumes = 2, 950, first
	then.Request.StartRevision = first.Next()
	then.Told = slices.Concat([]Told{created(951, 5)}, then.Told[4:])
	then.Told[1].Stamp = 952
	return first, then
}

func TestResumedWatches(t *testing.T) {
	log := watchLog()
	by := eventsOf(t, log)
	for _, c := range []struct {
		name   string
		change func(first, then *Record)
		want   string
	}{
		{"it tells the rest", func(_, _ *Record) {}, ""},
		{"it tells the last again", func(_, then *Record) { then.Told = slices.Insert(then.Told, 1, tell(952, 5, by[5]...)) }, "resumable"},
		{"it tells all again", func(_, then *Record) {
			then.Told = slices.Insert(then.Told, 1, tell(952, 5, slices.Concat(by[2], by[3], by[5])...))
		}, "resumable"},
		{"it leaves one out", func(_, then *Record) { drop(then, 1) }, "nothing missed"},
		{"it goes on from elsewhere", func(_, then *Record) { then.Request.StartRevision++ }, "the record is one"},
		{"it is another", func(_, then *Record) { then.Request.RangeEnd = nil }, "the record is one"},
		{"it is overtaken, but is not", func(_, then *Record) { then.Told = []Told{then.Told[0], canceled(953, 6, 3)} }, "compacted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, then := resumedWatch(by)
			c.change(first, then)
			Verdict(t, Check(NewTruth(log, Each), []*Record{first, then}), c.want)
		})
	}
}

func TestNextIsBehindWhatWasTold(t *testing.T) {
	by := eventsOf(t, watchLog())
	w := rightWatch(by)
	for told, want := range map[int]int64{0: 2, 1: 2, 2: 4, 3: 5, 4: 6, 5: 7, 6: 8, 7: 8} {
		short := *w
		short.Told = w.Told[:told]
		if got := short.Next(); got != want {
			t.Errorf("after %d responses it goes on from %d, want %d", told, got, want)
		}
	}
	w.Request.StartRevision = 0
	for told, want := range map[int]int64{0: 0, 1: 5} {
		short := *w
		short.Told = w.Told[:told]
		if got := short.Next(); got != want {
			t.Errorf("from now on, after %d responses it goes on from %d, want %d", told, got, want)
		}
	}
	w.Request.StartRevision = 2
	cut := tell(706, 5, by[5]...)
	cut.Response.Fragment = true
	w.Told = append(w.Told[:2], cut)
	if got := w.Next(); got != 4 {
		t.Errorf("after half a run of fragments it goes on from %d, want 4", got)
	}
}

func TestWatchesCatchUp(t *testing.T) {
	log := watchLog()
	by := eventsOf(t, log)
	for _, c := range []struct {
		name   string
		change func(w *Record)
		want   string
	}{
		{"it has", func(w *Record) {}, ""},
		{"it has without a bookmark", func(w *Record) { drop(w, 6) }, ""},
		{"the end is missing", func(w *Record) { w.Told = w.Told[:5] }, "caught up"},
		{"half a run of fragments at the end", func(w *Record) {
			w.Request.Fragment = true
			w.Told = w.Told[:6]
			w.Told[5].Response.Fragment = true
		}, "caught up"},
		{"it was never created", func(w *Record) { w.Told = nil }, "caught up"},
		{"its stream broke", func(w *Record) { w.Live, w.Told = false, w.Told[:5] }, ""},
		{"it was canceled", func(w *Record) { w.Told = append(w.Told[:1], canceled(801, 5, 3)) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := rightWatch(by)
			c.change(w)
			truth := NewTruth(log, Each)
			Verdict(t, CheckCaughtUp(truth, []*Record{w}, truth.Revision()), c.want)
		})
	}
	w := rightWatch(by)
	w.Told = w.Told[:5]
	Verdict(t, CheckCaughtUp(NewTruth(log, Each), []*Record{w}, 6), "")
}

func TestAMembersNowOnlyGrows(t *testing.T) {
	log := watchLog()
	by := eventsOf(t, log)
	first, then := rightWatch(by), rightWatch(by)
	then.Call, then.Request.StartRevision, then.Told = 1020, 0, []Told{created(1021, 6)}
	Verdict(t, Check(NewTruth(log, Each), []*Record{first, then}), "never goes back")
	then.Incarnation = 2
	Verdict(t, Check(NewTruth(log, Each), []*Record{first, then}), "")
	then.Incarnation, then.Told[0].Response.Header.Revision = 0, 7
	Verdict(t, Check(NewTruth(log, Each), []*Record{first, then}), "")
}
