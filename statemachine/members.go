package statemachine

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
)

// MemberInfo is what the log tells of one member of the cluster.
type MemberInfo struct {
	ID         MemberID
	Name       string // empty until the member has published itself
	PeerURLs   []string
	ClientURLs []string // empty until the member has published itself
	Learner    bool
}

// MemberChangeKind is what a MemberChange does.
type MemberChangeKind uint8

// Kinds of membership changes. The numbers are on disk and on the wire.
const (
	AddVoter MemberChangeKind = 1 + iota
	AddLearner
	Promote
	Remove
	UpdatePeerURLs
)

// MemberChange is a change of the cluster's membership.
type MemberChange struct {
	Kind   MemberChangeKind
	Member MemberInfo // Promote and Remove need the ID only, UpdatePeerURLs also the PeerURLs
	// LearnersMax bounds the learners after an AddLearner; 0 is no bound. It is the proposer's limit: a change must mean
	// the same on every member.
	LearnersMax uint64
}

// Downgrade is the cluster's downgrade as requested by its operator.
type Downgrade struct {
	Enabled bool
	Target  string // version to go down to; empty when not enabled
}

// change makes a change of the membership. An error in the result means that nothing is changed: raft must then be given a change that does
// nothing. The response is the API's for the kind of change.
func (m *Machine) change(c *MemberChange) Result {
	if err := m.checkMember(*c); err != nil {
		return Result{Err: err}
	}
	m.setMember(*c)
	return Result{Response: m.memberResponse(*c)}
}

func (m *Machine) checkMember(c MemberChange) error {
	old, exists := m.members.get(c.Member)
	if m.removed.has(c.Member.ID) {
		return rpctypes.ErrGRPCMemberNotFound
	}
	switch c.Kind {
	case AddVoter, AddLearner:
		if exists {
			return rpctypes.ErrGRPCMemberExist
		}
		if m.peerURLTaken(c.Member) {
			return rpctypes.ErrGRPCPeerURLExist
		}
		if c.Kind == AddLearner && c.LearnersMax > 0 && m.learners() >= c.LearnersMax {
			return rpctypes.ErrGRPCTooManyLearners
		}
		return nil
	case Promote, Remove, UpdatePeerURLs:
	default:
		return rpctypes.ErrGRPCMemberNotFound
	}
	switch {
	case !exists:
		return rpctypes.ErrGRPCMemberNotFound
	case c.Kind == Promote && !old.Learner:
		return rpctypes.ErrGRPCMemberNotLearner
	case c.Kind == UpdatePeerURLs && m.peerURLTaken(c.Member):
		return rpctypes.ErrGRPCPeerURLExist
	}
	return nil
}

// peerURLTaken says whether a peer URL of one is also another member's.
func (m *Machine) peerURLTaken(one MemberInfo) (taken bool) {
	m.members.scan(func(o MemberInfo) bool {
		taken = o.ID != one.ID && slices.ContainsFunc(one.PeerURLs, func(u string) bool { return slices.Contains(o.PeerURLs, u) })
		return !taken
	})
	return taken
}

func (m *Machine) learners() (n uint64) {
	m.members.scan(func(o MemberInfo) bool {
		if o.Learner {
			n++
		}
		return true
	})
	return n
}

// setMember makes a change that checkMember has allowed.
func (m *Machine) setMember(c MemberChange) {
	one, _ := m.members.get(c.Member)
	switch c.Kind {
	case AddVoter, AddLearner:
		one = c.Member
		one.PeerURLs, one.ClientURLs = slices.Clone(one.PeerURLs), slices.Clone(one.ClientURLs)
		one.Learner = c.Kind == AddLearner
	case Promote:
		one.Learner = false
	case UpdatePeerURLs:
		one.PeerURLs = slices.Clone(c.Member.PeerURLs)
	case Remove:
		m.members.remove(one)
		m.sessions.remove(session{proposer: one.ID})
		m.removed.put(one.ID)
		return
	}
	m.members.put(one)
}

func (m *Machine) memberResponse(c MemberChange) proto.Message {
	list := pbMembers(m.members.list())
	switch c.Kind {
	case AddVoter, AddLearner:
		one, _ := m.members.get(c.Member)
		return &pb.MemberAddResponse{Header: m.header(), Member: pbMember(one), Members: list}
	case Promote:
		return &pb.MemberPromoteResponse{Header: m.header(), Members: list}
	case Remove:
		return &pb.MemberRemoveResponse{Header: m.header(), Members: list}
	}
	return &pb.MemberUpdateResponse{Header: m.header(), Members: list}
}

func pbMember(o MemberInfo) *pb.Member {
	return &pb.Member{ID: o.ID, Name: o.Name, PeerURLs: o.PeerURLs, ClientURLs: o.ClientURLs, IsLearner: o.Learner}
}

func pbMembers(members []MemberInfo) []*pb.Member {
	list := make([]*pb.Member, len(members))
	for i, o := range members {
		list[i] = pbMember(o)
	}
	return list
}

// publishMember notes what a member says of itself. If there is no such member, it notes nothing.
func (m *Machine) publishMember(r *membershippb.ClusterMemberAttrSetRequest) {
	one, ok := m.members.get(MemberInfo{ID: r.GetMember_ID()})
	if !ok {
		return
	}
	one.Name = r.GetMemberAttributes().GetName()
	one.ClientURLs = slices.Clone(r.GetMemberAttributes().GetClientUrls())
	m.members.put(one)
}

// SetConfState keeps raft's membership, encoded, for snapshots. It is opaque here and not part of the state hash.
func (m *Machine) SetConfState(encoded []byte) {
	m.confState = slices.Clone(encoded)
	m.changed = true
}
