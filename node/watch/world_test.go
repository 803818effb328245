package watch_test

import (
	"bytes"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/detcd/detcd/node/watch"
	"github.com/detcd/detcd/statemachine"
)

// fataler is what *testing.T, *testing.B and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is a member reduced to its machine, its hub and its turns. The leader's machine knows everything first, and the history is
// written down as a reader of the answers would, without the event log.
type world struct {
	t             fataler
	leader, local *statemachine.Machine
	log           []*pb.InternalRaftRequest
	applied       int // of log, by local
	view          *statemachine.View
	hub           watch.Hub
	waiting       []func() // attachments and detachments for the next turn
	hidden        bool     // a publication had events that a compaction hid at once

	history []change
	current map[string]*mvccpb.KeyValue
	rev     int64 // of leader
}

// change is an event as a naive reader expects it.
type change struct {
	main  int64
	event *mvccpb.Event // with prev_kv
}

func newWorld(t fataler) *world {
	w := &world{t: t, leader: statemachine.New(), local: statemachine.New(), current: map[string]*mvccpb.KeyValue{}}
	w.rev = w.leader.Revision()
	w.view = w.local.Publish()
	w.hub.Publish(w.view, false)
	return w
}

func applyTo(t fataler, m *statemachine.Machine, r *pb.InternalRaftRequest) statemachine.Result {
	t.Helper()
	index, _ := m.Applied()
	results, fresh := m.Apply(index+1, 1, &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: index + 1}, Requests: []*pb.InternalRaftRequest{r}}, true)
	if !fresh {
		t.Fatalf("a request was taken for a repetition")
	}
	return results[0]
}

// commit has the leader apply a request; the local machine follows in a turn.
func (w *world) commit(r *pb.InternalRaftRequest) {
	w.t.Helper()
	before := w.leader.Revision()
	if res := applyTo(w.t, w.leader, r); res.Err != nil {
		w.t.Fatalf("%v: %v", r, res.Err)
	}
	w.log = append(w.log, r)
	if w.rev = w.leader.Revision(); w.rev > before {
		w.record()
	}
}

// record compares the keys before and after the newest revision. Of the events of one revision, the log's order is taken as it is.
func (w *world) record() {
	v := w.leader.Publish()
	events, err := v.Events(w.rev)
	if err != nil {
		w.t.Fatalf("the newest revision: %v", err)
	}
	changed := 0
	for e, ok := events.Next(); ok; e, ok = events.Next() {
		key := string(e.Key())
		ev := &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: w.rev}, PrevKv: w.current[key]}
		if e.Deleted() {
			ev.Type = mvccpb.Event_DELETE
			delete(w.current, key)
		} else {
			found, err := v.Range(&pb.RangeRequest{Key: []byte(key)})
			if err != nil {
				w.t.Fatalf("reading %q: %v", key, err)
			}
			ev.Kv = found.Response().Kvs[0]
			w.current[key] = ev.Kv
		}
		w.history = append(w.history, change{w.rev, ev})
		changed++
	}
	if all, err := v.Range(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}); err != nil || int(all.Count) != len(w.current) || changed == 0 {
		w.t.Fatalf("the history has %d keys, the store another number (%v)", len(w.current), err)
	}
}

func (w *world) put(key, value string) {
	w.t.Helper()
	w.commit(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}})
}

func (w *world) del(key string) {
	w.t.Helper()
	w.commit(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}})
}

func (w *world) compact(rev int64) {
	w.t.Helper()
	w.commit(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: rev}})
}

// txn puts keys in one revision.
func (w *world) txn(keys ...string) {
	w.t.Helper()
	r := &pb.TxnRequest{}
	for _, key := range keys {
		put := &pb.PutRequest{Key: []byte(key), Value: []byte("t")}
		r.Success = append(r.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
	}
	w.commit(&pb.InternalRaftRequest{Txn: r})
}

// turn lets the local machine apply up to n requests, publishes, and carries out what was asked for in between.
func (w *world) turn(n int) {
	w.t.Helper()
	for ; n > 0 && w.applied < len(w.log); n-- {
		if res := applyTo(w.t, w.local, w.log[w.applied]); res.Err != nil {
			w.t.Fatalf("local: %v", res.Err)
		}
		w.applied++
	}
	w.publish(false)
}

func (w *world) publish(restored bool) {
	w.view = w.local.Publish()
	w.hidden = w.hidden || w.view.CompactRevision() > w.hub.Stats().Revision+1
	for w.local.CompactStep(100) {
	}
	w.hub.Publish(w.view, restored)
	w.attach()
}

func (w *world) attach() {
	for _, f := range w.waiting {
		f()
	}
	w.waiting = nil
}

// catchUp applies everything in one turn.
func (w *world) catchUp() { w.t.Helper(); w.turn(len(w.log)) }

// restore replaces the local machine by a snapshot of the leader's.
func (w *world) restore() {
	w.t.Helper()
	snapshot := w.leader.Publish().Snapshot()
	var data bytes.Buffer
	if _, err := io.Copy(&data, snapshot); err != nil {
		w.t.Fatalf("snapshot: %v", err)
	}
	if err := snapshot.Close(); err != nil {
		w.t.Fatalf("snapshot: %v", err)
	}
	m, err := statemachine.Restore(&data)
	if err != nil {
		w.t.Fatalf("restore: %v", err)
	}
	w.local, w.applied = m, len(w.log)
	w.publish(true)
}

// AcquireView, Attach and Detach make the world a watch.Port.
func (w *world) AcquireView() *statemachine.View {
	if !w.view.Acquire() {
		w.t.Fatalf("the published view is not in use")
	}
	return w.view
}

func (w *world) Attach(i *watch.Interest, from int64) {
	w.waiting = append(w.waiting, func() { w.hub.Attach(i, from) })
}

func (w *world) Detach(i *watch.Interest) {
	w.waiting = append(w.waiting, func() { w.hub.Detach(i) })
}

// client is a stream with what it was told.
type client struct {
	w      *world
	stream *watch.Stream
	due    bool // woken, or something was asked
	wakes  int
}

func (w *world) client(o watch.Options) *client {
	c := &client{w: w}
	o.Wake = func() { c.due = true; c.wakes++ }
	c.stream = watch.NewStream(w, o)
	return c
}

func (c *client) create(r *pb.WatchCreateRequest) {
	c.stream.Handle(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}})
	c.due = true
}

func (c *client) cancel(id int64) {
	c.stream.Handle(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
	c.due = true
}

func (c *client) progress() {
	c.stream.Handle(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
	c.due = true
}

func (c *client) notify() {
	c.stream.NotifyProgress()
	c.due = true
}

// step takes one step, if the stream was told to.
func (c *client) step() []*pb.WatchResponse {
	if !c.due {
		return nil
	}
	out, more := c.stream.Step()
	c.due = more
	messages := make([]*pb.WatchResponse, 0, len(out))
	for i := range out {
		m := out[i].Message(&pb.ResponseHeader{})
		if len(m.Events) != out[i].EventCount {
			c.w.t.Fatalf("%d events are called %d", len(m.Events), out[i].EventCount)
		}
		messages = append(messages, m)
	}
	return messages
}

// drain steps until there is nothing to do.
func (c *client) drain() (all []*pb.WatchResponse) {
	for c.due {
		all = append(all, c.step()...)
	}
	return all
}
