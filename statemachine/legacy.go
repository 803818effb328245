package statemachine

import (
	"encoding/json"
	"fmt"

	"github.com/detcd/detcd/statemachine/format"
)

// Format version 1, as detcd 0.1.0 writes and reads it. To be deleted when format.Oldest is 2: then nothing calls what is in this file but the
// functions of envelope.go and change.go that tell the versions apart, and clusters are founded by envelopes.
//
// The payload of an entry is a batch, which says nothing of callers or traces:
//
//	byte    format, 1
//	varint  proposer, incarnation, sequence, number of requests
//	for each request: varint length, etcdserverpb.InternalRaftRequest
//
// A change of raft's configuration carries the member in JSON. It has no origin. (0.1.0 makes none but those that found a cluster.)

// legacyMember is what a configuration change carries.
type legacyMember struct {
	ID       uint64   `json:"id"`
	Name     string   `json:"name"`
	PeerURLs []string `json:"peerURLs"`
}

func (e *Envelope) encodeLegacy() []byte {
	if e.Change != nil {
		b, err := json.Marshal(legacyMember{ID: e.Change.Member.ID, Name: e.Change.Member.Name, PeerURLs: e.Change.Member.PeerURLs})
		if err != nil || e.Origin != (Origin{}) {
			panic(fmt.Sprintf("statemachine: a change of the membership has no origin in format version 1: %+v: %v", e.Origin, err))
		}
		return b
	}
	out := append(make([]byte, 0, e.sizeAtMost()), byte(format.Batches))
	return appendRequests(e.Origin.append(out), e.Requests)
}

func decodeLegacy(data []byte) (*Envelope, error) {
	d := decoder{b: data[1:]}
	e := &Envelope{version: format.Batches, Origin: d.origin()}
	return e, e.decodeRequests(&d)
}

// isLegacyChange says whether what a configuration change carries is JSON, or nothing.
func isLegacyChange(context []byte) bool { return len(context) == 0 || context[0] == '{' }

// decodeLegacyChange reads what a configuration change carries beside its kind and the member's id.
func decodeLegacyChange(kind MemberChangeKind, id MemberID, context []byte) (*Envelope, error) {
	c := legacyMember{}
	if len(context) > 0 {
		if err := json.Unmarshal(context, &c); err != nil {
			return nil, fmt.Errorf("statemachine: the member in a configuration change: %w", err)
		}
	}
	return &Envelope{version: format.Batches, Change: &MemberChange{Kind: kind, Member: MemberInfo{ID: id, Name: c.Name, PeerURLs: c.PeerURLs}}}, nil
}
