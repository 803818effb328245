package node

import (
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
)

// ClusterVersion is the cluster version that this software's members set: the minor version of the etcd API that they serve. What is
// applied depends on it, never on the software a member happens to run.
const ClusterVersion = "3.7.0"

// bootstrapPeers are the founding members in the order of their ids, so that every member's log begins alike. They are written in the oldest format
// version: other founders may be of an older build.
func bootstrapPeers(members []Peer) []raft.Peer {
	peers := make([]raft.Peer, 0, len(members))
	for _, p := range sortedPeers(members) {
		e := statemachine.Envelope{Change: &statemachine.MemberChange{Kind: statemachine.AddVoter,
			Member: statemachine.MemberInfo{ID: uint64(p.ID), Name: p.Name, PeerURLs: p.PeerURLs}}}
		peers = append(peers, raft.Peer{ID: uint64(p.ID), Context: e.Encode(format.Oldest)})
	}
	return peers
}

// applyConfChange applies a change of the cluster's members.
func (m *Member) applyConfChange(e *raftpb.Entry) {
	cc := &raftpb.ConfChange{}
	if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		panic(fmt.Sprintf("node: committed configuration change %d can't be read: %v", e.GetIndex(), err))
	}
	if !m.applyChange(e, cc) {
		cc = &raftpb.ConfChange{} // raft is told of every such entry, and of node 0 where nothing changes
	}
	if m.failed != nil {
		return
	}
	m.confState = m.raft.ApplyConfChange(cc)
	m.machine.SetConfState(encodeConfState(m.confState))
	m.peersChanged = true
}

// applyChange applies the envelope of a configuration change. It reports whether that has changed anything.
func (m *Member) applyChange(e *raftpb.Entry, cc *raftpb.ConfChange) bool {
	index, term := e.GetIndex(), e.GetTerm()
	envelope, err := statemachine.DecodeChange(changeKind(cc.GetType()), cc.GetNodeId(), cc.GetContext(), m.config.KnownFormat)
	switch {
	case errors.Is(err, statemachine.ErrChangeDisagrees):
		// Raft would do one thing, and the state another. It has no effect, on any member.
		m.machine.ApplyNothing(index, term)
		return false
	case err != nil:
		m.unreadable(index, term, err)
		return false
	}
	results, fresh := m.machine.Apply(index, term, envelope, true)
	return fresh && results[0].Err == nil
}

// changeKind is what the state machine calls a change of raft's configuration.
func changeKind(t raftpb.ConfChangeType) statemachine.MemberChangeKind {
	switch t {
	case raftpb.ConfChangeAddNode:
		return statemachine.AddVoter
	case raftpb.ConfChangeAddLearnerNode:
		return statemachine.AddLearner
	case raftpb.ConfChangeRemoveNode:
		return statemachine.Remove
	case raftpb.ConfChangeUpdateNode:
		return statemachine.UpdatePeerURLs
	}
	return 0
}

func encodeConfState(cs *raftpb.ConfState) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(cs)
	if err != nil {
		panic("node: configuration can't be encoded: " + err.Error())
	}
	return b
}

// tellPeers tells the network who the members are, if that has changed.
func (m *Member) tellPeers() {
	if m.peersChanged {
		m.setPeers()
	}
}

// setPeers tells the network who the members are: once a turn, since one that is left out for a moment is taken for removed. Until the
// entries that found the cluster are all applied, its founders are the members.
func (m *Member) setPeers() {
	m.peersChanged = false
	var peers []port.Peer
	if applied, _ := m.machine.Applied(); applied < uint64(len(m.config.Bootstrap)) {
		for _, p := range sortedPeers(m.config.Bootstrap) {
			if p.ID != m.config.ID {
				peers = append(peers, port.Peer{ID: p.ID, URLs: p.PeerURLs})
			}
		}
	} else {
		for _, p := range m.machine.Members() {
			if p.ID != uint64(m.config.ID) {
				peers = append(peers, port.Peer{ID: port.MemberID(p.ID), URLs: p.PeerURLs})
			}
		}
	}
	m.ports.Network.SetPeers(peers)
}

// decideVersion has the leader set the cluster version, once, as soon as it can: members wait for it before they serve clients.
func (m *Member) decideVersion() {
	if m.role != Leader || m.stopping || m.versionAsked || m.machine.ClusterVersion() != "" {
		return
	}
	if _, term := m.machine.Applied(); term != m.term {
		return
	}
	m.versionAsked = true
	request := &pb.InternalRaftRequest{ClusterVersionSet: &membershippb.ClusterVersionSetRequest{Ver: ClusterVersion}}
	m.Propose(request, func(_ Applied, err error) {
		if err != nil {
			m.versionAsked = false
		}
	})
}
