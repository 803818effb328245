package door

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

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

// Hash is the hash of the whole replicated state.
func (m *maintenance) Hash(ctx context.Context, r *pb.HashRequest) (*pb.HashResponse, error) {
	defer since(m.door.traffic.hash, time.Now())
	return do(ctx, m.door, &call.Hash, r)
}

// HashKV is the hash of the keys' history up to a revision.
func (m *maintenance) HashKV(ctx context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	defer since(m.door.traffic.hashKV, time.Now())
	return do(ctx, m.door, &call.HashKV, r)
}

func since(h prometheus.Histogram, start time.Time) { h.Observe(time.Since(start).Seconds()) }

// Alarm lists, raises or ends alarms.
func (m *maintenance) Alarm(ctx context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	return do(ctx, m.door, &call.Alarm, r)
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
