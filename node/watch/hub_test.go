package watch_test

import (
	"slices"
	"testing"

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
