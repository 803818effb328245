package watches_test

import (
	"bytes"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	. "github.com/detcd/detcd/linearizability"
	. "github.com/detcd/detcd/linearizability/logtest"
	"github.com/detcd/detcd/linearizability/model"
	. "github.com/detcd/detcd/linearizability/watches"
)

// drawnLog is a log of writes to four keys, and the revision after each entry.
func drawnLog(t *rapid.T) (log []Applied, after []int64) {
	key := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	state := model.New()
	var requests []proto.Message
	for i := range rapid.IntRange(1, 30).Draw(t, "entries") {
		k := key.Draw(t, "key")
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			requests = append(requests, Delete(k))
		case 1:
			requests = append(requests, &pb.TxnRequest{Success: []*pb.RequestOp{OpPut(Put(k, "t")), OpDelete(&pb.DeleteRangeRequest{Key: []byte(k + "\x00"), RangeEnd: []byte("e")})}})
		case 2:
			requests = append(requests, &pb.CompactionRequest{Revision: max(1, state.Revision()-rapid.Int64Range(0, 4).Draw(t, "back"))})
		default:
			requests = append(requests, Put(k, string(rune('A'+i))))
		}
		log = Logged(requests...)
		_, _ = state.Apply(log[i].Request)
		after = append(after, state.Revision())
	}
	return log, after
}

// server is a naive server of one watch: it looks at the whole history each time, and remembers one number.
type server struct {
	t      *rapid.T
	events []*mvccpb.Event
	w      *Record
	next   int64 // revision
	stamp  uint64
}

func (s *server) wanted(e *mvccpb.Event) bool {
	r := s.w.Request
	k := e.Kv.Key
	in := bytes.Equal(k, r.Key)
	if len(r.RangeEnd) > 0 {
		in = bytes.Compare(k, r.Key) >= 0 && (bytes.Compare(k, r.RangeEnd) < 0 || string(r.RangeEnd) == "\x00")
	}
	return in && !slices.Contains(r.Filters, pb.WatchCreateRequest_FilterType(e.Type))
}

// say tells of everything up to a revision, the newest being head, in one response or in fragments.
func (s *server) say(upTo, head, compacted int64) {
	var batch []*mvccpb.Event
	for _, e := range s.events {
		if e.Kv.ModRevision < s.next || e.Kv.ModRevision > upTo || !s.wanted(e) {
			continue
		}
		e = proto.Clone(e).(*mvccpb.Event)
		if !s.w.Request.PrevKv || e.Kv.ModRevision <= compacted {
			e.PrevKv = nil
		}
		batch = append(batch, e)
	}
	s.next = max(s.next, upTo+1)
	for s.w.Request.Fragment && len(batch) > 1 && rapid.Bool().Draw(s.t, "cut here") {
		told := tell(s.stamp, head, batch[0])
		told.Response.Fragment = true
		s.w.Told = append(s.w.Told, told)
		batch = batch[1:]
	}
	if len(batch) > 0 {
		s.w.Told = append(s.w.Told, tell(s.stamp, head, batch...))
	}
}

// drawnWatch lets a right server serve a watch for some time.
func drawnWatch(t *rapid.T, log []Applied, after []int64, resumes *Record) *Record {
	state := model.New()
	var compacted []int64
	for _, a := range log {
		_, _ = state.Apply(a.Request)
		compacted = append(compacted, state.CompactRevision())
	}
	w := &Record{Request: &pb.WatchCreateRequest{Key: []byte("a"), PrevKv: rapid.Bool().Draw(t, "prev"), Fragment: rapid.Bool().Draw(t, "fragment")}}
	if resumes != nil {
		w.Request = proto.Clone(resumes.Request).(*pb.WatchCreateRequest)
		w.Resumes, w.Request.StartRevision = resumes, resumes.Next()
	} else {
		w.Request.RangeEnd = []byte(rapid.SampledFrom([]string{"", "c", "\x00"}).Draw(t, "end"))
		w.Request.StartRevision = rapid.Int64Range(0, 10).Draw(t, "start")
		if rapid.IntRange(0, 3).Draw(t, "filter") == 0 {
			w.Request.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_FilterType(rapid.IntRange(0, 1).Draw(t, "which"))}
		}
	}
	at := rapid.IntRange(0, len(log)-1).Draw(t, "created after")
	if resumes != nil && len(resumes.Told) > 0 {
		at = max(at, int(resumes.Told[len(resumes.Told)-1].Stamp/100)-4)
	}
	s := &server{t: t, events: state.Events(), w: w, next: w.Request.StartRevision, stamp: Each(log[at].Index).Stamp + 1}
	w.Call = s.stamp - 1
	w.Told = append(w.Told, created(s.stamp, after[at]))
	if s.next == 0 {
		s.next = after[at] + 1
	}
	for ; at < len(log); at++ {
		s.stamp = Each(log[at].Index).Stamp + 10
		switch rapid.IntRange(0, 5).Draw(t, "then") {
		case 0: // slow
		case 1:
			return w // cut off
		default:
			if s.next < compacted[at] {
				w.Told = append(w.Told, canceled(s.stamp, after[at], compacted[at]))
				return w
			}
			s.say(rapid.Int64Range(max(s.next-1, after[at]-2), max(s.next-1, after[at])).Draw(t, "up to"), after[at], compacted[at])
			if s.next == after[at]+1 && rapid.Bool().Draw(t, "bookmark") {
				w.Told = append(w.Told, tell(s.stamp+1, after[at]))
			}
		}
	}
	return w
}

func TestRightWatchesPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log, after := drawnLog(t)
		first := drawnWatch(t, log, after, nil)
		watches := []*Record{first}
		if last := first.Told[len(first.Told)-1].Response; !last.Canceled {
			watches = append(watches, drawnWatch(t, log, after, first))
		}
		if v := Check(NewTruth(log, Each), watches); v != nil {
			t.Fatalf("a right watch is taken for wrong: %v", v)
		}
	})
}

// An event that is missing, repeated, moved or changed does not go unnoticed, wherever it is, as long as something behind it was told.
func TestWrongWatchesAreFound(t *testing.T) {
	changed := 0
	rapid.Check(t, func(t *rapid.T) {
		log, after := drawnLog(t)
		type spot struct{ told, event int }
		var spots []spot
		var w *Record
		for range 10 { // most are told too little
			w, spots = drawnWatch(t, log, after, nil), nil
			for i, told := range w.Told {
				for n := range told.Response.Events {
					spots = append(spots, spot{i, n})
				}
			}
			if len(spots) >= 2 && !w.Told[len(w.Told)-1].Response.Fragment {
				break
			}
			spots = nil
		}
		if len(spots) == 0 {
			return
		}
		changed++
		at := rapid.SampledFrom(spots[:len(spots)-1]).Draw(t, "victim")
		r := w.Told[at.told].Response
		e := r.Events[at.event]
		change := rapid.SampledFrom([]string{"drop", "repeat", "repeat at the end", "value", "revision", "swap"}).Draw(t, "change")
		switch change {
		case "drop":
			r.Events = slices.Delete(r.Events, at.event, at.event+1)
		case "repeat":
			r.Events = slices.Insert(r.Events, at.event, e)
		case "repeat at the end":
			w.Told = append(w.Told, tell(w.Told[len(w.Told)-1].Stamp, after[len(after)-1], e))
		case "value":
			e.Kv.Value = append(e.Kv.Value, '!')
		case "revision":
			e.Kv.ModRevision++
		case "swap":
			next := spots[slices.Index(spots, at)+1]
			other := w.Told[next.told].Response
			r.Events[at.event], other.Events[next.event] = other.Events[next.event], e
		}
		if Check(NewTruth(log, Each), []*Record{w}) == nil {
			t.Fatalf("%s at %v goes unnoticed in %v", change, at, w)
		}
	})
	if changed < 20 {
		t.Errorf("only %d watches were changed", changed)
	}
}
