package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"
)

// ceiling answers Put and Range with fixed messages of the size a real server would send. It shows what gRPC alone costs. (ceilingWatch is
// the same for watchers that catch up.)
type ceiling struct {
	pb.UnimplementedKVServer
	pb.UnimplementedMaintenanceServer
	put  *pb.PutResponse
	get  *pb.RangeResponse
	head *pb.ResponseHeader
}

// serveCeiling serves on addr until the process is ended.
func serveCeiling(addr string, valueBytes int) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	value := make([]byte, valueBytes)
	fillValue(value)
	head := &pb.ResponseHeader{ClusterId: math.MaxUint64 / 3, MemberId: math.MaxUint64 / 5, Revision: 1 << 20, RaftTerm: 2}
	s := &ceiling{
		head: head,
		put:  &pb.PutResponse{Header: head},
		get: &pb.RangeResponse{Header: head, Count: 1, Kvs: []*mvccpb.KeyValue{
			{Key: keyAt(1), Value: value, CreateRevision: 1 << 10, ModRevision: 1 << 20, Version: 1 << 10},
		}},
	}
	// Answered once before serving, so that a mistake above shows as an error here and not as an odd figure.
	if proto.Size(s.get) < valueBytes {
		return fmt.Errorf("the fixed answer has %d bytes", proto.Size(s.get))
	}
	server := grpc.NewServer(ceilingOptions()...)
	pb.RegisterKVServer(server, s)
	pb.RegisterMaintenanceServer(server, s)
	pb.RegisterWatchServer(server, &ceilingWatch{head: head, valueBytes: valueBytes})
	return server.Serve(listener)
}

// ceilingOptions are those that detcd's gRPC server (netio/door/services) is made with, as far as they bear on the cost of a call: all but
// its interceptors, which are detcd's own work, as is what its codec does for calls.
func ceilingOptions() []grpc.ServerOption {
	const overhead, buffer = 512 << 10, 64 << 10
	return []grpc.ServerOption{
		ceilingCodecOption(),
		grpc.MaxRecvMsgSize(1.5*1024*1024 + overhead),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(math.MaxUint32),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Hour, Timeout: 20 * time.Second}),
		grpc.ReadBufferSize(buffer),
		grpc.WriteBufferSize(buffer),
	}
}

func (s *ceiling) Put(context.Context, *pb.PutRequest) (*pb.PutResponse, error) { return s.put, nil }

func (s *ceiling) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	return s.get, nil
}

// Txn lets the keyspace be preloaded as on a real server; nothing is kept.
func (s *ceiling) Txn(context.Context, *pb.TxnRequest) (*pb.TxnResponse, error) {
	return &pb.TxnResponse{Header: s.head, Succeeded: true}, nil
}

// Status says that it leads, which is what bench waits for.
func (s *ceiling) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{Header: s.head, Leader: s.head.MemberId, Version: "0.0.0"}, nil
}
