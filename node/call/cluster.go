package call

import (
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Version is the version of the etcd API that is served: what /version and Maintenance.Status report. Clients parse it.
const Version = "3.7.3"

// StorageVersion is reported where etcd reports the version of its storage schema.
const StorageVersion = "3.7.0"

// emptyBytes is reported for a store that holds nothing, in bytes: clients divide by the size, so it is never zero.
const emptyBytes = 4 << 10

// MemberList lists the cluster's members (Cluster.MemberList).
var MemberList = Unary[*pb.MemberListRequest, *pb.MemberListResponse]{
	Method: pb.Cluster_MemberList_FullMethodName,
	Begin: func(_ Limits, r *pb.MemberListRequest) (Step, error) {
		return Step{Way: readingWay(!r.GetLinearizable())}, nil
	},
	Finish: func(_ *pb.MemberListRequest, o Outcome) (*pb.MemberListResponse, error) {
		resp := &pb.MemberListResponse{Header: header(o.Status, 0)}
		for _, m := range o.View.Members() {
			resp.Members = append(resp.Members, &pb.Member{
				ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, IsLearner: m.Learner,
			})
		}
		return resp, nil
	},
}

// Status says how one member is (Maintenance.Status), from what it knows itself. Its errors are what operators and tools look at: no leader, and each
// alarm that is up.
var Status = Unary[*pb.StatusRequest, *pb.StatusResponse]{
	Method: pb.Maintenance_Status_FullMethodName,
	Begin:  func(Limits, *pb.StatusRequest) (Step, error) { return Step{Way: Locally}, nil },
	Finish: func(_ *pb.StatusRequest, o Outcome) (*pb.StatusResponse, error) {
		s := o.Status
		total, inUse := o.View.Sizes()
		total, inUse = total+emptyBytes, inUse+emptyBytes
		resp := &pb.StatusResponse{
			Header:           header(s, o.View.Revision()),
			Version:          Version,
			StorageVersion:   StorageVersion,
			DbSize:           total,
			DbSizeInUse:      inUse,
			Leader:           uint64(s.Leader),
			RaftIndex:        s.Committed,
			RaftTerm:         s.Term,
			RaftAppliedIndex: s.Applied,
			IsLearner:        s.Learner,
			DbSizeQuota:      o.Limits.QuotaBytes,
			DowngradeInfo:    &pb.DowngradeInfo{},
		}
		if s.Leader == 0 {
			resp.Errors = append(resp.Errors, rpctypes.ErrNoLeader.Error())
		}
		for _, a := range o.View.Alarms() {
			// etcd prints the message as its library does in text, with two spaces.
			resp.Errors = append(resp.Errors, fmt.Sprintf("memberID:%d  alarm:%s", a.GetMemberID(), a.GetAlarm()))
		}
		return resp, nil
	},
}

// Members can't change yet (Cluster).
var (
	MemberAdd     = notYet[*pb.MemberAddRequest, *pb.MemberAddResponse](pb.Cluster_MemberAdd_FullMethodName)
	MemberRemove  = notYet[*pb.MemberRemoveRequest, *pb.MemberRemoveResponse](pb.Cluster_MemberRemove_FullMethodName)
	MemberUpdate  = notYet[*pb.MemberUpdateRequest, *pb.MemberUpdateResponse](pb.Cluster_MemberUpdate_FullMethodName)
	MemberPromote = notYet[*pb.MemberPromoteRequest, *pb.MemberPromoteResponse](pb.Cluster_MemberPromote_FullMethodName)
)

// notYet is a call that this version does not have.
func notYet[Req, Resp any](method string) Unary[Req, Resp] {
	return refused[Req, Resp](method, errNotYet(method))
}

// errNotYet is gRPC's own word for a method that a service does not have.
func errNotYet(method string) error {
	return status.Error(codes.Unimplemented, "method "+method[strings.LastIndexByte(method, '/')+1:]+" not implemented")
}
