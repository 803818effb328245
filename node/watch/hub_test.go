package watch_test

import (
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/watch"
)

// listener is an interest that writes down its name when it is woken.
func listener(heard *[]string, name, key, end string) *watch.Interest {
	return watch.NewInterest([]byte(key), []byte(end), func() { *heard = append(*heard, name) })
}

func expectHeard(t *testing.T, heard *[]string, want ...string) {
	t.Helper()
	if !slices.Equal(*heard, want) {
		t.Fatalf("woken: %v, want %v", *heard, want)
	}
	*heard = nil
}

func expectMark(t *testing.T, i *watch.Interest, want int64) {
	t.Helper()
	if from, marked := i.Take(); from != want || marked != (want != 0) {
		t.Fatalf("marked from %d (%v), want %d", from, marked, want)
	}
}

func TestHub_WakesInTheOrderOfAttachment(t *testing.T) {
	w := newWorld(t)
	var heard []string
	for _, l := range [][3]string{{"z", "z", ""}, {"all", "\x00", "\x00"}, {"other", "y", ""}, {"a", "a", ""}, {"a to c", "a", "c"}, {"z too", "z", ""}} {
		w.hub.Attach(listener(&heard, l[0], l[1], l[2]), 2)
	}
	w.put("a", "")
	w.put("z", "")
	w.put("a", "")
	w.catchUp()
	expectHeard(t, &heard, "z", "all", "a", "a to c", "z too")
	w.put("a", "")
	w.catchUp()
	expectHeard(t, &heard) // nobody has taken their mark
}

// What a compaction hides within a turn is looked at before: marks tell of no more than what there was.
func TestHub_LooksBeforeACompactionHides(t *testing.T) {
	w := newWorld(t)
	w.local.BeforeCompaction(func() { w.hub.Look(w.local.Changes, w.local.Revision()) })
	var heard []string
	interests := map[string]*watch.Interest{}
	for _, l := range [][3]string{{"late", "d", ""}, {"early", "a", ""}, {"both", "a", "e"}, {"none", "x", "\x00"}} {
		interests[l[0]] = listener(&heard, l[0], l[1], l[2])
		w.hub.Attach(interests[l[0]], 2)
	}
	w.put("a", "") // 2
	w.put("b", "")
	w.compact(3)
	w.put("c", "")
	w.put("c", "")
	w.compact(5)
	w.put("d", "") // 6
	w.catchUp()
	expectHeard(t, &heard, "late", "early", "both")
	for name, want := range map[string]int64{"early": 2, "both": 2, "late": 6, "none": 0} {
		expectMark(t, interests[name], want)
	}
	// A snapshot takes the machine's place: everybody is marked, and what was noted is forgotten.
	w.put("a", "")
	w.put("d", "")
	w.compact(8)
	for _, r := range w.log[w.applied:] {
		applyTo(t, w.local, r)
	}
	w.restore()
	for _, i := range interests {
		expectMark(t, i, 7)
	}
	heard = nil
	w.put("d", "") // 9
	w.catchUp()
	expectHeard(t, &heard, "late", "both")
	expectMark(t, interests["late"], 9)
}

func TestInterest_MarkIsTheFirstUnseenRevision(t *testing.T) {
	w := newWorld(t)
	var heard []string
	i := listener(&heard, "a", "a", "")
	w.hub.Attach(i, 2)
	expectMark(t, i, 0)
	w.put("b", "")
	w.put("a", "")
	w.put("a", "")
	w.turn(2)
	w.turn(1)
	expectMark(t, i, 3)
	expectMark(t, i, 0)
	w.put("b", "")
	w.catchUp()
	expectMark(t, i, 0)
	w.txn("a", "b")
	w.catchUp()
	expectMark(t, i, 6)
	expectHeard(t, &heard, "a", "a")
}

func TestAttach_MarksWhatWasPublishedAlready(t *testing.T) {
	w := newWorld(t)
	w.put("a", "")
	w.put("b", "")
	w.put("a", "")
	w.catchUp()
	for from, want := range map[int64]int64{-3: 2, 0: 2, 2: 2, 3: 4, 4: 4, 5: 0, 9: 0} {
		var heard []string
		i := listener(&heard, "a", "a", "")
		w.hub.Attach(i, from)
		if want != 0 {
			expectHeard(t, &heard, "a")
		}
		expectMark(t, i, want)
		w.hub.Detach(i)
	}
	w.compact(4)
	w.catchUp()
	var heard []string
	i := listener(&heard, "c", "c", "")
	w.hub.Attach(i, 3)
	expectMark(t, i, 3) // what was compacted away is not known
}

func TestAttach_NotMarkedForWhatComesBefore(t *testing.T) {
	w := newWorld(t)
	var heard []string
	i := listener(&heard, "later", "a", "")
	w.hub.Attach(i, 4)
	w.put("a", "")
	w.put("a", "")
	w.catchUp()
	expectMark(t, i, 0)
	w.put("a", "")
	w.catchUp()
	expectMark(t, i, 4)
}

func TestAttach_Twice(t *testing.T) {
	w := newWorld(t)
	var heard []string
	i := listener(&heard, "a", "a", "")
	w.hub.Attach(i, 1)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("an interest is attached twice")
			}
		}()
		w.hub.Attach(i, 1)
	}()
	w.put("a", "")
	w.catchUp()
	w.hub.Detach(i)
	w.hub.Detach(i)
	w.hub.Attach(i, 3)
	expectMark(t, i, 0) // the mark for revision 2 is of the former attachment
	w.put("a", "")
	w.catchUp()
	expectMark(t, i, 3)
	expectHeard(t, &heard, "a", "a")
}

// TestHub_MayBeCalledWhenWoken: whoever waits for one change, such as a lock, leaves as soon as it is woken.
func TestHub_MayBeCalledWhenWoken(t *testing.T) {
	w := newWorld(t)
	var heard []string
	var first, second *watch.Interest
	second = listener(&heard, "second", "a", "")
	third := listener(&heard, "third", "a", "b")
	first = watch.NewInterest([]byte("a"), nil, func() {
		heard = append(heard, "first")
		w.hub.Detach(first)
		w.hub.Detach(second)
		w.hub.Attach(third, 2)
	})
	w.hub.Attach(first, 2)
	w.hub.Attach(second, 2)
	w.put("a", "")
	w.catchUp()
	expectHeard(t, &heard, "first", "third")
	expectMark(t, third, 2)
	if got, want := w.hub.Stats(), (watch.HubStats{Interests: 1, Ranges: 1, Revision: 2}); got != want {
		t.Errorf("%+v", got)
	}
}

func TestPublish_RestoredMarksEveryone(t *testing.T) {
	w := newWorld(t)
	var heard []string
	key, span, later := listener(&heard, "key", "x", ""), listener(&heard, "range", "k", "\x00"), listener(&heard, "later", "x", "")
	w.hub.Attach(key, 2)
	w.hub.Attach(span, 2)
	w.hub.Attach(later, 9)
	w.put("a", "")
	w.catchUp()
	w.put("a", "")
	w.put("a", "")
	w.restore()
	expectHeard(t, &heard, "key", "range")
	expectMark(t, key, 3)
	expectMark(t, span, 3)
	w.restore() // at the same revision there is nothing new
	expectHeard(t, &heard)
	expectMark(t, key, 0)
}

// TestPublish_HiddenByACompaction: a compaction in the same turn as the events before it leaves nobody uninformed.
func TestPublish_HiddenByACompaction(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	c.create(&pb.WatchCreateRequest{Key: []byte("a")})
	c.expect(t, created(0, 1))
	w.catchUp()
	w.put("a", "")
	w.put("b", "")
	w.compact(3)
	w.catchUp()
	c.expect(t, compacted(0, 3))
}
