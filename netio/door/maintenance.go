package door

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/call"
)

// maintenance is the Maintenance service, as far as it is there.
type maintenance struct {
	pb.UnimplementedMaintenanceServer
	door *Door
}

// Status says how this member is.
func (m *maintenance) Status(ctx context.Context, r *pb.StatusRequest) (*pb.StatusResponse, error) {
	return do(ctx, m.door, &call.Status, r)
}

// Hash is the hash of the whole replicated state. It is comparable between members of this software only.
func (m *maintenance) Hash(context.Context, *pb.HashRequest) (*pb.HashResponse, error) {
	view := m.door.backend.View()
	defer view.Release()
	h := view.StateHash()
	return &pb.HashResponse{Header: m.door.header(view.Revision()), Hash: uint32(h) ^ uint32(h>>32)}, nil
}

// HashKV is the hash of the keys' history up to a revision.
func (m *maintenance) HashKV(_ context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	view := m.door.backend.View()
	defer view.Release()
	hash, compacted, err := view.HashKV(r.GetRevision())
	if err != nil {
		return nil, err
	}
	rev := r.GetRevision()
	if rev == 0 {
		rev = view.Revision()
	}
	return &pb.HashKVResponse{Header: m.door.header(view.Revision()), Hash: hash, CompactRevision: compacted, HashRevision: rev}, nil
}

// Alarm lists, raises or ends alarms.
func (m *maintenance) Alarm(ctx context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	return do(ctx, m.door, &alarm, r)
}

// alarm goes through the log, also to list, as in etcd: `etcdctl endpoint health` takes it for a proof that proposals work.
var alarm = call.Unary[*pb.AlarmRequest, *pb.AlarmResponse]{
	Begin: func(_ call.Limits, r *pb.AlarmRequest) (call.Step, error) {
		return call.Step{Way: call.Proposed, Request: &pb.InternalRaftRequest{Alarm: r}}, nil
	},
	Finish: func(_ *pb.AlarmRequest, o call.Outcome) (*pb.AlarmResponse, error) {
		resp := proto.CloneOf(o.Applied.Response.(*pb.AlarmResponse))
		resp.Header = header{o.Status.ClusterID, uint64(o.Status.ID), o.Status.Term, resp.GetHeader().GetRevision()}.message()
		return resp, nil
	},
}

// header is an answer's, for a state of that revision.
func (d *Door) header(revision int64) *pb.ResponseHeader {
	s := d.backend.Status()
	return header{s.ClusterID, uint64(s.ID), s.Term, revision}.message()
}

// cluster is the Cluster service, as far as it is there.
type cluster struct {
	pb.UnimplementedClusterServer
	door *Door
}

// MemberList lists the cluster's members.
func (c *cluster) MemberList(ctx context.Context, r *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	return do(ctx, c.door, &call.MemberList, r)
}
