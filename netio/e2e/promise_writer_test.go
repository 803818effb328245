package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/detcd/detcd/linearizability"
)

const (
	// stepKey holds the number of the last step. It lies behind all keys that steps change otherwise.
	stepKey = "~"
	// One step in largeSteps is a large one: three put a third of largeKeys each, the fourth deletes all of them, which with prev_kv does
	// not fit into one response: its limit is half a MiB above that for requests.
	largeSteps, largeKeys, largeValueBytes = 40, 24, 45 << 10
	requestBytesMax                        = 380_000
	compactSteps                           = 60 // one step in so many compacts
)

// promiseWriter is the only client that changes anything, one step after the other, so it knows the log. Each step is a transaction that
// takes place only right after the one before it: a client that does not know what became of it can try it again and again, and it
// happens once.
type promiseWriter struct {
	t      testing.TB
	world  *promises
	kv     pb.KVClient
	load   *workload
	random *rand.Rand
	large  [][]byte // values
	cycle  int      // large steps so far
	// together is how many steps follow each other without a rest.
	together int

	head  atomic.Int64 // the revision after the last step
	steps int          // that have an answer
	// next is the step that has none yet, as it will be in the log; nil: it has not been thought of.
	next *pb.InternalRaftRequest
	// log is all steps; when[i] is from before the first try of log[i].
	log  []linearizability.Applied
	when []linearizability.Moment
}

func newPromiseWriter(t testing.TB, p *promises) *promiseWriter {
	w := &promiseWriter{t: t, world: p, load: newWorkload(t, "changes"), together: 5, random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
	w.kv = pb.NewKVClient(newClient(t, p.cluster.members...).ActiveConnection())
	for i := range 10 {
		w.large = append(w.large, bytes.Repeat([]byte{byte('0' + i)}, largeValueBytes))
	}
	w.head.Store(1)
	return w
}

func (w *promiseWriter) begin() {
	w.load.loop(func(ctx context.Context) error {
		for range w.together {
			if err := w.step(ctx); err != nil || ctx.Err() != nil {
				return err
			}
		}
		return nil
	})
}

// finish ends the steps, with none left open.
func (w *promiseWriter) finish() {
	w.t.Helper()
	w.load.stop()
	eventually(w.t, "the last step has an answer", func() error {
		if w.next == nil {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), stepPatience)
		defer cancel()
		return w.step(ctx)
	})
}

// truth is what happened, to be asked for when nothing happens any more.
func (w *promiseWriter) truth() *linearizability.Truth {
	w.t.Helper()
	truth := linearizability.NewTruth(w.log, func(index uint64) linearizability.Moment { return w.when[index-1] })
	if got, want := truth.Revision(), w.head.Load(); got != want {
		w.t.Fatalf("after the log the revision is %d, but the server says %d: what is judged by is wrong, or a step was done twice or not at all", got, want)
	}
	return truth
}

// step tries the next step, or again the one whose outcome is unknown.
func (w *promiseWriter) step(ctx context.Context) error {
	if w.next == nil {
		w.next = w.think()
		stamp := w.world.stamp()
		w.when = append(w.when, linearizability.Moment{Stamp: stamp, Time: int64(stamp)})
		w.log = append(w.log, linearizability.Applied{Index: uint64(len(w.when)), Request: w.next})
	}
	// A member that was killed may keep a client waiting that is connected to it; another try at another member does no harm.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if c := w.next.Compaction; c != nil {
		if _, err := w.kv.Compact(ctx, c); err != nil && !errors.Is(rpctypes.Error(err), rpctypes.ErrCompacted) { // done by a try before
			return err
		}
		w.next = nil
		return nil
	}
	answer, err := w.kv.Txn(ctx, w.next.Txn)
	if err != nil {
		return err
	}
	if !answer.Succeeded {
		kvs := answer.Responses[0].GetResponseRange().GetKvs()
		if len(kvs) != 1 || string(kvs[0].Value) != fmt.Sprint(w.steps+1) {
			w.t.Errorf("step %d can't be done: the last one is %v", w.steps+1, kvs)
			return errors.New("the steps are out of order")
		}
	}
	w.steps++
	w.head.Store(answer.Header.Revision)
	w.next = nil
	return nil
}

// think makes up a step.
func (w *promiseWriter) think() *pb.InternalRaftRequest {
	if w.steps > 0 && w.random.IntN(compactSteps) == 0 {
		return &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{
			Revision: max(1, w.head.Load()-w.random.Int64N(100)), Physical: w.random.IntN(2) == 0}}
	}
	key := func() string { return string(rune('a' + w.random.IntN(5))) }
	var ops []*pb.RequestOp
	switch n := w.random.IntN(40); {
	case w.random.IntN(largeSteps) == 0:
		ops = w.largeStep()
	case n < 4:
		ops = append(ops, deleteOp(key(), ""))
	case n < 6:
		ops = append(ops, deleteOp(key(), []string{"d", "e"}[w.random.IntN(2)]))
	case n < 12: // some puts and a deletion of others
		k := key()
		ops = append(ops, putOp(k, fmt.Append(nil, w.steps)), putOp(k+"x", fmt.Append(nil, w.steps)), deleteOp(k+"y", string(k[0]+1)))
	default:
		ops = append(ops, putOp(key()+[]string{"", "x", "y", "z"}[w.random.IntN(4)], fmt.Append(nil, w.steps)))
	}
	before := &pb.Compare{Key: []byte(stepKey), Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: fmt.Append(nil, w.steps)}}
	if w.steps == 0 {
		before = &pb.Compare{Key: []byte(stepKey), Target: pb.Compare_VERSION, TargetUnion: &pb.Compare_Version{}}
	}
	look := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(stepKey)}}}
	return &pb.InternalRaftRequest{Txn: &pb.TxnRequest{
		Compare: []*pb.Compare{before}, Failure: []*pb.RequestOp{look},
		Success: append(ops, putOp(stepKey, fmt.Append(nil, w.steps+1))),
	}}
}

func (w *promiseWriter) largeStep() (ops []*pb.RequestOp) {
	const third = largeKeys / 3
	part := w.cycle % 4
	w.cycle++
	if part == 3 {
		return []*pb.RequestOp{deleteOp("e/", "e0")}
	}
	for i := range third {
		ops = append(ops, putOp(fmt.Sprintf("e/%02d", part*third+i), w.large[w.random.IntN(len(w.large))]))
	}
	return ops
}

func putOp(key string, value []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: value}}}
}

func deleteOp(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
}
