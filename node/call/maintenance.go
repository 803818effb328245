package call

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// Alarm lists, raises or ends alarms (Maintenance.Alarm). It goes through the log, also to list, as in etcd: `etcdctl endpoint health`
// takes it for a proof that proposals work.
var Alarm = Unary[*pb.AlarmRequest, *pb.AlarmResponse]{
	Method: pb.Maintenance_Alarm_FullMethodName,
	Begin: func(l Limits, r *pb.AlarmRequest) (Step, error) {
		return propose(l, &pb.InternalRaftRequest{Alarm: r})
	},
	Finish: func(_ *pb.AlarmRequest, o Outcome) (*pb.AlarmResponse, error) {
		resp := o.Applied.Response.(*pb.AlarmResponse)
		complete(resp.GetHeader(), o.Status)
		return resp, nil
	},
}

// Hash is the hash of the whole replicated state as this member knows it (Maintenance.Hash). It is comparable between members of this
// software only.
var Hash = Unary[*pb.HashRequest, *pb.HashResponse]{
	Method: pb.Maintenance_Hash_FullMethodName,
	Begin:  func(Limits, *pb.HashRequest) (Step, error) { return Step{Way: Locally}, nil },
	Finish: func(_ *pb.HashRequest, o Outcome) (*pb.HashResponse, error) {
		h := o.View.StateHash()
		return &pb.HashResponse{Header: header(o.Status, o.View.Revision()), Hash: uint32(h) ^ uint32(h>>32)}, nil
	},
}

// HashKV is etcd's hash of the keys and their history up to a revision, 0 for the newest that this member has (Maintenance.HashKV). It is equal on
// members with the same history and compacted revision, stock etcd's included. (etcd also remembers what it hashed at its last ten compactions.) Finish
// visits all that is stored: run it off the member.
var HashKV = Unary[*pb.HashKVRequest, *pb.HashKVResponse]{
	Method: pb.Maintenance_HashKV_FullMethodName,
	Begin:  func(Limits, *pb.HashKVRequest) (Step, error) { return Step{Way: Locally}, nil },
	Finish: func(r *pb.HashKVRequest, o Outcome) (*pb.HashKVResponse, error) {
		hash, compacted, err := o.View.HashKV(r.GetRevision())
		if err != nil {
			return nil, err
		}
		rev := r.GetRevision()
		if rev <= 0 {
			rev = o.View.Revision()
		}
		return &pb.HashKVResponse{
			Header: header(o.Status, o.View.Revision()), Hash: hash, CompactRevision: compacted, HashRevision: rev,
		}, nil
	},
}

// Backup, defragmentation, a chosen leader and the way back to an older version are not there yet (Maintenance).
var (
	Defragment = notYet[*pb.DefragmentRequest, *pb.DefragmentResponse](pb.Maintenance_Defragment_FullMethodName)
	MoveLeader = notYet[*pb.MoveLeaderRequest, *pb.MoveLeaderResponse](pb.Maintenance_MoveLeader_FullMethodName)
	Downgrade  = notYet[*pb.DowngradeRequest, *pb.DowngradeResponse](pb.Maintenance_Downgrade_FullMethodName)

	Snapshot = Stream{Method: pb.Maintenance_Snapshot_FullMethodName, Refused: errNotYet(pb.Maintenance_Snapshot_FullMethodName)}
)
