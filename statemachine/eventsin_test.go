package statemachine_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/statemachine"
)

// changesOf lists those of an iterator's changes that are in a range.
func changesOf(events statemachine.EventIterator, key, end string, until int64) (list []string) {
	for e, ok := events.Next(); ok; e, ok = events.Next() {
		k := string(e.Key())
		in := k == key
		if end != "" {
			in = k >= key && (end == "\x00" || k < end)
		}
		if in && e.Revision().Main <= until {
			list = append(list, fmt.Sprintf("%v %q deleted %v, was %x", e.Revision(), e.EncodedKV(), e.Deleted(), e.EncodedPrevKV()))
		}
	}
	return list
}

// eventsInCheck compares what views of a changing store find by the keys with what they find in the log.
func eventsInCheck(t *testing.T, seed uint64) (sought int) {
	r := rand.New(rand.NewPCG(seed, 1))
	m := statemachine.New()
	key := func() string { return fmt.Sprintf("k%02d", r.IntN(40)) }
	var index uint64
	remade := int64(0)
	apply := func(req *pb.InternalRaftRequest) {
		index++
		m.Apply(index, 1, &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: index}, Requests: []*pb.InternalRaftRequest{req}}, false)
	}
	var held []*statemachine.View
	for range 3000 {
		switch n := r.IntN(100); {
		case n < 60:
			apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key()), Value: []byte("v")}})
		case n < 75:
			apply(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte(key()), RangeEnd: []byte(key())}})
		case n < 85: // a key is deleted and made again in one revision
			k := []byte(key())
			apply(&pb.InternalRaftRequest{Txn: &pb.TxnRequest{Success: []*pb.RequestOp{
				{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: k}}},
				{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: k}}},
			}}})
			if r.IntN(20) == 0 {
				remade = m.Revision()
			}
		case n < 87:
			back := int64(r.IntN(600)) // often to a revision that ends with a key made again
			if r.IntN(2) == 0 {
				back = m.Revision() - remade
			}
			apply(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: max(1, m.Revision()-back)}})
		case n < 92:
			m.CompactStep(r.IntN(300))
		case len(held) > 4:
			i := r.IntN(len(held))
			held[i].Release()
			held = slices.Delete(held, i, i+1)
		default:
			v := m.Publish()
			v.Acquire()
			held = append(held, v)
		}
		if len(held) == 0 || r.IntN(10) > 0 {
			continue
		}
		v := held[r.IntN(len(held))]
		start, end := key(), ""
		switch r.IntN(3) {
		case 0:
			end = key()
		case 1:
			end = "\x00"
		}
		low := max(v.CompactRevision(), 0)
		from := low
		if r.IntN(3) > 0 {
			from += r.Int64N(v.Revision() - low + 2)
		}
		until := from + r.Int64N(v.Revision()-low+2)
		all, err := v.Events(from)
		some, errIn := v.EventsIn([]byte(start), []byte(end), from, until)
		if err != nil || errIn != nil {
			t.Fatalf("from %d, compacted %d: %v, %v", from, v.CompactRevision(), err, errIn)
		}
		if some.Remaining() < all.Remaining() {
			sought++
		}
		if want, got := changesOf(all, start, end, until), changesOf(some, start, end, until); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %q to %q in [%d, %d] of a view at %d, compacted at %d: got\n%q, want\n%q",
				seed, start, end, from, until, v.Revision(), v.CompactRevision(), got, want)
		}
	}
	return sought
}

func TestView_EventsInAreTheEventsOfTheRange(t *testing.T) {
	sought := 0
	for seed := range uint64(20) {
		sought += eventsInCheck(t, seed)
	}
	if sought < 200 {
		t.Errorf("only %d times were there fewer events than in the log", sought)
	}
}

// The changes of one key are found without a walk over those of all others.
func TestView_EventsInOfFewKeysAreFew(t *testing.T) {
	m := statemachine.New()
	var index uint64
	for i := range 1000 {
		index++
		put := &pb.PutRequest{Key: fmt.Appendf(nil, "k%03d", i%100)}
		m.Apply(index, 1, &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: index}, Requests: []*pb.InternalRaftRequest{{Put: put}}}, false)
	}
	v := m.Publish()
	for _, c := range []struct {
		key, end    string
		from, until int64
		events      int64
	}{
		{"k007", "", 1, 2000, 10},
		{"k007", "", 502, 2000, 5},
		{"k007", "", 1, 501, 5},
		{"k007", "k009", 1, 2000, 20},
		{"k1", "k2", 1, 2000, 0},
		{"k095", "\x00", 1, 2000, 50},
		{"k", "l", 1, 2000, 1000}, // all of them: the log it is
	} {
		events, err := v.EventsIn([]byte(c.key), []byte(c.end), c.from, c.until)
		if err != nil || events.Remaining() != c.events {
			t.Errorf("%+v: %d events, %v", c, events.Remaining(), err)
		}
	}
	if _, err := v.EventsIn([]byte("k007"), nil, -2, 5); err == nil {
		t.Error("events from before the beginning of time")
	}
}
