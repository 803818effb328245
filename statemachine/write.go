package statemachine

// find returns key's chain if the key exists.
func (m *Machine) find(key []byte) *chain {
	if e, ok := m.live.Get(pivot(key)); ok {
		return e.chain
	}
	return nil
}

// put stores a version of key in the running transaction and returns the version that it replaces, if any.
func (m *Machine) put(key, value []byte, lease int64) (old *version) {
	f := keyValueFields{key: key, value: value, mod: m.rev + 1, create: m.rev + 1, number: 1, leased: lease}
	c := m.find(key)
	if c != nil {
		old = c.head.Load()
		f.create, f.number = old.create, old.number+1
	} else {
		c = m.enliven(key)
	}
	m.push(c, newVersion(f, int32(m.sub)))
	oldLease := int64(0)
	if old != nil {
		m.content -= old.hash
		oldLease = old.lease
	}
	m.content += c.head.Load().hash
	if oldLease != lease {
		m.detach(oldLease, key)
		m.attach(lease, key)
	}
	return old
}

// delete marks an existing key as deleted; c is its chain. The machine keeps key, so its memory must not be written again.
func (m *Machine) delete(key string, c *chain) (old *version) {
	old = c.head.Load()
	m.push(c, newVersion(keyValueFields{key: old.key(), mod: m.rev + 1}, int32(m.sub)))
	m.content -= old.hash
	m.live.Delete(entry{key: key})
	m.dead.Set(entry{key: key, chain: c})
	m.treesChanged = true
	m.detach(old.lease, old.key())
	return old
}

// enliven enters a key that does not exist into the live tree. If versions of it are still kept, it gets their chain, else a new one.
func (m *Machine) enliven(key []byte) *chain {
	m.treesChanged = true
	if e, ok := m.dead.Delete(pivot(key)); ok {
		m.live.Set(e)
		return e.chain
	}
	e := entry{key: string(key), chain: new(chain)}
	m.bytes += int64(len(key)) + keyOverhead
	m.live.Set(e)
	return e.chain
}

// push makes v the newest version of a chain.
func (m *Machine) push(c *chain, v *version) {
	v.prev.Store(c.head.Load())
	c.head.Store(v)
	m.log.append(v)
	m.bytes += v.size()
	m.sub++
}
