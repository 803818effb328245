package statemachine

import (
	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"
)

// table is one replicated set beside the keys; tables.go declares all of them. Its rows are ordered by their keys. A row is never changed: a
// new row takes the place of the old one. Nodes of the tree are copied on write, so a view's copy of a table costs O(1).
//
// A machine's table keeps the books of what it holds: each change goes into the machine's tally. A view's table (see freeze) is only read.
type table[T any] struct {
	of   *rowType[T]
	rows *btree.BTreeG[T]
	own  *owner[T] // nil in a view
}

// rowType declares what the rows of a table are.
type rowType[T any] struct {
	// letter is the kind of the rows' records, in snapshots and in the state hash. No two tables have the same. 0 means that the rows follow
	// from the keys: they are neither hashed nor written.
	letter byte
	// before orders rows by their keys. Two rows of which neither is before the other have the same key.
	before func(a, b T) bool
	// append and read are the row's encoding, which is on disk and in the state hash. Both are nil where letter is 0.
	append func(row T, b []byte) []byte
	read   func(d *decoder) T
	// bytes is what a row counts in View.Sizes. nil: nothing, for sets that stay small.
	bytes func(row T) int64
}

// owner is what only a machine's table has.
type owner[T any] struct {
	sum     *tally
	frozen  *btree.BTreeG[T] // what the last published view has
	changed bool             // since then
	scratch []byte
}

// tally is kept while the state changes, so that nobody has to add it up.
type tally struct {
	content uint64 // sum of the hashes of all items; see hash.go
	bytes   int64  // see View.Sizes
}

func newTable[T any](sum *tally, of rowType[T]) table[T] {
	rows := btree.NewBTreeGOptions(of.before, btree.Options{Degree: treeDegree, NoLocks: true})
	return table[T]{of: &of, rows: rows, own: &owner[T]{sum: sum, changed: true}}
}

func (t *table[T]) len() int { return t.rows.Len() }

// get returns the row with key's key.
func (t *table[T]) get(key T) (row T, ok bool) { return t.rows.Get(key) }

func (t *table[T]) has(key T) bool {
	_, ok := t.rows.Get(key)
	return ok
}

// scan calls f with each row, in order, until f returns false.
func (t *table[T]) scan(f func(T) bool) { t.rows.Scan(f) }

// from is scan, beginning at the first row that is not before key.
func (t *table[T]) from(key T, f func(T) bool) { t.rows.Ascend(key, f) }

// list returns all rows, in order, in memory of its own.
func (t *table[T]) list() []T { return t.rows.Items() }

// put enters a row, in place of the one with the same key.
func (t *table[T]) put(row T) {
	if old, replaced := t.rows.Set(row); replaced {
		t.account(old, false)
	}
	t.account(row, true)
}

// remove takes out the row with key's key, if it is there.
func (t *table[T]) remove(key T) {
	if old, ok := t.rows.Delete(key); ok {
		t.account(old, false)
	}
}

// account keeps the tally.
func (t *table[T]) account(row T, added bool) {
	var one tally
	if t.of.letter != 0 {
		t.own.scratch = t.of.append(row, append(t.own.scratch[:0], t.of.letter))
		one.content = xxhash.Sum64(t.own.scratch)
	}
	if t.of.bytes != nil {
		one.bytes = t.of.bytes(row)
	}
	if !added {
		one = tally{-one.content, -one.bytes}
	}
	t.own.sum.content += one.content
	t.own.sum.bytes += one.bytes
	t.own.changed = true
}

// replicated is what all tables have in common, whatever their rows.
type replicated interface {
	kind() byte
	freeze()
	cursor() rowCursor
	load(d *decoder) bool
	recount() int64
}

func (t *table[T]) kind() byte { return t.of.letter }

// freeze makes a copy of a machine's table a view's.
func (t *table[T]) freeze() {
	if t.own.changed {
		t.own.frozen, t.own.changed = t.rows.Copy(), false
	}
	t.rows, t.own = t.own.frozen, nil
}

// load enters the row that d holds. It says whether the row could be read and comes after all others.
func (t *table[T]) load(d *decoder) bool {
	row := t.of.read(d)
	if d.err() != nil {
		return false
	}
	if last, ok := t.rows.Max(); ok && !t.of.before(last, row) {
		return false
	}
	t.put(row)
	return true
}

// recount adds up anew what the rows count in View.Sizes.
func (t *table[T]) recount() (sum int64) {
	if t.of.bytes != nil {
		t.rows.Scan(func(row T) bool {
			sum += t.of.bytes(row)
			return true
		})
	}
	return sum
}

// rowCursor goes over a table's rows in order.
type rowCursor interface {
	// next appends the record of the next row, its letter first; false at the end.
	next(b []byte) ([]byte, bool)
}

type tableCursor[T any] struct {
	of *rowType[T]
	it btree.IterG[T]
}

func (t *table[T]) cursor() rowCursor { return &tableCursor[T]{of: t.of, it: t.rows.Iter()} }

func (c *tableCursor[T]) next(b []byte) ([]byte, bool) {
	if !c.it.Next() {
		return b, false
	}
	return c.of.append(c.it.Item(), append(b, c.of.letter)), true
}
