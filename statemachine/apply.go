package statemachine

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// errUnknownRequest answers a request in which this version finds nothing that it knows.
var errUnknownRequest = status.Error(codes.Unimplemented, "etcdserver: unknown request")

// ApplyNothing applies an entry without content, such as raft writes at the beginning of a term.
func (m *Machine) ApplyNothing(index, term uint64) { m.advance(index, term) }

// Apply applies a committed envelope: its requests, one after the other, or its change or raise. fresh is false, and nothing is changed, where it
// was applied before, is of an older incarnation of its proposer, its proposer is no member, or its format version is not the cluster's (yet).
// There is a result for each request, or one. Without want no results are made of requests; the effects are the same.
func (m *Machine) Apply(index, term uint64, e *Envelope, want bool) (results []Result, fresh bool) {
	m.advance(index, term)
	if !m.admitsFormat(e) || !m.admit(e) {
		return nil, false
	}
	switch {
	case e.Raise != 0:
		m.raise(e.Raise)
		return []Result{{Response: &pb.EmptyResponse{}}}, true
	case e.Change != nil:
		return []Result{m.change(e.Change)}, true
	}
	if want {
		results = make([]Result, len(e.Requests))
	}
	for i, r := range e.Requests {
		resp, err := m.apply(r, want)
		if want && err != nil {
			results[i].Err = err
		} else if want {
			results[i].Response = resp
		}
	}
	return results, true
}

// apply does what one request asks for. If no response is wanted, it may return nil.
func (m *Machine) apply(r *pb.InternalRaftRequest, want bool) (proto.Message, error) {
	if r == nil {
		return nil, errUnknownRequest
	}
	if m.alarms.len() > 0 {
		if err := m.refusedByAlarm(r); err != nil {
			return nil, err
		}
	}
	switch {
	case r.Put != nil:
		if err := m.checkPut(m.reader(), r.Put); err != nil {
			return nil, err
		}
		resp := m.execPut(r.Put, want)
		m.commit()
		return resp, nil
	case r.Txn != nil:
		return m.txn(r.Txn, want)
	case r.DeleteRange != nil:
		resp := m.execDeleteRange(r.DeleteRange, want)
		m.commit()
		return resp, nil
	case r.Range != nil:
		rd := m.reader()
		res, err := rd.Range(r.Range)
		if err != nil || !want {
			return nil, err
		}
		return res.Response(), nil
	case r.Compaction != nil:
		return m.compact(r.Compaction)
	}
	return m.applyOther(r)
}

// applyOther applies a request that is not about keys.
func (m *Machine) applyOther(r *pb.InternalRaftRequest) (proto.Message, error) {
	switch {
	case r.LeaseGrant != nil:
		return m.leaseGrant(r.LeaseGrant)
	case r.LeaseRevoke != nil:
		return m.leaseRevoke(r.LeaseRevoke)
	case r.LeaseCheckpoint != nil:
		return m.leaseCheckpoint(r.LeaseCheckpoint), nil
	case r.Alarm != nil:
		return m.alarm(r.Alarm), nil
	case r.ClusterVersionSet != nil:
		m.clusterVersion = r.ClusterVersionSet.GetVer()
		return &pb.EmptyResponse{}, nil
	case r.ClusterMemberAttrSet != nil:
		m.publishMember(r.ClusterMemberAttrSet)
		return &pb.EmptyResponse{}, nil
	case r.DowngradeInfoSet != nil:
		m.downgrade = Downgrade{}
		if r.DowngradeInfoSet.GetEnabled() {
			m.downgrade = Downgrade{Enabled: true, Target: r.DowngradeInfoSet.GetVer()}
		}
		return &pb.EmptyResponse{}, nil
	case r.DowngradeVersionTest != nil:
		return &pb.EmptyResponse{}, nil
	case isAuth(r):
		return nil, rpctypes.ErrGRPCAuthNotEnabled
	}
	return nil, errUnknownRequest
}

// isAuth says that r is about users, roles or tokens.
func isAuth(r *pb.InternalRaftRequest) bool {
	return r.AuthEnable != nil || r.AuthDisable != nil || r.AuthStatus != nil || r.Authenticate != nil ||
		r.AuthUserAdd != nil || r.AuthUserDelete != nil || r.AuthUserGet != nil || r.AuthUserChangePassword != nil ||
		r.AuthUserGrantRole != nil || r.AuthUserRevokeRole != nil || r.AuthUserList != nil || r.AuthRoleList != nil ||
		r.AuthRoleAdd != nil || r.AuthRoleDelete != nil || r.AuthRoleGet != nil ||
		r.AuthRoleGrantPermission != nil || r.AuthRoleRevokePermission != nil
}

// header is a response's header at the revision that the running transaction has come to.
func (m *Machine) header() *pb.ResponseHeader { return &pb.ResponseHeader{Revision: m.visibleRev()} }

// checkPut returns the error that refuses a put. Its lease must exist. If the put keeps the key's value or lease, the key must exist.
func (m *Machine) checkPut(rd reader, r *pb.PutRequest) error {
	if err := m.checkLease(r.GetLease()); err != nil {
		return err
	}
	if (r.GetIgnoreValue() || r.GetIgnoreLease()) && rd.get(r.GetKey(), rd.rev) == nil {
		return rpctypes.ErrGRPCKeyNotFound
	}
	return nil
}

// execPut makes a put that checkPut let through. The value or lease that it keeps may be gone by now: the same transaction may have deleted the
// key, by a range that CheckTxn does not see as overlapping. etcd panics then; here the value is empty.
func (m *Machine) execPut(r *pb.PutRequest, want bool) *pb.PutResponse {
	value, lease := r.GetValue(), r.GetLease()
	if r.GetIgnoreValue() || r.GetIgnoreLease() {
		if c := m.find(r.GetKey()); c != nil {
			old := c.head.Load()
			if r.GetIgnoreValue() {
				value = old.value()
			}
			if r.GetIgnoreLease() {
				lease = old.lease
			}
		}
	}
	old := m.put(r.GetKey(), value, lease)
	if !want {
		return nil
	}
	resp := &pb.PutResponse{Header: m.header()}
	if r.GetPrevKv() && old != nil {
		resp.PrevKv = old.keyValue()
	}
	return resp
}

func (m *Machine) execDeleteRange(r *pb.DeleteRangeRequest, want bool) *pb.DeleteRangeResponse {
	var doomed []entry
	s := newSpan(r.GetKey(), r.GetRangeEnd())
	if s.point {
		if e, ok := m.live.Get(pivot(s.from)); ok {
			doomed = append(doomed, e)
		}
	} else {
		m.live.Ascend(pivot(s.from), func(e entry) bool {
			if s.past(e.key) {
				return false
			}
			doomed = append(doomed, e)
			return true
		})
	}
	resp := &pb.DeleteRangeResponse{Deleted: int64(len(doomed))}
	for _, e := range doomed {
		old := m.delete(e.key, e.chain)
		if want && r.GetPrevKv() {
			resp.PrevKvs = append(resp.PrevKvs, old.keyValue())
		}
	}
	if !want {
		return nil
	}
	resp.Header = m.header()
	return resp
}
