package node

import (
	"encoding/json"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
)

// ClusterVersion is the cluster version that this software's members set: the minor version of the etcd API that they serve. What is
// applied depends on it, never on the software a member happens to run.
const ClusterVersion = "3.7.0"

// memberContext is what a configuration change carries besides raft's part.
type memberContext struct {
	ID       uint64   `json:"id"`
	Name     string   `json:"name"`
	PeerURLs []string `json:"peerURLs"`
}

// bootstrapPeers are the founding members in the order of their ids, so that every member's log begins alike.
func bootstrapPeers(members []Peer) ([]raft.Peer, error) {
	peers := make([]raft.Peer, 0, len(members))
	for _, p := range sortedPeers(members) {
		context, err := json.Marshal(memberContext{ID: uint64(p.ID), Name: p.Name, PeerURLs: p.PeerURLs})
		if err != nil {
			return nil, fmt.Errorf("encode member %x: %w", p.ID, err)
		}
		peers = append(peers, raft.Peer{ID: uint64(p.ID), Context: context})
	}
	return peers, nil
}

// applyConfChange applies a change of the cluster's members.
func (m *Member) applyConfChange(e *raftpb.Entry) {
	cc := &raftpb.ConfChange{}
	if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		panic(fmt.Sprintf("node: committed configuration change %d can't be read: %v", e.GetIndex(), err))
	}
	c := memberContext{}
	if len(cc.GetContext()) > 0 {
		if err := json.Unmarshal(cc.GetContext(), &c); err != nil {
			panic(fmt.Sprintf("node: the member in configuration change %d can't be read: %v", e.GetIndex(), err))
		}
	}
	result, fresh := m.machine.ApplyMember(e.GetIndex(), e.GetTerm(), memberChange(cc, c))
	if !fresh || result.Err != nil {
		cc = &raftpb.ConfChange{} // raft is told of every such entry, and of node 0 where nothing changes
	}
	m.confState = m.raft.ApplyConfChange(cc)
	m.machine.SetConfState(encodeConfState(m.confState))
	m.peersChanged = true
}

func memberChange(cc *raftpb.ConfChange, c memberContext) statemachine.MemberChange {
	change := statemachine.MemberChange{Member: statemachine.Member{ID: cc.GetNodeId(), Name: c.Name, PeerURLs: c.PeerURLs}}
	switch cc.GetType() {
	case raftpb.ConfChangeAddNode:
		change.Kind = statemachine.AddVoter
	case raftpb.ConfChangeAddLearnerNode:
		change.Kind = statemachine.AddLearner
	case raftpb.ConfChangeRemoveNode:
		change.Kind = statemachine.Remove
	case raftpb.ConfChangeUpdateNode:
		change.Kind = statemachine.UpdatePeerURLs
	}
	return change
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
