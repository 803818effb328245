package statemachine

// Recount is what View.Sizes says of the machine's present state, added up anew from what is in memory. It walks all of that: it is for
// tests and the simulator, which hold the running sum to it.
func (m *Machine) Recount() (sum int64) {
	seen := map[*version]bool{} // looked up, never ranged
	count := func(v *version) {
		if v != nil && !seen[v] {
			seen[v] = true
			sum += v.size()
		}
	}
	keys := func(e entry) bool {
		sum += int64(len(e.key)) + keyOverhead
		for v := e.chain.head.Load(); v != nil; v = v.prev.Load() {
			count(v)
		}
		return true
	}
	m.live.Scan(keys)
	m.dead.Scan(keys)
	// An event outlives its place in its key's chain when a later version of the key is the first to be readable.
	for i := m.pass.held; i < m.log.end; i++ {
		count(m.log.at(i))
	}
	for _, t := range m.tables.all() {
		sum += t.recount()
	}
	return sum
}
