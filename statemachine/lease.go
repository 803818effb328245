package statemachine

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// LeaseTTLMax is the longest TTL that may be granted, in seconds; etcd's limit.
const LeaseTTLMax = 9_000_000_000

// Lease is one granted lease. When it ends is not known here: its deadline lives on the leader.
type Lease struct {
	ID  int64
	TTL int64 // granted, in seconds
	// Remaining is the checkpointed rest of the TTL in seconds, from which a new leader goes on; 0 means all of TTL.
	Remaining int64
}

// leaseKey attaches a key to a lease. Ordered by lease, then key, so that a lease's keys come in key order.
type leaseKey struct {
	lease int64
	key   string
}

// checkLease answers ErrGRPCLeaseNotFound unless id is no lease at all or a granted one.
func (m *Machine) checkLease(id int64) error {
	if id == 0 {
		return nil
	}
	if !m.leases.has(Lease{ID: id}) {
		return rpctypes.ErrGRPCLeaseNotFound
	}
	return nil
}

// attach notes that key, at the head, belongs to a lease; 0 is none.
func (m *Machine) attach(id int64, key []byte) {
	if id != 0 {
		m.leaseKeys.put(leaseKey{id, string(key)})
	}
}

// detach takes back what attach noted.
func (m *Machine) detach(id int64, key []byte) {
	if id != 0 {
		m.leaseKeys.remove(leaseKey{id, pivot(key).key})
	}
}

// leaseGrant enters a lease. Its id was chosen by the proposer. The least TTL depends on a member's flags, so the proposer raises a TTL that is too
// short, before it proposes.
func (m *Machine) leaseGrant(r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	switch {
	case r.GetID() == 0:
		return nil, rpctypes.ErrGRPCLeaseNotFound
	case r.GetTTL() > LeaseTTLMax:
		return nil, rpctypes.ErrGRPCLeaseTTLTooLarge
	}
	if m.leases.has(Lease{ID: r.GetID()}) {
		return nil, rpctypes.ErrGRPCLeaseExist
	}
	m.leases.put(Lease{ID: r.GetID(), TTL: r.GetTTL()})
	return &pb.LeaseGrantResponse{Header: m.header(), ID: r.GetID(), TTL: r.GetTTL()}, nil
}

// leaseRevoke ends a lease and deletes its keys, in key order and in one revision.
func (m *Machine) leaseRevoke(r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	l := Lease{ID: r.GetID()}
	if !m.leases.has(l) {
		return nil, rpctypes.ErrGRPCLeaseNotFound
	}
	var keys []string
	m.leaseKeys.from(leaseKey{lease: l.ID}, func(k leaseKey) bool {
		if k.lease != l.ID {
			return false
		}
		keys = append(keys, k.key)
		return true
	})
	for _, key := range keys {
		e, _ := m.live.Get(entry{key: key})
		m.delete(e.key, e.chain)
	}
	m.leases.remove(l)
	m.commit()
	return &pb.LeaseRevokeResponse{Header: m.header()}, nil
}

// leaseCheckpoint notes what remains of leases' TTLs. A lease that is gone by now is skipped, as in etcd.
func (m *Machine) leaseCheckpoint(r *pb.LeaseCheckpointRequest) *pb.LeaseCheckpointResponse {
	for _, c := range r.GetCheckpoints() {
		if l, ok := m.leases.get(Lease{ID: c.GetID()}); ok {
			l.Remaining = c.GetRemaining_TTL()
			m.leases.put(l)
		}
	}
	return &pb.LeaseCheckpointResponse{Header: m.header()}
}
