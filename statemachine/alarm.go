package statemachine

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// alarm is one raised alarm.
type alarm struct {
	kind   pb.AlarmType
	member MemberID
}

func (m *Machine) alarmRaised(kind pb.AlarmType) (raised bool) {
	m.alarms.from(alarm{kind: kind}, func(a alarm) bool {
		raised = a.kind == kind
		return false
	})
	return raised
}

// alarm raises, ends or lists alarms. To raise an alarm that is raised changes nothing, and is answered with the alarm. To end one that is not
// raised changes nothing, and is answered with none. Both are etcd's answers.
func (m *Machine) alarm(r *pb.AlarmRequest) *pb.AlarmResponse {
	resp := &pb.AlarmResponse{Header: m.header()}
	one := alarm{r.GetAlarm(), r.GetMemberID()}
	switch r.GetAction() {
	case pb.AlarmRequest_GET:
		resp.Alarms = alarmMembers(m.alarms.list(), r.GetAlarm())
	case pb.AlarmRequest_ACTIVATE:
		if one.kind == pb.AlarmType_NONE {
			return resp
		}
		m.alarms.put(one)
		resp.Alarms = alarmMembers([]alarm{one}, one.kind)
	case pb.AlarmRequest_DEACTIVATE:
		if m.alarms.has(one) {
			m.alarms.remove(one)
			resp.Alarms = alarmMembers([]alarm{one}, one.kind)
		}
	}
	return resp
}

// alarmMembers lists the alarms of a kind, or all of them for AlarmType_NONE.
func alarmMembers(alarms []alarm, kind pb.AlarmType) (list []*pb.AlarmMember) {
	for _, a := range alarms {
		if kind == pb.AlarmType_NONE || kind == a.kind {
			list = append(list, &pb.AlarmMember{MemberID: a.member, Alarm: a.kind})
		}
	}
	return list
}

// refusedByAlarm is the error with which the raised alarms refuse r; nil if they do not. A corrupt store and a full one refuse what etcd's do.
func (m *Machine) refusedByAlarm(r *pb.InternalRaftRequest) error {
	if m.alarmRaised(pb.AlarmType_CORRUPT) {
		if r.Range != nil || r.Put != nil || r.DeleteRange != nil || r.Txn != nil || r.Compaction != nil ||
			r.LeaseGrant != nil || r.LeaseRevoke != nil {
			return rpctypes.ErrGRPCCorrupt
		}
	}
	if m.alarmRaised(pb.AlarmType_NOSPACE) && (r.Put != nil || r.LeaseGrant != nil || r.Txn != nil && txnHasPut(r.Txn)) {
		return rpctypes.ErrGRPCNoSpace
	}
	return nil
}

// txnHasPut says whether a branch of the transaction, or of one nested in it, has a put. When space is out etcd refuses such a transaction, also if the
// branch with the put would not run.
func txnHasPut(r *pb.TxnRequest) bool {
	for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range ops {
			if op.GetRequestPut() != nil || op.GetRequestTxn() != nil && txnHasPut(op.GetRequestTxn()) {
				return true
			}
		}
	}
	return false
}
