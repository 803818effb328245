package door

import (
	"context"
	"errors"
	"io"

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

// renewalsMax is how many renewals of one stream may be under way.
const renewalsMax = 256

// renewal is one request of a keep-alive stream and, once done is closed, its answer.
type renewal struct {
	done chan struct{}
	resp *pb.LeaseKeepAliveResponse
	err  error
}

// LeaseKeepAlive renews leases. It does not wait for one answer before it takes the next request: what comes together goes to the leader
// together. Answers keep the order of the requests.
func (l *leaseService) LeaseKeepAlive(stream pb.Lease_LeaseKeepAliveServer) error {
	ctx := stream.Context()
	renewals := make(chan *renewal, renewalsMax)
	failed := make(chan error, 1)
	go func() {
		defer close(renewals)
		if err := l.receiveRenewals(stream, renewals); err != nil {
			failed <- err
		}
	}()
	for {
		select {
		case n, open := <-renewals:
			if !open {
				select {
				case err := <-failed:
					return err
				default:
					return nil
				}
			}
			select {
			case <-n.done:
			case <-ctx.Done():
				return ended(ctx)
			}
			if n.err != nil {
				return n.err
			}
			if err := stream.Send(n.resp); err != nil {
				return err
			}
		case <-ctx.Done():
			return ended(ctx)
		}
	}
}

// receiveRenewals begins a renewal for each request, until the client has no more of them.
func (l *leaseService) receiveRenewals(stream pb.Lease_LeaseKeepAliveServer, renewals chan<- *renewal) error {
	ctx := stream.Context()
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		n := &renewal{done: make(chan struct{})}
		select {
		case renewals <- n:
		case <-ctx.Done():
			return ended(ctx)
		}
		go func() {
			n.resp, n.err = do(ctx, l.door, &call.LeaseKeepAlive, r)
			close(n.done)
		}()
	}
}
