package show

import (
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// MemberAdd shows that a member was added.
func MemberAdd(r *clientv3.MemberAddResponse) Answer {
	message := (*pb.MemberAddResponse)(r)
	as := ""
	if message.GetMember().GetIsLearner() {
		as = " as learner"
	}
	return Answer{
		message: message,
		hexJSON: func() any {
			return struct {
				Header  *hexHeader   `json:"header"`
				Member  *hexMember   `json:"member"`
				Members []*hexMember `json:"members"`
			}{newHexHeader(message.GetHeader()), newHexMember(message.GetMember()), newHexMembers(message.GetMembers())}
		},
		simple: text("Member %16x added%s to cluster %16x", message.GetMember().GetID(), as, message.GetHeader().GetClusterId()),
	}
}

// MemberRemove shows that a member was removed.
func MemberRemove(id uint64, r *clientv3.MemberRemoveResponse) Answer {
	message := (*pb.MemberRemoveResponse)(r)
	return memberChange(message, "removed from", id)
}

// MemberUpdate shows that a member has other peer URLs.
func MemberUpdate(id uint64, r *clientv3.MemberUpdateResponse) Answer {
	message := (*pb.MemberUpdateResponse)(r)
	return memberChange(message, "updated in", id)
}

// MemberPromote shows that a learner is a voter now.
func MemberPromote(id uint64, r *clientv3.MemberPromoteResponse) Answer {
	message := (*pb.MemberPromoteResponse)(r)
	return memberChange(message, "promoted in", id)
}

// MemberList lists the members.
func MemberList(r *clientv3.MemberListResponse) Answer {
	message := (*pb.MemberListResponse)(r)
	return Answer{
		message: message,
		hexJSON: func() any { return newHexMembership(message) },
		simple: func(w *simpleWriter) {
			_, rows := memberTable(message)
			w.join(rows)
		},
		fields: func(w *fieldsWriter) {
			w.header(message.GetHeader())
			for _, m := range message.GetMembers() {
				w.id("ID", m.GetID())
				w.quoted("Name", []byte(m.GetName()))
				for _, u := range m.GetPeerURLs() {
					w.quoted("PeerURL", []byte(u))
				}
				for _, u := range m.GetClientURLs() {
					w.quoted("ClientURL", []byte(u))
				}
				w.value("IsLearner", m.GetIsLearner())
				w.WriteByte('\n')
			}
		},
		table: func() ([]string, rows) { return memberTable(message) },
	}
}

func memberTable(r *pb.MemberListResponse) (header []string, rows rows) {
	for _, m := range r.GetMembers() {
		status := "started"
		if m.GetName() == "" { // a member tells its name when it starts
			status = "unstarted"
		}
		rows = append(rows, []string{
			hexID(m.GetID()), status, m.GetName(), strings.Join(m.GetPeerURLs(), ","), strings.Join(m.GetClientURLs(), ","),
			strconv.FormatBool(m.GetIsLearner()),
		})
	}
	return []string{"ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"}, rows
}

func hexID(id uint64) string { return strconv.FormatUint(id, 16) }

// membership is what the answers to changes of the membership have in common.
type membership interface {
	messageWithHeader
	GetMembers() []*pb.Member
}

func memberChange(message membership, what string, id uint64) Answer {
	return Answer{
		message: message,
		hexJSON: func() any { return newHexMembership(message) },
		simple:  text("Member %16x %s cluster %16x", id, what, message.GetHeader().GetClusterId()),
	}
}

// The JSON form with --hex has ids as strings in base 16, and only for members.
type (
	hexMembership struct {
		Header  *hexHeader   `json:"header"`
		Members []*hexMember `json:"members"`
	}
	hexHeader struct {
		ClusterID string `json:"cluster_id"`
		MemberID  string `json:"member_id"`
		Revision  int64  `json:"revision,omitempty"`
		RaftTerm  uint64 `json:"raft_term,omitempty"`
	}
	hexMember struct {
		ID         string   `json:"ID"`
		Name       string   `json:"name,omitempty"`
		PeerURLs   []string `json:"peerURLs,omitempty"`
		ClientURLs []string `json:"clientURLs,omitempty"`
		IsLearner  bool     `json:"isLearner,omitempty"`
	}
)

func newHexMembership(m membership) hexMembership {
	return hexMembership{newHexHeader(m.GetHeader()), newHexMembers(m.GetMembers())}
}

func newHexHeader(h *pb.ResponseHeader) *hexHeader {
	return &hexHeader{hexID(h.GetClusterId()), hexID(h.GetMemberId()), h.GetRevision(), h.GetRaftTerm()}
}

func newHexMember(m *pb.Member) *hexMember {
	return &hexMember{hexID(m.GetID()), m.GetName(), m.GetPeerURLs(), m.GetClientURLs(), m.GetIsLearner()}
}

func newHexMembers(members []*pb.Member) []*hexMember {
	out := make([]*hexMember, 0, len(members)) // not nil: "members" is a list even if empty
	for _, m := range members {
		out = append(out, newHexMember(m))
	}
	return out
}
