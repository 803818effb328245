package linearizability

import (
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability/model"
)

// CheckWitness holds the promise of linearizability with the committed log as the witness, in linear time: the log, replayed by the
// naive model, must explain every answer in full (revisions, counts and all), every acknowledged write stands in it, at a place of its
// own, and the places agree with real time. A read that may be stale must still be what the model says of the entry it names.
//
// It trusts members in one thing: where in the log they say a request took effect. A wrong place is found where answers or times
// contradict it; porcupine, which is not told of places, covers the rest.
func CheckWitness(log []Applied, h History) *Violation {
	w := witness{log: log, history: h, state: model.New(), claimed: make(map[place]int, len(h))}
	if v := w.claim(); v != nil {
		return v
	}
	if v := w.replay(); v != nil {
		return v
	}
	return overtaken("linearizability (real time)", h, func(o *Operation) (uint64, bool) {
		return o.Index, o.Index > 0 && o.Outcome != Unknown
	})
}

type place struct {
	index    uint64
	position uint32
}

type witness struct {
	log     []Applied
	history History
	state   *model.State
	claimed map[place]int // which operation says it is there
	reads   []int         // by the entry they name
}

// claim sorts the operations into writes, each at its own place, and reads.
func (w *witness) claim() *Violation {
	for i := range w.history {
		o := &w.history[i]
		if o.Outcome == Unknown || o.Index == 0 {
			if o.Outcome == Answered {
				return violation("linearizability", []int{i}, "operation %d was answered from no place in the log", i)
			}
			continue
		}
		if wrapped(o.Request) == nil {
			w.reads = append(w.reads, i)
			continue
		}
		at := place{o.Index, o.Position}
		if other, taken := w.claimed[at]; taken {
			return violation("linearizability", []int{other, i}, "operations %d and %d both say they are entry %d.%d", other, i, at.index, at.position)
		}
		w.claimed[at] = i
	}
	slices.SortStableFunc(w.reads, func(a, b int) int { return cmp.Compare(w.history[a].Index, w.history[b].Index) })
	return nil
}

func (w *witness) replay() *Violation {
	next, found := 0, 0
	readUpTo := func(index uint64) *Violation {
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
			return violation("linearizability", []int{i}, "operation %d is not what stands at its place %d.%d in the log", i, a.Index, a.Position)
		}
		if v := w.compare(i, response, err); v != nil {
			return v
		}
	}
	if found < len(w.claimed) {
		return w.missing()
	}
	return readUpTo(Never)
}

// missing names a write that was answered and is not in the log.
func (w *witness) missing() *Violation {
	there := make(map[place]bool, len(w.log))
	for _, a := range w.log {
		there[place{a.Index, a.Position}] = true
	}
	for i := range w.history {
		o := &w.history[i]
		if at := (place{o.Index, o.Position}); w.claimed[at] == i && wrapped(o.Request) != nil && o.Index > 0 && !there[at] {
			return violation("nothing acknowledged is lost", []int{i}, "operation %d was answered as entry %d.%d, which is not in the log", i, at.index, at.position)
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
func (w *witness) compare(i int, response proto.Message, err error) *Violation {
	o := &w.history[i]
	switch {
	case (err == nil) != (o.Outcome == Answered):
		return violation("linearizability", []int{i}, "operation %d was %v (%v) at entry %d.%d, the model says: %v", i, o.Outcome, o.Err, o.Index, o.Position, err)
	case err != nil:
		if status.Convert(err).Message() != status.Convert(o.Err).Message() {
			return violation("linearizability", []int{i}, "operation %d was refused with %q at entry %d.%d, the model says %q", i, o.Err, o.Index, o.Position, err)
		}
		return nil
	}
	if got, want := bare(o.Response), bare(response); !proto.Equal(got, want) {
		return violation("linearizability", []int{i}, "operation %d at entry %d.%d was answered\n  %v\nthe model says\n  %v", i, o.Index, o.Position, got, want)
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

// sameRequest compares requests but for what the log adds to them.
func sameRequest(a, b *pb.InternalRaftRequest) bool {
	b = proto.Clone(b).(*pb.InternalRaftRequest)
	b.Header, b.ID = nil, 0
	return proto.Equal(a, b)
}
