package statemachine

// Kinds of items of a walk, which are also those of a snapshot's records. The rows of a table have its letter; see tables.go.
const (
	headItem  = 'H'
	baseItem  = 'B'
	eventItem = 'E'
)

// Item is one thing that is replicated, as a Walk finds it and a Builder takes it.
type Item struct {
	kind   byte
	head   *head    // of a headItem
	change *version // of a baseItem or an eventItem
	row    []byte   // of a row: its letter and its encoding
	// lent says that the bytes of change or row are overwritten once the next item is asked for.
	lent bool
}

// Walk goes over everything that is replicated, each thing once, in one order:
//
//  1. the head;
//  2. the base: of each key the version from before the compacted revision that is visible at it, in the order of keys;
//  3. the changes from the compacted revision on, as they happened;
//  4. the rows of each table in its order, the tables in the order of tables.all.
//
// The order and the items depend on the log alone, not on how far compaction has got in this member's memory. Whoever walks
// keeps the view pinned.
type Walk struct {
	view    *View
	stage   byte // the kind of the items that come next; 0: rows
	base    baseIterator
	pos     int64
	tables  []replicated // not begun yet
	rows    rowCursor
	scratch []byte
}

// Walk begins a walk, in O(1).
func (v *View) Walk() *Walk {
	return &Walk{view: v, stage: headItem, base: newBaseIterator(v), pos: v.log.begin, tables: v.tables.all()}
}

// Next returns the next item; false after the last. A row is valid until the following call.
func (w *Walk) Next() (Item, bool) {
	switch w.stage {
	case headItem:
		w.stage = baseItem
		return Item{kind: headItem, head: &w.view.head}, true
	case baseItem:
		if v := w.base.next(); v != nil {
			return Item{kind: baseItem, change: v}, true
		}
		w.stage = eventItem
		fallthrough
	case eventItem:
		if w.pos < w.view.log.end {
			w.pos++
			return Item{kind: eventItem, change: w.view.log.at(w.pos - 1)}, true
		}
		w.stage = 0
	}
	return w.nextRow()
}

func (w *Walk) nextRow() (Item, bool) {
	for {
		if w.rows != nil {
			if row, ok := w.rows.next(w.scratch[:0]); ok {
				w.scratch = row
				return Item{kind: row[0], row: row, lent: true}, true
			}
			w.rows = nil
		}
		if len(w.tables) == 0 {
			return Item{}, false
		}
		if w.tables[0].kind() != 0 {
			w.rows = w.tables[0].cursor()
		}
		w.tables = w.tables[1:]
	}
}

// baseIterator walks the versions of the base in the order of keys.
type baseIterator struct {
	keys      *merged
	compacted int64
}

func newBaseIterator(v *View) baseIterator {
	return baseIterator{keys: newMerged(v.keys.live, v.keys.dead, nil), compacted: v.compacted}
}

// next returns nil at the end.
func (it *baseIterator) next() *version {
	for e, ok := it.keys.next(); ok; e, ok = it.keys.next() {
		if ver := e.chain.at(it.compacted); ver != nil && ver.main < it.compacted {
			return ver
		}
	}
	return nil
}
