package statemachine

// SessionWindow is how many of a proposer's newest batches are told apart: an older one is taken for a repetition. A proposer keeps the
// sequences of its unresolved batches within it.
const SessionWindow = sessionWindow

// Seen says whether the batch of that sequence was applied, or is given up on.
func (m *Machine) Seen(proposer MemberID, incarnation, sequence uint64) bool {
	for i := range m.sessions {
		s := &m.sessions[i]
		if s.proposer == proposer {
			return incarnation < s.incarnation || incarnation == s.incarnation && (sequence <= s.floor || sequence-s.floor <= sessionWindow && s.has(sequence))
		}
	}
	return false
}

// HasProposed says whether a batch of that proposer was ever applied.
func (m *Machine) HasProposed(proposer MemberID) bool {
	for i := range m.sessions {
		if m.sessions[i].proposer == proposer {
			return true
		}
	}
	return false
}

// Members returns the members of the cluster, ordered by id. The slice is not to be changed.
func (m *Machine) Members() []Member { return m.members }

// ClusterVersion is the version that the members have agreed to speak, empty while they have not.
func (m *Machine) ClusterVersion() string { return m.clusterVersion }
