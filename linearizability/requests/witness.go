package requests

import (
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability/model"

	"github.com/detcd/detcd/linearizability"
)

// CheckWitness holds the promise of linearizability, with the committed log as its witness. It takes linear time, but for sorting.
//
//   - The naive model replays the log; that must explain every answer in full, with its revisions and counts.
//   - Every acknowledged write stands in the log, at a place of its own.
//   - Nothing else does: no request that nobody made, none more often than it was made, none that was refused.
//   - The places agree with real time.
//   - A read that may be stale is what the model says of the entry that it names, and one run of one member does not go back.
//
// It trusts members in one thing: where in the log they say that a request took effect. A wrong place is found where answers or times
// contradict it. CheckPorcupine is not told of places, and covers the rest. A request that is carried out twice is missed if an equal one of
// unknown outcome can be taken for the second.
func CheckWitness(log []linearizability.Applied, h linearizability.History) *linearizability.Violation {
	return CheckWitnessServing(log, h, func(*pb.InternalRaftRequest) bool { return false })
}

// CheckWitnessServing is CheckWitness for runs in which members also write on behalf of calls that are not in the history: those of the lock and
// election services. served says whether a request in the log may be one of these. Package locks checks that somebody asked for them.
func CheckWitnessServing(log []linearizability.Applied, h linearizability.History, served func(*pb.InternalRaftRequest) bool) *linearizability.Violation {
	w := witness{log: log, history: h, state: model.New(), claimed: make(map[place]int, len(h)), served: served}
	for _, promise := range []func() *linearizability.Violation{w.sorted, w.claim, w.replay, w.account, w.realTime} {
		if v := promise(); v != nil {
			return v
		}
	}
	return nil
}

// sorted wants the log in order, each place once.
func (w *witness) sorted() *linearizability.Violation {
	for i := 1; i < len(w.log); i++ {
		if a, b := w.log[i-1], w.log[i]; (place{a.Index, a.Position}).compare(place{b.Index, b.Position}) >= 0 {
			return linearizability.Broken("linearizability", nil, "the log has %d.%d after %d.%d", b.Index, b.Position, a.Index, a.Position)
		}
	}
	return nil
}

// realTime wants the places to agree with the order of calls and returns.
func (w *witness) realTime() *linearizability.Violation {
	var placed []int
	for i := range w.history {
		if o := &w.history[i]; o.Index > 0 && o.Outcome != linearizability.Unknown {
			placed = append(placed, i)
		}
	}
	all := ordering{promise: "linearizability (real time)", among: placed, rank: rankOf,
		excused: func(o *linearizability.Operation) bool { return mayBeStale(o.Request) }}
	if v := all.overtaken(w.history); v != nil {
		return v
	}
	for _, one := range byRun(w.history, w.reads) {
		if v := (ordering{promise: "a member's state never goes back", among: one, rank: rankOf}).overtaken(w.history); v != nil {
			return v
		}
	}
	return nil
}

// rankOf numbers the places in the log in their order. A read of the state after an entry comes behind all that the entry holds.
func rankOf(o *linearizability.Operation) uint64 {
	const inEntryBits = 24
	inEntry := uint64(1)<<inEntryBits - 1
	if writes(o.Request) {
		inEntry = min(uint64(o.Position), inEntry-1)
	}
	return o.Index<<inEntryBits | inEntry
}

type place struct {
	index    uint64
	position uint32
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.index, q.index), cmp.Compare(p.position, q.position))
}

type witness struct {
	log     []linearizability.Applied
	history linearizability.History
	state   *model.State
	claimed map[place]int // which operation says it is there
	reads   []int         // by the entry they name
	served  func(*pb.InternalRaftRequest) bool
}

// claim sorts the operations into writes, each at its own place, and reads.
func (w *witness) claim() *linearizability.Violation {
	for i := range w.history {
		o := &w.history[i]
		if o.Outcome == linearizability.Unknown || o.Index == 0 {
			if mayBeStale(o.Request) && (o.Outcome == linearizability.Answered || o.Outcome == linearizability.Refused && ofState(o.Err)) {
				// A member that has just been founded answers from the empty state before the first entry.
				w.reads = append(w.reads, i)
				continue
			}
			if o.Outcome == linearizability.Answered || o.Outcome == linearizability.Refused && ofState(o.Err) {
				return linearizability.Broken("linearizability", []int{i}, "the answer depends on the state, but is from no place in the log:\n%s", describe(i, o))
			}
			continue
		}
		if !writes(o.Request) {
			w.reads = append(w.reads, i)
			continue
		}
		at := place{o.Index, o.Position}
		if other, taken := w.claimed[at]; taken {
			return linearizability.Broken("linearizability", []int{other, i}, "operations %d and %d both say they are entry %d.%d", other, i, at.index, at.position)
		}
		w.claimed[at] = i
	}
	slices.SortStableFunc(w.reads, func(a, b int) int { return cmp.Compare(w.history[a].Index, w.history[b].Index) })
	return nil
}

func (w *witness) replay() *linearizability.Violation {
	next, found := 0, 0
	readUpTo := func(index uint64) *linearizability.Violation {
		for ; next < len(w.reads) && w.history[w.reads[next]].Index < index; next++ {
			i := w.reads[next]
			response, err := w.read(w.history[i].Request)
			if v := w.compare(i, response, err); v != nil {
				return v
			}
		}
		return nil
	}
	for _, a := range w.log {
		if v := readUpTo(a.Index); v != nil {
			return v
		}
		response, err := w.state.Apply(a.Request)
		i, ours := w.claimed[place{a.Index, a.Position}]
		if !ours {
			continue
		}
		found++
		if want := wrapped(w.history[i].Request); !sameRequest(want, a.Request) {
			return linearizability.Broken("linearizability", []int{i}, "operation %d is not what stands at its place %d.%d in the log", i, a.Index, a.Position)
		}
		if v := w.compare(i, response, err); v != nil {
			return v
		}
	}
	if found < len(w.claimed) {
		return w.missing()
	}
	return readUpTo(linearizability.Never)
}

// ofState says whether an error is one that only the state can give; others may come from validation.
func ofState(err error) bool {
	if err == nil {
		return false
	}
	for _, given := range []error{rpctypes.ErrGRPCCompacted, rpctypes.ErrGRPCFutureRev, rpctypes.ErrGRPCLeaseNotFound} {
		if rpctypes.ErrorDesc(err) == rpctypes.ErrorDesc(given) {
			return true
		}
	}
	return false
}

// missing names a write that was answered and is not in the log.
func (w *witness) missing() *linearizability.Violation {
	there := make(map[place]bool, len(w.log))
	for _, a := range w.log {
		there[place{a.Index, a.Position}] = true
	}
	for i := range w.history {
		o := &w.history[i]
		if at := (place{o.Index, o.Position}); w.claimed[at] == i && writes(o.Request) && o.Index > 0 && !there[at] {
			return linearizability.Broken("nothing acknowledged is lost", []int{i}, "operation %d was answered as entry %d.%d, which is not in the log", i, at.index, at.position)
		}
	}
	panic("linearizability: a write is missing and can't be found")
}

func (w *witness) read(m proto.Message) (proto.Message, error) {
	switch r := m.(type) {
	case *pb.RangeRequest:
		return w.state.Apply(&pb.InternalRaftRequest{Range: r})
	case *pb.TxnRequest:
		return w.state.Apply(&pb.InternalRaftRequest{Txn: r})
	}
	return nil, model.ErrNotModelled
}

// compare holds an operation's answer to the model's.
func (w *witness) compare(i int, response proto.Message, err error) *linearizability.Violation {
	o := &w.history[i]
	switch {
	case (err == nil) != (o.Outcome == linearizability.Answered):
		return linearizability.Broken("linearizability", []int{i}, "operation %d was %v (%v) at entry %d.%d, the model says: %v", i, o.Outcome, o.Err, o.Index, o.Position, err)
	case err != nil:
		if o.Err == nil || rpctypes.ErrorDesc(err) != rpctypes.ErrorDesc(o.Err) {
			return linearizability.Broken("linearizability", []int{i}, "operation %d was refused with %q at entry %d.%d, the model says %q", i, o.Err, o.Index, o.Position, err)
		}
		return nil
	}
	if got, want := bare(o.Response), bare(response); !proto.Equal(got, want) {
		return linearizability.Broken("linearizability", []int{i}, "operation %d at entry %d.%d was answered\n  %v\nthe model says\n  %v", i, o.Index, o.Position, got, want)
	}
	return nil
}

// bare is an answer without what says who answered.
func bare(m proto.Message) proto.Message {
	m = proto.Clone(m)
	if h := headerOf(m); h != nil {
		h.ClusterId, h.MemberId, h.RaftTerm = 0, 0, 0
	}
	return m
}

// sameRequest says whether a request is what stands in the log. What members add does not count: an id for a lease where none was asked for, and the
// least TTL that they grant where less was asked for.
func sameRequest(asked, b *pb.InternalRaftRequest) bool {
	b = proto.Clone(b).(*pb.InternalRaftRequest)
	b.Header, b.ID = nil, 0
	if a, g := asked.GetLeaseGrant(), b.GetLeaseGrant(); a != nil && g != nil {
		return (a.GetID() == 0 || a.GetID() == g.GetID()) && g.GetTTL() >= a.GetTTL()
	}
	return proto.Equal(asked, b)
}
