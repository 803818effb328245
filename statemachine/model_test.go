package statemachine_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/detcd/detcd/linearizability/model"
	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// held is a view that a slow reader keeps, and the model as of its making.
type held struct {
	view  *statemachine.View
	model *model.State
}

// twins are two machines that are fed the same log, and the model of both. One machine makes answers, the other does not. They compact at different
// times, and either may be replaced by what its snapshot restores.
type twins struct {
	leader, follower *statemachine.Machine
	model            *model.State
	index, sequence  uint64
	held             []held
}

func (w *twins) world() world {
	return world{rev: w.model.Revision(), compacted: w.model.CompactRevision()}
}

// apply sends a few requests through the log and compares each answer with the model's.
func (w *twins) apply(t *rapid.T) {
	w.sequence++
	b := &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: w.sequence}}
	for range rapid.IntRange(1, 3).Draw(t, "requests") {
		r := w.world().genRequest(t)
		if r.Txn != nil && statemachine.CheckTxn(r.Txn, 128) != nil || r.Put != nil && statemachine.CheckPut(r.Put) != nil {
			continue // such a request is never proposed
		}
		b.Requests = append(b.Requests, r)
	}
	w.index++
	decoded, err := statemachine.Decode(b.Encode(w.leader.Format()), format.Newest)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	results, fresh := w.leader.Apply(w.index, 1, b, true)
	if _, ok := w.follower.Apply(w.index, 1, decoded, false); !fresh || !ok {
		t.Fatalf("batch %d was taken for a repetition", w.index)
	}
	for i, r := range b.Requests {
		want, wantErr := w.model.Apply(r)
		if got := results[i]; got.Err != wantErr || wantErr == nil && !proto.Equal(got.Response, want) {
			t.Fatalf("request %v\n got %v, %v\nwant %v, %v", r, got.Response, got.Err, want, wantErr)
		}
	}
	w.leader.Publish()
	w.follower.Publish()
	if a, b := w.leader.StateHash(), w.follower.StateHash(); a != b {
		t.Fatalf("state hash %x of the machine that answers, %x of the one that follows", a, b)
	}
}

// repeat sends an earlier batch's identity again with another content: nothing of it may happen.
func (w *twins) repeat(t *rapid.T) {
	if w.sequence == 0 {
		return
	}
	again := &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: rapid.Uint64Range(1, w.sequence).Draw(t, "repeated")}}
	again.Requests = []*pb.InternalRaftRequest{{Put: &pb.PutRequest{Key: []byte("a"), Value: []byte("again")}}}
	before := w.leader.StateHash()
	w.index++
	if _, fresh := w.leader.Apply(w.index, 1, again, true); fresh {
		t.Fatal("a batch was applied twice")
	}
	if _, fresh := w.follower.Apply(w.index, 1, again, false); fresh {
		t.Fatal("a batch was applied twice by the follower")
	}
	if w.leader.StateHash() != before {
		t.Fatal("a repeated batch changed the state")
	}
}

func (w *twins) machine(t *rapid.T) *statemachine.Machine {
	if rapid.Bool().Draw(t, "the follower") {
		return w.follower
	}
	return w.leader
}

func (w *twins) compactStep(t *rapid.T) {
	w.machine(t).CompactStep(rapid.IntRange(0, 20).Draw(t, "budget"))
}

func (w *twins) hold(t *rapid.T) {
	v := w.machine(t).Publish()
	if !v.Acquire() {
		t.Fatal("the published view is not in use")
	}
	w.held = append(w.held, held{v, w.model.Clone()})
}

func (w *twins) release(t *rapid.T) {
	if len(w.held) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.held)-1).Draw(t, "released")
	w.held[i].view.Release()
	w.held = append(w.held[:i], w.held[i+1:]...)
}

// read compares the answers of a view, perhaps of an old one, with those of the model as it was then.
func (w *twins) read(t *rapid.T) {
	h := held{w.machine(t).Publish(), w.model}
	if len(w.held) > 0 && rapid.Bool().Draw(t, "an old view") {
		h = w.held[rapid.IntRange(0, len(w.held)-1).Draw(t, "view")]
	}
	state := world{rev: h.model.Revision(), compacted: h.model.CompactRevision()}
	checkRead(t, h, state.genRange(t))
	if txn := state.genTxn(t, 1); statemachine.IsReadOnly(txn) {
		want, wantErr := h.model.Clone().Txn(txn)
		if got, err := h.view.Txn(txn); err != wantErr || err == nil && !proto.Equal(got, want) {
			t.Fatalf("%v\n got %v, %v\nwant %v, %v", txn, got, err, want, wantErr)
		}
	}
	if h.view.ScanStateHash() != h.view.StateHash() {
		t.Fatal("the state hash is not that of the content")
	}
	checkEvents(t, h)
}

func checkRead(t *rapid.T, h held, r *pb.RangeRequest) {
	want, wantErr := h.model.Range(r)
	got, err := h.view.Range(r)
	if err != wantErr {
		t.Fatalf("%v: error %v, want %v", r, err, wantErr)
	}
	if err != nil {
		return
	}
	if !proto.Equal(got.Response(), want) {
		t.Fatalf("%v\n got %v\nwant %v", r, got.Response(), want)
	}
	// The same answer by its encoded key-values.
	rest, _ := proto.Marshal(&pb.RangeResponse{Header: want.Header, More: got.More, Count: got.Count})
	encoded := got.AppendKVs(nil)
	var joined pb.RangeResponse
	if err := proto.Unmarshal(append(encoded, rest...), &joined); err != nil || !proto.Equal(&joined, want) {
		t.Fatalf("%v by AppendKVs (%v)\n got %v\nwant %v", r, err, &joined, want)
	}
	if got.Size() != len(encoded) {
		t.Fatalf("%v: Size %d, AppendKVs %d bytes", r, got.Size(), len(encoded))
	}
}

// checkEvents takes the oldest revision that can be read, and makes the changes that the view's events tell. That must give each later revision.
func checkEvents(t *rapid.T, h held) {
	from := max(h.model.CompactRevision(), 1)
	at := func(rev int64) map[string]*mvccpb.KeyValue {
		resp, err := h.model.Range(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Revision: rev})
		if err != nil {
			t.Fatalf("model at %d: %v", rev, err)
		}
		keys := map[string]*mvccpb.KeyValue{}
		for _, kv := range resp.Kvs {
			keys[string(kv.Key)] = kv
		}
		return keys
	}
	if rev := h.model.CompactRevision(); rev >= 0 {
		if _, err := h.view.Events(rev - 1); err != rpctypes.ErrGRPCCompacted {
			t.Fatalf("events from %d, compacted at %d: %v", rev-1, rev, err)
		}
		first, err := h.view.Events(rev)
		if err != nil {
			t.Fatalf("events from the compacted revision %d: %v", rev, err)
		}
		e, ok := first.Next()
		if rev >= 2 && (!ok || e.Revision() != statemachine.Revision{Main: rev} || e.PrevKV() != nil) {
			t.Fatalf("compacted at %d, first event %v, %v, prev_kv %v", rev, e.Revision(), ok, e.PrevKV())
		}
	}
	events, err := h.view.Events(from + 1)
	if err != nil {
		t.Fatalf("events from %d: %v", from+1, err)
	}
	keys := at(from)
	e, more := events.Next()
	for rev := from + 1; rev <= h.view.Revision(); rev++ {
		before := at(rev - 1)
		for sub := int64(0); more && e.Revision().Main == rev; sub++ {
			if e.Revision().Sub != sub {
				t.Fatalf("event %v, want sub %d", e.Revision(), sub)
			}
			prev := before[string(e.Key())]
			if e.Created() {
				prev = nil // it may have been deleted in the same transaction
			}
			if !proto.Equal(e.PrevKV(), prev) && (e.PrevKV() != nil || prev != nil) {
				t.Fatalf("event %v of %q: prev_kv %v, want %v", e.Revision(), e.Key(), e.PrevKV(), prev)
			}
			if e.Deleted() {
				delete(keys, string(e.Key()))
			} else {
				keys[string(e.Key())] = e.KeyValue()
			}
			e, more = events.Next()
		}
		want := at(rev)
		if len(keys) != len(want) {
			t.Fatalf("replayed to %d: %v, want %v", rev, keys, want)
		}
		for key, kv := range want {
			if !proto.Equal(keys[key], kv) {
				t.Fatalf("replayed to %d: %q is %v, want %v", rev, key, keys[key], kv)
			}
		}
	}
	if more {
		t.Fatalf("event %v lies beyond the head %d", e.Revision(), h.view.Revision())
	}
}

// snapshots compares the twins' snapshots and goes on with what one of them restores.
func (w *twins) snapshots(t *rapid.T) {
	a, b := snapshotOf(t, w.leader), snapshotOf(t, w.follower)
	if !bytes.Equal(a, b) {
		t.Fatal("two machines at one index wrote different snapshots")
	}
	restored, err := statemachine.Restore(bytes.NewReader(a))
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
	if !bytes.Equal(a, snapshotOf(t, restored)) {
		t.Fatal("a restored machine writes another snapshot")
	}
	if restored.StateHash() != w.leader.StateHash() || restored.Publish().ScanStateHash() != restored.StateHash() {
		t.Fatal("a restored machine has another state hash")
	}
	rev := w.world().genRevision(t)
	for _, m := range []*statemachine.Machine{w.follower, restored} {
		want, compacted, wantErr := w.leader.Publish().HashKV(rev)
		if got, c, err := m.Publish().HashKV(rev); got != want || c != compacted || err != wantErr {
			t.Fatalf("HashKV(%d) %x, %d, %v; want %x, %d, %v", rev, got, c, err, want, compacted, wantErr)
		}
		if m.Publish().ScanHistoryHash() != w.leader.Publish().ScanHistoryHash() {
			t.Fatal("two machines at one index have different histories")
		}
	}
	if rapid.Bool().Draw(t, "leader") {
		w.leader = restored
	} else {
		w.follower = restored
	}
}

func snapshotOf(t *rapid.T, m *statemachine.Machine) []byte {
	r := m.Publish().Snapshot()
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	return data
}

// counted compares the published sizes with a sum that is made anew.
func (w *twins) counted(t *rapid.T) {
	for _, m := range []*statemachine.Machine{w.leader, w.follower} {
		if total, _ := m.Published().Sizes(); !m.Unpublished() && total != m.Recount() {
			t.Fatalf("published are %d bytes, stored are %d, and nothing waits to be published", total, m.Recount())
		}
	}
}

// end compacts everything. Then both machines must count the same bytes.
func (w *twins) end(t *rapid.T) {
	for len(w.held) > 0 {
		w.release(t)
	}
	compaction := &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: w.model.Revision()}}
	w.index++
	w.sequence++
	for _, m := range []*statemachine.Machine{w.leader, w.follower} {
		m.Apply(w.index, 1, &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: w.sequence}, Requests: []*pb.InternalRaftRequest{compaction}}, false)
		m.Publish()
		for m.CompactStep(3) {
		}
		if m.CompactedTo() != m.CompactRevision() {
			t.Fatalf("compacted to %d of %d with no view held", m.CompactedTo(), m.CompactRevision())
		}
	}
	w.snapshots(t)
	total, _ := w.leader.Publish().Sizes()
	if other, _ := w.follower.Publish().Sizes(); total != other {
		t.Fatalf("%d and %d bytes accounted for the same content", total, other)
	}
}

func TestMachine_AnswersAsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &twins{leader: statemachine.New(), follower: statemachine.New(), model: model.New()}
		t.Repeat(map[string]func(*rapid.T){
			"apply":   w.apply,
			"apply2":  w.apply,
			"apply3":  w.apply,
			"repeat":  w.repeat,
			"compact": w.compactStep,
			"hold":    w.hold,
			"release": w.release,
			"read":    w.read,
			"restore": w.snapshots,
			"":        w.counted,
		})
		w.end(t)
	})
}
