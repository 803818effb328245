package door

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/call"
)

// leaseService is the Lease service.
type leaseService struct {
	pb.UnimplementedLeaseServer
	door *Door
}

// LeaseGrant makes a lease.
func (l *leaseService) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	resp, err := do(ctx, l.door, &call.LeaseGrant, r)
	if err == nil {
		l.door.traffic.leaseTTL.Observe(float64(resp.GetTTL()))
	}
	return resp, err
}

// LeaseRevoke ends a lease, and its keys with it.
func (l *leaseService) LeaseRevoke(ctx context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	return do(ctx, l.door, &call.LeaseRevoke, r)
}

// LeaseTimeToLive says how long a lease has to live.
func (l *leaseService) LeaseTimeToLive(ctx context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	return do(ctx, l.door, &call.LeaseTimeToLive, r)
}

// LeaseLeases lists the leases.
func (l *leaseService) LeaseLeases(ctx context.Context, r *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	return do(ctx, l.door, &call.LeaseLeases, r)
}
