package statemachine

import (
	"errors"

	"github.com/detcd/detcd/statemachine/format"
)

// ErrChangeDisagrees is about a configuration change whose two halves, raft's and the envelope, are not about the same.
var ErrChangeDisagrees = errors.New("statemachine: a configuration change and its envelope disagree")

// DecodeChange reads the envelope that a change of raft's configuration carries. kind and id are what raft's half of it says: AddVoter, AddLearner, Remove or
// UpdatePeerURLs, and whom it concerns. The envelope must say the same, where a promotion is an AddVoter: else, or where its body is another one, it
// fails with ErrChangeDisagrees. Other errors are those of Decode.
func DecodeChange(kind MemberChangeKind, id MemberID, context []byte, known format.Version) (*Envelope, error) {
	if isLegacyChange(context) {
		return decodeLegacyChange(kind, id, context)
	}
	e, err := Decode(context, known)
	if err != nil {
		return nil, err
	}
	if e.Change == nil || e.Change.RaftKind() != kind || e.Change.Member.ID != id {
		return nil, ErrChangeDisagrees
	}
	return e, nil
}

// RaftKind is the kind of change that this one is to raft, which knows no promotions.
func (c *MemberChange) RaftKind() MemberChangeKind {
	if c.Kind == Promote {
		return AddVoter
	}
	return c.Kind
}
