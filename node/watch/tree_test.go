package watch

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func genSpan(t *rapid.T) span {
	keys := []string{"", "a", "aa", "ab", "b", "b\x00", "c", "d", "e", "\xff"}
	s := span{start: rapid.SampledFrom(keys).Draw(t, "start"), open: rapid.IntRange(0, 4).Draw(t, "open") == 0}
	if !s.open {
		s.end = s.start + rapid.SampledFrom([]string{"\x00", "a", "zz"}).Draw(t, "end")
		if above := rapid.SampledFrom(keys).Draw(t, "above"); above > s.start {
			s.end = above
		}
	}
	return s
}

// TestTree_AgainstAList compares the tree with a list of the same ranges, and looks at its shape.
func TestTree_AgainstAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tr tree
		var list []span
		for range rapid.IntRange(0, 60).Draw(t, "operations") {
			s := genSpan(t)
			if at, found := slices.BinarySearchFunc(list, s, compareSpans); found && rapid.Bool().Draw(t, "remove") {
				tr.remove(s)
				list = slices.Delete(list, at, at+1)
			} else if a := tr.get(s); a.span != s {
				t.Fatalf("asked for %v, got %v", s, a.span)
			} else if !found {
				list = slices.Insert(list, at, s)
			}
			if tr.len != len(list) {
				t.Fatalf("%d ranges, want %d", tr.len, len(list))
			}
			checkNode(t, tr.root)
			key := []byte(rapid.SampledFrom([]string{"", "\x00", "a", "aa", "aaa", "b", "b\x00", "cc", "zz", "\xff\xff"}).Draw(t, "key"))
			var want, got []span
			for _, s := range list {
				if s.contains(key) {
					want = append(want, s)
				}
			}
			for _, a := range tr.appendContaining(nil, key) {
				got = append(got, a.span)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%q lies in %v, found %v", key, want, got)
			}
		}
	})
}

// checkNode checks order, heap and reach of a subtree.
func checkNode(t *rapid.T, n *node) {
	if n == nil {
		return
	}
	reach := n.audience.span
	for _, child := range []*node{n.left, n.right} {
		if child == nil {
			continue
		}
		checkNode(t, child)
		if child.priority > n.priority {
			t.Fatalf("%v is above one of a higher priority", n.audience.span)
		}
		if before := compareSpans(child.audience.span, n.audience.span) < 0; before != (child == n.left) {
			t.Fatalf("%v is on the wrong side of %v", child.audience.span, n.audience.span)
		}
		if compareEnds(child.reach, reach) > 0 {
			reach = child.reach
		}
	}
	if compareEnds(n.reach, reach) != 0 {
		t.Fatalf("%v reaches %v, not %v", n.audience.span, reach, n.reach)
	}
}

func TestTree_IsShallow(t *testing.T) {
	var tr tree
	const n = 10_000
	for i := range n {
		key := string([]byte{byte(i >> 16), byte(i >> 8), byte(i)})
		tr.get(span{start: key, end: key + "z"})
	}
	if d := depth(tr.root); d > 60 {
		t.Errorf("%d ranges are %d deep", n, d)
	}
}

func depth(n *node) int {
	if n == nil {
		return 0
	}
	return 1 + max(depth(n.left), depth(n.right))
}

func TestRoster_KeepsTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := roster{which: ofAudience}
		var want []*Interest
		for range rapid.IntRange(0, 200).Draw(t, "operations") {
			if len(want) > 0 && rapid.Bool().Draw(t, "remove") {
				at := rapid.IntRange(0, len(want)-1).Draw(t, "at")
				r.remove(want[at])
				want = slices.Delete(want, at, at+1)
			} else {
				want = append(want, &Interest{})
				r.add(want[len(want)-1])
			}
			got := slices.DeleteFunc(slices.Clone(r.list), func(i *Interest) bool { return i == nil })
			if !slices.Equal(got, want) || r.len() != len(want) || len(r.list) > 2*len(want)+16 {
				t.Fatalf("%d interests in %d places, want %d", len(got), len(r.list), len(want))
			}
		}
	})
}
