package statemachine

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// version reads a base or event record and passes it on.
func (s *restorer) version(d *decoder, add func(f keyValueFields, sub int32) error) error {
	sub := d.uvarint()
	f, ok := decodeKeyValue(d.b)
	if d.failed || !ok || sub > 1<<31-1 || len(f.key) == 0 {
		return bad("a version cannot be read")
	}
	return add(f, int32(sub))
}

// decodeKeyValue reads an encoded mvccpb.KeyValue and insists on the one encoding that append produces. The result shares
// b's memory.
func decodeKeyValue(b []byte) (f keyValueFields, ok bool) {
	for rest := b; len(rest) > 0; {
		num, typ, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return f, false
		}
		rest = rest[n:]
		var number uint64
		var data []byte
		switch typ {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(rest)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(rest)
		default:
			return f, false
		}
		if n < 0 {
			return f, false
		}
		rest = rest[n:]
		switch num {
		case 1:
			f.key = data
		case 2:
			f.create = int64(number)
		case 3:
			f.mod = int64(number)
		case 4:
			f.number = int64(number)
		case 5:
			f.value = data
		case 6:
			f.leased = int64(number)
		default:
			return f, false
		}
	}
	again, _ := f.append(make([]byte, 0, len(b)))
	return f, bytes.Equal(again, b)
}

// addBase adds a version that is visible at the compacted revision though older. They come in key order.
func (s *restorer) addBase(f keyValueFields, sub int32) error {
	m := s.m
	if f.number < 1 || f.create < 2 || f.create > f.mod || f.mod >= m.compacted {
		return bad("base version of %q: %s", f.key, f.describe())
	}
	if s.lastKey != nil && bytes.Compare(s.lastKey, f.key) >= 0 {
		return bad("base versions are not in key order")
	}
	s.lastKey = append(s.lastKey[:0], f.key...)
	v := newVersion(f, sub)
	e := entry{key: string(f.key), chain: new(chain)}
	e.chain.head.Store(v)
	m.live.Load(e)
	m.content += v.hash
	m.bytes += v.size() + int64(len(e.key)) + keyOverhead
	return nil
}

// addEvent adds a change. Of every revision from the compacted one to the head there is at least one, and all that there
// ever were.
func (s *restorer) addEvent(f keyValueFields, sub int32) error {
	m := s.m
	last, first := Revision{}, m.log.end == 0
	if !first {
		v := m.log.at(m.log.end - 1)
		last = Revision{v.main, int64(v.sub)}
	}
	switch {
	case first && (f.mod != max(m.compacted, 2) || sub != 0),
		!first && f.mod == last.Main && int64(sub) != last.Sub+1,
		!first && f.mod != last.Main && (f.mod != last.Main+1 || sub != 0),
		f.mod > m.rev:
		return bad("event %d/%d after %d/%d, compacted at %d, head at %d", f.mod, sub, last.Main, last.Sub, m.compacted, m.rev)
	}
	c := m.find(f.key)
	if err := s.checkEvent(c, f); err != nil {
		return err
	}
	if f.number == 0 {
		s.addDeletion(c, f, sub)
		return nil
	}
	if c == nil {
		c = m.enliven(f.key)
	} else {
		m.content -= c.head.Load().hash
	}
	v := newVersion(f, sub)
	m.push(c, v)
	m.content += v.hash
	return nil
}

// checkEvent holds a change against what it changes. At the compacted revision itself that may be unknown.
func (s *restorer) checkEvent(c *chain, f keyValueFields) error {
	unknown := c == nil && f.mod == s.m.compacted
	var sound bool
	switch {
	case f.number == 0:
		sound = f.create == 0 && len(f.value) == 0 && f.leased == 0 && (c != nil || unknown)
	case f.number == 1:
		sound = f.create == f.mod && c == nil
	case c != nil:
		old := c.head.Load()
		sound = f.create == old.create && f.number == old.number+1
	default:
		sound = unknown && f.number > 1 && f.create >= 2 && f.create <= f.mod
	}
	if !sound {
		return bad("event of %q does not follow what came before: %s", f.key, f.describe())
	}
	return nil
}

func (s *restorer) addDeletion(c *chain, f keyValueFields, sub int32) {
	m := s.m
	if c == nil { // at the compacted revision: the deleted version itself is gone
		c = m.enliven(f.key)
	} else {
		m.content -= c.head.Load().hash
	}
	m.push(c, newVersion(f, sub))
	e, _ := m.live.Delete(pivot(f.key))
	m.dead.Set(e)
}

func (f *keyValueFields) describe() string {
	return fmt.Sprintf("create %d mod %d version %d", f.create, f.mod, f.number)
}

// complete checks what only the whole can show, and attaches the keys to their leases.
func (s *restorer) complete() error {
	m := s.m
	m.sub = 0 // push counts changes within a transaction
	m.pass.done = m.compacted
	newest := int64(1)
	if m.log.end > 0 {
		newest = m.log.at(m.log.end - 1).main
	}
	if newest != m.rev {
		return bad("the last event is of revision %d, the head is at %d", newest, m.rev)
	}
	var err error
	m.live.Scan(func(e entry) bool {
		v := e.chain.head.Load()
		if m.checkLease(v.lease) != nil {
			err = bad("%q has lease %x, which was not granted", e.key, uint64(v.lease))
		}
		m.attach(v.lease, v.key())
		return err == nil
	})
	return err
}
