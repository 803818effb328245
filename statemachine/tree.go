package statemachine

import (
	"sort"
	"unsafe"

	"github.com/tidwall/btree"
)

// entry leads from a key to its versions. It is no pointer, so that a search allocates nothing.
type entry struct {
	key   string
	chain *chain
}

type keyTree = btree.BTreeG[entry]

// treeDegree is small because every published view makes the next change of a node copy it.
const treeDegree = 16

func newKeyTree() *keyTree {
	return btree.NewBTreeGOptions(func(a, b entry) bool { return a.key < b.key },
		btree.Options{Degree: treeDegree, NoLocks: true})
}

// pivot makes an entry to search for the key b, without copying b. The entry is good only as long as b does not change: never store it.
func pivot(b []byte) entry { return entry{key: unsafe.String(unsafe.SliceData(b), len(b))} }

// span is a range of keys as the API's key and range_end fields say it.
type span struct {
	from, to []byte
	point    bool // only the key from
	open     bool // no upper end
}

// newSpan reads range_end as etcd does. An empty range_end means the one key. A single zero byte means every key from key on. If range_end is not
// above key, the span is empty.
func newSpan(key, rangeEnd []byte) span {
	switch {
	case len(rangeEnd) == 0:
		return span{from: key, point: true}
	case len(rangeEnd) == 1 && rangeEnd[0] == 0:
		return span{from: key, open: true}
	}
	return span{from: key, to: rangeEnd}
}

// past says that key lies beyond the span's upper end.
func (s span) past(key string) bool { return !s.open && key >= string(s.to) }

// rank is the number of keys below key.
func rank(t *keyTree, key []byte) int {
	return sort.Search(t.Len(), func(i int) bool {
		e, _ := t.GetAt(i)
		return e.key >= string(key)
	})
}

// count is the number of keys in s, without visiting them.
func count(t *keyTree, s span) int {
	if s.point {
		if _, ok := t.Get(pivot(s.from)); ok {
			return 1
		}
		return 0
	}
	end := t.Len()
	if !s.open {
		end = rank(t, s.to)
	}
	return max(0, end-rank(t, s.from))
}

// merged walks the keys of two disjoint trees in one order.
type merged struct {
	a, b     btree.IterG[entry]
	okA, okB bool
}

func newMerged(a, b *keyTree, from []byte) *merged {
	it := &merged{a: a.Iter(), b: b.Iter()}
	it.okA, it.okB = it.a.Seek(pivot(from)), it.b.Seek(pivot(from))
	return it
}

// next returns the next entry in key order; false at the end of both trees.
func (it *merged) next() (entry, bool) {
	switch {
	case !it.okA && !it.okB:
		return entry{}, false
	case !it.okB || it.okA && it.a.Item().key < it.b.Item().key:
		e := it.a.Item()
		it.okA = it.a.Next()
		return e, true
	}
	e := it.b.Item()
	it.okB = it.b.Next()
	return e, true
}
