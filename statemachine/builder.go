package statemachine

import (
	"bytes"
	"errors"
	"fmt"
)

// Builder makes a machine of the items of a walk: of a view's, or of what was read from a snapshot. It checks that each item fits to those before
// it. Nobody sees the machine before Build returns it.
type Builder struct {
	m       *Machine
	begun   bool     // the head is there
	lastKey []byte   // of the base
	last    Revision // of the changes
	beside  *View    // nil: none
}

// NewBuilder begins a machine. beside is another state that is in memory already, or nil. What both hold, the same bytes under the same revision, is
// then held once. The machine is the same with any beside. The caller keeps beside pinned until Build returns.
func NewBuilder(beside *View) *Builder { return &Builder{m: newMachine(), beside: beside} }

// Add enters the next item. What it keeps of an item that is lent, it copies. An error says why the item does not fit; the machine can't be built then.
func (b *Builder) Add(item Item) error {
	switch {
	case item.kind == headItem:
		return b.addHead(item.head)
	case !b.begun:
		return fmt.Errorf("an item of kind %q comes before the head", item.kind)
	case item.kind == baseItem:
		return b.addBase(b.own(item))
	case item.kind == eventItem:
		return b.addEvent(b.own(item))
	}
	return b.addRow(item)
}

// Build returns the machine, with a view published.
func (b *Builder) Build() (*Machine, error) {
	if !b.begun {
		return nil, errors.New("there is no head")
	}
	b.m.Publish()
	return b.m, nil
}

func (b *Builder) addHead(h *head) error {
	if b.begun {
		return errors.New("there is a second head")
	}
	if h.rev < 1 || h.compacted > h.rev {
		return fmt.Errorf("the head's revision is %d, compacted up to %d", h.rev, h.compacted)
	}
	b.begun = true
	b.m.head = *h
	b.m.pass.done = h.compacted
	return nil
}

// addBase enters a version from before the compacted revision: the only one of its key so far.
func (b *Builder) addBase(v *version) error {
	m := b.m
	if v.deleted() || v.main >= m.compacted || b.last != (Revision{}) || bytes.Compare(v.key(), b.lastKey) <= 0 {
		return fmt.Errorf("version %d.%d of the base is out of order", v.main, v.sub)
	}
	b.lastKey = v.key()
	c := new(chain)
	c.head.Store(v)
	key := string(v.key())
	m.live.Load(entry{key: key, chain: c})
	m.bytes += v.size() + int64(len(key)) + keyOverhead
	m.content += v.hash
	m.attach(v.lease, v.key())
	return nil
}

// addEvent enters a change from the compacted revision on.
func (b *Builder) addEvent(v *version) error {
	m := b.m
	at := Revision{Main: v.main, Sub: int64(v.sub)}
	if v.main < m.compacted || v.main > m.rev || at.Main < b.last.Main || at.Main == b.last.Main && at.Sub <= b.last.Sub {
		return fmt.Errorf("change %d.%d is out of order", v.main, v.sub)
	}
	b.last = at
	c := m.find(v.key())
	switch {
	case c != nil:
		old := c.head.Load()
		m.content -= old.hash
		m.detach(old.lease, v.key())
		if v.deleted() {
			key := string(v.key())
			m.live.Delete(entry{key: key})
			m.dead.Set(entry{key: key, chain: c})
		}
	case !v.deleted():
		c = m.enliven(v.key())
	case v.main == m.compacted:
		// What it deleted can't be read any more; the deletion itself can still be watched.
		key := string(v.key())
		c = new(chain)
		m.bytes += int64(len(key)) + keyOverhead
		m.dead.Set(entry{key: key, chain: c})
	default:
		return fmt.Errorf("change %d.%d deletes a key that is not there", v.main, v.sub)
	}
	v.prev.Store(c.head.Load())
	c.head.Store(v)
	m.log.append(v)
	m.bytes += v.size()
	if !v.deleted() {
		m.content += v.hash
		m.attach(v.lease, v.key())
	}
	return nil
}

func (b *Builder) addRow(item Item) error {
	for _, t := range b.m.tables.all() {
		if t.kind() != 0 && t.kind() == item.kind {
			if !t.load(&decoder{b: item.row[1:]}) {
				return fmt.Errorf("a row of kind %q can't be read, or is out of order", item.kind)
			}
			return nil
		}
	}
	return fmt.Errorf("there are no items of kind %q", item.kind)
}

// own makes a version of the machine's own of an item. Its bytes are in memory that lasts: that of the same version in the state beside, where it is there.
func (b *Builder) own(item Item) *version {
	v := item.change.clone()
	if b.beside != nil {
		if kv := b.beside.encoded(v); kv != nil {
			v.kv = kv
			return v
		}
	}
	if item.lent {
		v.kv = bytes.Clone(v.kv)
	}
	return v
}

// besideMost is how many newer versions of a key are passed in the search for an old one.
const besideMost = 64

// encoded returns the view's memory of a version's bytes, if it holds the very same ones under the same revision; nil if it does not, or
// would have to search for long.
func (view *View) encoded(v *version) []byte {
	if at := view.log.find(v.main) + int64(v.sub); at < view.log.end {
		if same := view.log.at(at); bytes.Equal(same.kv, v.kv) {
			return same.kv
		}
	}
	if v.main >= view.compacted {
		return nil
	}
	// Of a key's versions from before the compacted revision at most one is left. It comes after those that the log holds.
	e, ok := view.keys.live.Get(pivot(v.key()))
	if !ok {
		return nil
	}
	same := e.chain.head.Load()
	for n := 0; same != nil && same.main > v.main; n++ {
		if n == besideMost {
			return nil
		}
		same = same.prev.Load()
	}
	if same != nil && bytes.Equal(same.kv, v.kv) {
		return same.kv
	}
	return nil
}
