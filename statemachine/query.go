package statemachine

// SessionWindow is how many of a proposer's newest batches are told apart. An older batch counts as applied already. So a proposer keeps the
// sequences of all batches that it waits for within so many.
const SessionWindow = sessionWindow

// Seen says whether the batch of that sequence was applied, or is given up on.
func (m *Machine) Seen(proposer MemberID, incarnation, sequence uint64) bool {
	s, known := m.sessions.get(session{proposer: proposer})
	return known && s.seen(incarnation, sequence)
}

// HasProposed says whether a batch of that proposer was ever applied.
func (m *Machine) HasProposed(proposer MemberID) bool {
	return m.sessions.has(session{proposer: proposer})
}

// Members returns the members of the cluster, ordered by id.
func (m *Machine) Members() []MemberInfo { return m.members.list() }

// ClusterVersion is the version that the members have agreed to speak, empty while they have not.
func (m *Machine) ClusterVersion() string { return m.clusterVersion }
