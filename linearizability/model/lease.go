package model

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// leaseSecondsMax is the longest TTL that etcd grants.
const leaseSecondsMax = 9_000_000_000

// LeaseGrant makes a lease, with the TTL as asked. Errors:
// rpctypes.ErrGRPCLeaseNotFound for the id 0, rpctypes.ErrGRPCLeaseTTLTooLarge,
// rpctypes.ErrGRPCLeaseExist.
func (s *State) LeaseGrant(r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	_, found := s.leases[r.GetID()]
	switch {
	case r.GetID() == 0:
		return nil, rpctypes.ErrGRPCLeaseNotFound
	case r.GetTTL() > leaseSecondsMax:
		return nil, rpctypes.ErrGRPCLeaseTTLTooLarge
	case found:
		return nil, rpctypes.ErrGRPCLeaseExist
	}
	s.leases[r.GetID()] = r.GetTTL()
	return &pb.LeaseGrantResponse{Header: header(s.revision), ID: r.GetID(), TTL: r.GetTTL()}, nil
}

// LeaseRevoke removes a lease and, in one revision, the keys that it holds.
// Error: rpctypes.ErrGRPCLeaseNotFound.
func (s *State) LeaseRevoke(r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	if _, found := s.leases[r.GetID()]; !found {
		return nil, rpctypes.ErrGRPCLeaseNotFound
	}
	delete(s.leases, r.GetID())
	w := s.begin()
	for _, v := range within(s.current, nil, []byte{0}) {
		if v.lease == r.GetID() {
			w.write(&version{key: v.key})
		}
	}
	w.end()
	return &pb.LeaseRevokeResponse{Header: header(s.revision)}, nil
}

// LeaseCheckpoint records remaining TTLs, which no answer of the model shows.
func (s *State) LeaseCheckpoint(*pb.LeaseCheckpointRequest) (*pb.LeaseCheckpointResponse, error) {
	return &pb.LeaseCheckpointResponse{Header: header(s.revision)}, nil
}
