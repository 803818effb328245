package call

import (
	"cmp"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/detcd/detcd/node/lessor"
	"github.com/detcd/detcd/statemachine"
)

// MinLeaseTTL is the least TTL of a lease, in seconds, for an election timeout in ticks of that length: as etcd, one and a half times the
// timeout, rounded up, so that an election ends no lease.
func MinLeaseTTL(tick time.Duration, electionTicks int) int64 {
	least := time.Duration(3*electionTicks/2) * tick
	return int64((least + time.Second - 1) / time.Second)
}

// LeaseGrant creates a lease (Lease.LeaseGrant). A TTL below the least is raised to that, and the answer says so; without an id the
// member chooses one.
var LeaseGrant = Unary[*pb.LeaseGrantRequest, *pb.LeaseGrantResponse]{
	Method: pb.Lease_LeaseGrant_FullMethodName,
	Begin: func(l Limits, r *pb.LeaseGrantRequest) (Step, error) {
		if r.GetTTL() > statemachine.LeaseTTLMax {
			return Step{}, rpctypes.ErrGRPCLeaseTTLTooLarge
		}
		return propose(l, &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: r.GetID(), TTL: max(r.GetTTL(), l.MinLeaseTTL)}})
	},
	Finish: func(_ *pb.LeaseGrantRequest, o Outcome) (*pb.LeaseGrantResponse, error) {
		resp := o.Applied.Response.(*pb.LeaseGrantResponse)
		complete(resp.GetHeader(), o.Status)
		return resp, nil
	},
}

// LeaseRevoke ends a lease and deletes its keys, in one revision (Lease.LeaseRevoke).
var LeaseRevoke = Unary[*pb.LeaseRevokeRequest, *pb.LeaseRevokeResponse]{
	Method: pb.Lease_LeaseRevoke_FullMethodName,
	Begin: func(l Limits, r *pb.LeaseRevokeRequest) (Step, error) {
		return propose(l, &pb.InternalRaftRequest{LeaseRevoke: r})
	},
	Finish: func(_ *pb.LeaseRevokeRequest, o Outcome) (*pb.LeaseRevokeResponse, error) {
		resp := o.Applied.Response.(*pb.LeaseRevokeResponse)
		complete(resp.GetHeader(), o.Status)
		return resp, nil
	},
}

// LeaseKeepAlive gives a lease its full TTL again: what one message on a Lease.LeaseKeepAlive stream means. TTL 0 in the answer says that
// there is no such lease.
var LeaseKeepAlive = Unary[*pb.LeaseKeepAliveRequest, *pb.LeaseKeepAliveResponse]{
	Method: pb.Lease_LeaseKeepAlive_FullMethodName,
	Begin: func(_ Limits, r *pb.LeaseKeepAliveRequest) (Step, error) {
		return Step{Way: Renewed, Lease: r.GetID()}, nil
	},
	Finish: func(r *pb.LeaseKeepAliveRequest, o Outcome) (*pb.LeaseKeepAliveResponse, error) {
		return &pb.LeaseKeepAliveResponse{Header: header(o.Status, o.Revision), ID: r.GetID(), TTL: o.Lease.Granted}, nil
	},
}

// LeaseTimeToLive says how much is left of a lease, and which keys are attached to it (Lease.LeaseTimeToLive). TTL -1 in the answer says
// that there is no such lease.
var LeaseTimeToLive = Unary[*pb.LeaseTimeToLiveRequest, *pb.LeaseTimeToLiveResponse]{
	Method: pb.Lease_LeaseTimeToLive_FullMethodName,
	Begin: func(_ Limits, r *pb.LeaseTimeToLiveRequest) (Step, error) {
		return Step{Way: Timed, Lease: r.GetID(), View: r.GetKeys()}, nil
	},
	Finish: func(r *pb.LeaseTimeToLiveRequest, o Outcome) (*pb.LeaseTimeToLiveResponse, error) {
		resp := &pb.LeaseTimeToLiveResponse{Header: header(o.Status, o.Revision), ID: r.GetID(), TTL: -1}
		if !o.Lease.Found {
			return resp, nil
		}
		if o.View != nil {
			resp.Header.Revision = o.View.Revision()
			if _, ok := o.View.Lease(r.GetID()); !ok {
				return resp, nil // it ended after the leader had answered
			}
			resp.Keys = o.View.LeaseKeys(r.GetID())
		}
		// A new leader adds some time to what is left, which it does not promise.
		resp.TTL, resp.GrantedTTL = min(o.Lease.Remaining, o.Lease.Granted), o.Lease.Granted
		return resp, nil
	},
}

// LeaseLeases lists all leases (Lease.LeaseLeases). The leader, which alone knows when they end, lists the one that ends soonest first. Other members list them by
// id; etcd's order means nothing there. etcd answers from what the member happens to know. Here every lease that was granted before the call is in the list.
var LeaseLeases = Unary[*pb.LeaseLeasesRequest, *pb.LeaseLeasesResponse]{
	Method: pb.Lease_LeaseLeases_FullMethodName,
	Begin:  func(Limits, *pb.LeaseLeasesRequest) (Step, error) { return Step{Way: Linearized, Ends: true}, nil },
	Finish: func(_ *pb.LeaseLeasesRequest, o Outcome) (*pb.LeaseLeasesResponse, error) {
		resp := &pb.LeaseLeasesResponse{Header: header(o.Status, o.View.Revision())}
		resp.Leases = make([]*pb.LeaseStatus, 0, o.View.LeaseCount())
		slices.SortFunc(o.Ends, func(a, b lessor.End) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID)) })
		listed := make(map[int64]bool, len(o.Ends))
		list := func(l statemachine.Lease) bool {
			if !listed[l.ID] {
				listed[l.ID] = true
				resp.Leases = append(resp.Leases, &pb.LeaseStatus{ID: l.ID})
			}
			return true
		}
		for _, e := range o.Ends {
			if l, ok := o.View.Lease(e.ID); ok { // else it was granted since the view
				list(l)
			}
		}
		o.View.Leases(list)
		return resp, nil
	},
}
