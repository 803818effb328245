package services

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc"

	"github.com/detcd/detcd/node/call"
)

// api is all services of the API with all their methods. A method is a line: it says which call of package call it is. Each goes through carry.go, and
// with that through the gate; a handler of its own only encodes, counts, or moves a stream's messages.
var api = []grpc.ServiceDesc{
	{
		ServiceName: pb.KV_ServiceDesc.ServiceName, Metadata: pb.KV_ServiceDesc.Metadata, HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			handled(call.Range.Method, serveRange),
			counted(&call.Put, func(srv *Server, _ *pb.PutResponse) { srv.traffic.operations.puts.Add(1) }),
			counted(&call.DeleteRange, func(srv *Server, _ *pb.DeleteRangeResponse) { srv.traffic.operations.deletes.Add(1) }),
			counted(&call.Txn, func(srv *Server, r *pb.TxnResponse) { srv.traffic.operations.countTxn(r) }),
			unary(&call.Compact),
		},
		Streams: []grpc.StreamDesc{{StreamName: "RangeStream", ServerStreams: true, Handler: serveRangeStream}},
	},
	{
		ServiceName: pb.Watch_ServiceDesc.ServiceName, Metadata: pb.Watch_ServiceDesc.Metadata, HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: "Watch", ServerStreams: true, ClientStreams: true, Handler: admitted(&call.WatchStream, serveWatch)}},
	},
	{
		ServiceName: pb.Lease_ServiceDesc.ServiceName, Metadata: pb.Lease_ServiceDesc.Metadata, HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			counted(&call.LeaseGrant, func(srv *Server, r *pb.LeaseGrantResponse) { srv.traffic.leaseTTL.Observe(float64(r.GetTTL())) }),
			unary(&call.LeaseRevoke),
			unary(&call.LeaseTimeToLive),
			unary(&call.LeaseLeases),
		},
		Streams: []grpc.StreamDesc{{
			StreamName: "LeaseKeepAlive", ServerStreams: true, ClientStreams: true, Handler: admitted(&call.KeepAliveStream, serveKeepAlive),
		}},
	},
	{
		ServiceName: v3lockpb.Lock_ServiceDesc.ServiceName, Metadata: v3lockpb.Lock_ServiceDesc.Metadata, HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			waiting(v3lockpb.Lock_Lock_FullMethodName, call.Lock),
			waiting(v3lockpb.Lock_Unlock_FullMethodName, atOnce(call.Unlock)),
		},
	},
	{
		ServiceName: v3electionpb.Election_ServiceDesc.ServiceName, Metadata: v3electionpb.Election_ServiceDesc.Metadata, HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			waiting(v3electionpb.Election_Campaign_FullMethodName, call.Campaign),
			waiting(v3electionpb.Election_Proclaim_FullMethodName, atOnce(call.Proclaim)),
			waiting(v3electionpb.Election_Resign_FullMethodName, atOnce(call.Resign)),
			waiting(v3electionpb.Election_Leader_FullMethodName, atOnce(call.Leader)),
		},
		Streams: []grpc.StreamDesc{{StreamName: "Observe", ServerStreams: true, Handler: serveObserve}},
	},
	{
		ServiceName: pb.Maintenance_ServiceDesc.ServiceName, Metadata: pb.Maintenance_ServiceDesc.Metadata, HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			unary(&call.Alarm),
			unary(&call.Status),
			timed(&call.Hash, func(srv *Server) prometheus.Histogram { return srv.traffic.hash }),
			timed(&call.HashKV, func(srv *Server) prometheus.Histogram { return srv.traffic.hashKV }),
			unary(&call.Defragment),
			unary(&call.MoveLeader),
			unary(&call.Downgrade),
		},
		Streams: []grpc.StreamDesc{{StreamName: "Snapshot", ServerStreams: true, Handler: admitted(&call.Snapshot, nil)}},
	},
	{
		ServiceName: pb.Cluster_ServiceDesc.ServiceName, Metadata: pb.Cluster_ServiceDesc.Metadata, HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			unary(&call.MemberList),
			unary(&call.MemberAdd),
			unary(&call.MemberRemove),
			unary(&call.MemberUpdate),
			unary(&call.MemberPromote),
		},
	},
	{
		ServiceName: pb.Auth_ServiceDesc.ServiceName, Metadata: pb.Auth_ServiceDesc.Metadata, HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			unary(&call.AuthEnable),
			unary(&call.AuthDisable),
			unary(&call.AuthStatus),
			unary(&call.Authenticate),
			unary(&call.UserAdd),
			unary(&call.UserGet),
			unary(&call.UserList),
			unary(&call.UserDelete),
			unary(&call.UserChangePassword),
			unary(&call.UserGrantRole),
			unary(&call.UserRevokeRole),
			unary(&call.RoleAdd),
			unary(&call.RoleGet),
			unary(&call.RoleList),
			unary(&call.RoleDelete),
			unary(&call.RoleGrantPermission),
			unary(&call.RoleRevokePermission),
		},
	},
}

// handled describes a method with one request and one answer.
func handled[Req any](full string, handle func(context.Context, *Server, *Req) (any, error)) grpc.MethodDesc {
	name := full[strings.LastIndexByte(full, '/')+1:]
	return grpc.MethodDesc{MethodName: name, Handler: func(self any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		srv := self.(*Server)
		r := new(Req)
		if err := decode(r); err != nil {
			return nil, err
		}
		return srv.observed(ctx, srv.methods.byName[full], func(ctx context.Context) (any, error) { return handle(ctx, srv, r) })
	}}
}

// unary is a method that is a call of package call, no more and no less.
func unary[Req, Resp any](u *call.Unary[*Req, *Resp]) grpc.MethodDesc {
	return counted(u, func(*Server, *Resp) {})
}

// counted is a method whose answers are counted.
func counted[Req, Resp any](u *call.Unary[*Req, *Resp], count func(*Server, *Resp)) grpc.MethodDesc {
	return handled(u.Method, func(ctx context.Context, srv *Server, r *Req) (any, error) {
		resp, err := carry(ctx, srv, u, r)
		if err != nil {
			return nil, err
		}
		count(srv, resp)
		return resp, nil
	})
}

// timed is a method whose time is measured.
func timed[Req, Resp any](u *call.Unary[*Req, *Resp], by func(*Server) prometheus.Histogram) grpc.MethodDesc {
	return handled(u.Method, func(ctx context.Context, srv *Server, r *Req) (any, error) {
		defer func(start time.Time) { by(srv).Observe(time.Since(start).Seconds()) }(time.Now())
		return carry(ctx, srv, u, r)
	})
}

// waiting is a method that may wait for other clients.
func waiting[Req, Resp any](full string, start starter[*Req, *Resp]) grpc.MethodDesc {
	return handled(full, func(ctx context.Context, srv *Server, r *Req) (any, error) { return await(ctx, srv, start, r) })
}

// admitted is a stream that goes on for as long as its client likes, once it is through the gate.
func admitted(s *call.Stream, serve func(*Server, call.Caller, grpc.ServerStream) error) grpc.StreamHandler {
	return func(self any, stream grpc.ServerStream) error {
		srv := self.(*Server)
		who, err := srv.gate.Open(callerOf(stream.Context()), srv.backend, s)
		if err != nil {
			return err
		}
		return serve(srv, who, stream)
	}
}
