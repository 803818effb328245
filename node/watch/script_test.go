package watch_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/watch"
)

// TestScripts runs the stories in testdata: commands to one member's store, its hub and the streams of its clients, and below them what came of
// each. After a change that is meant, `go test ./node/watch -run TestScripts -rewrite` writes the answers anew; read the difference before
// you keep it.
//
// Every line above the ---- is a command. A RANGE is a key, "a..c" (a and what follows, without c), "a.." (a and all that follows), "..c" (all before c),
// or "all".
//
// The member and its store:
//
//	member [blind]         a new, empty member; a blind one does not look at its events before a compaction hides them
//	put KEY [VALUE]        a turn with this one request. Likewise: delete RANGE, compact REVISION, and txn KEY[=VALUE]...,
//	                       which puts them all in one revision
//	turn                   one turn with all requests in the lines that follow at once; without any, an empty turn
//	leader                 the requests in the lines that follow are committed elsewhere, and this member lags
//	follow [COUNT]         one turn that applies so many of what the member lags behind, or all
//	snapshot               a snapshot of the leader's takes the place of the member's store
//	turn hold              what streams have attached by now waits for a later turn
//	turn unpublished       a turn that is not over: what it has applied is not published yet
//	turn unfinished        the view is published, and the hub does not know it yet; finish: now it does
//
// Clients:
//
//	stream [NAME] [chunk=BYTES] [pack-bytes=BYTES] [pack-events=COUNT] [fragment=BYTES]
//	                       a stream, whom the commands below are for from now on; use NAME: another one
//	watch RANGE [id=N] [start=REVISION] [prev-kv] [fragment] [notify] [no-put] [no-delete]
//	cancel ID, progress    requests of the client's
//	notify                 the time for periodic progress has come
//	step [COUNT]           the stream takes one step, or so many; read: as many as there is work for
//	close                  the client is gone
//	stats                  how many watchers there are, and how many of them are behind
//
// Whoever does without a stream, such as a lock:
//
//	attach NAME RANGE [from=REVISION], detach NAME
//	take NAME              takes the mark
//	hub                    the hub's figures
//
// Every event that a stream tells is compared with the member's history, and no step may leave a view in use.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := &script{}
			datadriven.RunTest(t, file, s.block)
		})
	}
}

// script is one script under way.
type script struct {
	t         *testing.T
	w         *world
	streams   []*scripted
	stream    *scripted // whom commands of clients are for
	interests map[string]*watch.Interest
	woken     []string // since the last turn began
	told      []string
	unfinished,
	blind bool
}

// scripted is a client's stream in a script.
type scripted struct {
	name   string
	stream *watch.Stream
	more   bool // the last step left something to do
}

// block carries out the commands of one block.
func (s *script) block(t *testing.T, d *datadriven.TestData) string {
	s.t, s.told = t, nil
	lines := []line{{t, d.Cmd, d.CmdArgs}}
	for _, text := range strings.Split(strings.TrimSpace(d.Input), "\n") {
		if text == "" {
			continue
		}
		name, args, err := datadriven.ParseLine(text)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		lines = append(lines, line{t, name, args})
	}
	switch {
	case d.Cmd == "member":
		s.member(lines[0])
		lines = lines[1:]
	case s.w == nil:
		d.Fatalf(t, "a script begins with a member")
	}
	s.w.t = t
	for len(lines) > 0 {
		lines = lines[s.command(lines):]
	}
	if len(s.told) == 0 {
		return "ok"
	}
	return strings.Join(s.told, "\n") + "\n"
}

func (s *script) say(format string, args ...any) {
	s.told = append(s.told, fmt.Sprintf(format, args...))
}

func (s *script) member(l line) {
	*s = script{t: s.t, w: newWorld(s.t), interests: make(map[string]*watch.Interest), blind: l.has("blind")}
	s.see()
}

// see has the member look at events before a compaction hides them.
func (s *script) see() {
	if !s.blind {
		s.w.local.BeforeCompaction(func() { s.w.hub.Look(s.w.local.Changes, s.w.local.Revision()) })
	}
}

// command carries out the first command, and returns how many lines it took.
func (s *script) command(lines []line) int {
	l := lines[0]
	switch l.name {
	case "turn", "leader":
		took := 1
		for ; took < len(lines) && slices.Contains(requests, lines[took].name); took++ {
			s.commit(lines[took])
		}
		if l.name == "turn" {
			s.turn(l, len(s.w.log))
		}
		return took
	case "put", "delete", "txn", "compact":
		s.commit(l)
		s.turn(l, len(s.w.log))
	case "follow":
		s.turn(l, l.count(0, len(s.w.log)))
	case "snapshot":
		s.woken = nil
		s.w.restore()
		s.see()
		s.sayTurn()
	case "finish":
		s.woken, s.unfinished = nil, false
		s.w.hub.Publish(s.w.view, false)
		s.w.attach()
		s.sayTurn()
	case "attach", "detach", "take":
		s.interest(l)
	case "hub":
		h := s.w.hub.Stats()
		s.say("%d interests: in %d keys and %d ranges; has seen revision %d", h.Interests, h.Keys, h.Ranges, h.Revision)
	case "stream":
		s.open(l)
	case "use":
		i := slices.IndexFunc(s.streams, func(c *scripted) bool { return c.name == l.word(0) })
		if i < 0 {
			l.fail("no stream has that name")
		}
		s.stream = s.streams[i]
	default:
		if s.stream == nil {
			l.fail("there is no such command, or it wants a stream")
		}
		s.client(l)
	}
	return 1
}

// requests are the commands that are requests to the store.
var requests = []string{"put", "delete", "txn", "compact"}

// commit has the leader apply a request.
func (s *script) commit(l line) {
	l.t.Helper()
	switch l.name {
	case "put":
		s.w.put(l.word(0), value(l.wordOr(1, "")))
	case "delete":
		key, end := l.span(0)
		s.w.commit(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: key, RangeEnd: end}})
	case "txn":
		r := &pb.TxnRequest{}
		for i, a := range l.args {
			put := &pb.PutRequest{Key: []byte(l.word(i))}
			if len(a.Vals) > 0 {
				put.Value = []byte(value(a.Vals[0]))
			}
			r.Success = append(r.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
		}
		s.w.commit(&pb.InternalRaftRequest{Txn: r})
	case "compact":
		s.w.compact(int64(l.count(0, 0)))
	}
}

// turn applies up to n requests that the member has not applied yet, and publishes.
func (s *script) turn(l line, n int) {
	s.woken = nil
	w := s.w
	for ; n > 0 && w.applied < len(w.log); n-- {
		if res := applyTo(w.t, w.local, w.log[w.applied]); res.Err != nil {
			l.fail("the member can't apply: %v", res.Err)
		}
		w.applied++
	}
	switch {
	case l.name == "turn" && l.has("unpublished"):
		return
	case l.name == "turn" && l.has("unfinished"):
		w.view = w.local.Publish()
		s.unfinished = true
	case l.name == "turn" && l.has("hold"):
		held := w.waiting
		w.waiting = nil
		w.publish(false)
		w.waiting = held
	default:
		w.publish(false)
	}
	s.sayTurn()
}

// sayTurn tells where the member is, and whom the turn has woken.
func (s *script) sayTurn() {
	text := fmt.Sprintf("revision %d", s.w.view.Revision())
	if c := s.w.view.CompactRevision(); c > 0 {
		text += fmt.Sprintf(", compacted up to %d", c)
	}
	if s.unfinished {
		text += ", unknown to the hub"
	}
	if len(s.woken) > 0 {
		text += "; wakes " + strings.Join(s.woken, ", ")
	}
	s.say("%s", text)
}

func (s *script) interest(l line) {
	name := l.word(0)
	i := s.interests[name]
	switch l.name {
	case "attach":
		key, end := l.span(1)
		i = watch.NewInterest(key, end, func() { s.woken = append(s.woken, name) })
		s.interests[name], s.woken = i, nil
		if s.w.hub.Attach(i, l.number("from", 0)); len(s.woken) > 0 {
			s.say("%s is woken at once", name)
		}
	case "detach":
		s.w.hub.Detach(i)
	case "take":
		if from, marked := i.Take(); marked {
			s.say("%s: something from revision %d on", name, from)
		} else {
			s.say("%s: nothing", name)
		}
	}
}

func (s *script) open(l line) {
	c := &scripted{}
	if len(l.args) > 0 && len(l.args[0].Vals) == 0 {
		c.name = l.word(0)
	}
	wakes := "the stream"
	if c.name != "" {
		wakes = c.name
	}
	c.stream = watch.NewStream(s.w, watch.Options{
		ChunkBytes: int(l.number("chunk", 0)), PackBytes: int(l.number("pack-bytes", 0)), PackEvents: int(l.number("pack-events", 0)),
		FragmentBytes: int(l.number("fragment", 0)),
		Wake: func() {
			if !slices.Contains(s.woken, wakes) { // it is woken for each of its ranges
				s.woken = append(s.woken, wakes)
			}
		},
	})
	s.streams, s.stream = append(s.streams, c), c
}

// client carries out a command of a client's.
func (s *script) client(l line) {
	c := s.stream
	switch l.name {
	case "watch":
		r := l.watch()
		c.stream.Handle(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}})
	case "cancel":
		r := &pb.WatchCancelRequest{WatchId: int64(l.count(0, 0))}
		c.stream.Handle(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: r}})
	case "progress":
		c.stream.Handle(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
	case "notify":
		c.stream.NotifyProgress()
	case "close":
		c.stream.Close()
	case "stats":
		s.say("%d watchers, %d of them behind", c.stream.Watchers(), c.stream.Behind())
	case "step":
		for range l.count(0, 1) {
			s.step()
			if c.more {
				s.say("(there is more to do)")
			}
		}
	case "read":
		for s.step(); c.more; {
			s.step()
		}
	default:
		l.fail("there is no such command")
	}
}

// step takes one step, and tells the answers.
func (s *script) step() {
	out, more := s.stream.stream.Step()
	s.stream.more = more
	for i := range out {
		m := out[i].Message(&pb.ResponseHeader{})
		if len(m.Events) != out[i].EventCount {
			s.t.Fatalf("%d events are called %d", len(m.Events), out[i].EventCount)
		}
		text := answerText(m)
		if s.stream.name != "" {
			text = s.stream.name + ": " + text
		}
		for _, e := range m.Events {
			s.verify(e)
		}
		if n := sharedWith(out[:i], out[i].Events); n >= 0 {
			text += fmt.Sprintf(" (bytes of %d's)", out[n].WatchID)
		}
		s.say("%s", text)
	}
	if others, _ := s.w.local.PinnedViews(); others != 0 {
		s.t.Fatalf("after a step %d views are still in use", others)
	}
}

// verify compares an event with the history.
func (s *script) verify(e *mvccpb.Event) {
	for _, c := range s.w.history {
		if c.main != e.Kv.ModRevision || !bytes.Equal(c.event.Kv.Key, e.Kv.Key) {
			continue
		}
		want := proto.CloneOf(c.event)
		if e.PrevKv == nil {
			want.PrevKv = nil
		}
		if !proto.Equal(e, want) {
			s.t.Fatalf("told %v, but it was %v", e, want)
		}
		return
	}
	s.t.Fatalf("told %v, which never was", e)
}

// sharedWith returns the first of the answers whose events end in the same memory; -1 if none do.
func sharedWith(before []watch.Response, events []byte) int {
	return slices.IndexFunc(before, func(r watch.Response) bool {
		return len(events) > 0 && len(r.Events) > 0 && &r.Events[len(r.Events)-1] == &events[len(events)-1]
	})
}
