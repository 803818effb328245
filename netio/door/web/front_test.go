package web

import (
	"context"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/detcd/detcd/netio/door/doortest"
	"github.com/detcd/detcd/netio/door/listen"
)

// services are gRPC services that do as they are told, behind the HTTP half of a door alone.
type services struct {
	pb.UnimplementedWatchServer
	pb.UnimplementedLeaseServer
	pb.UnimplementedKVServer
	v3electionpb.UnimplementedElectionServer

	mu       sync.Mutex
	metadata metadata.MD
	ended    chan struct{} // one entry for each watch stream that has
}

// Watch answers each request for a watcher with "created" and what the key says; it ends only with its client.
func (s *services) Watch(ss pb.Watch_WatchServer) error {
	s.see(ss.Context())
	defer func() { s.ended <- struct{}{} }()
	for id := int64(1); ; id++ {
		r, err := ss.Recv()
		if err == io.EOF {
			<-ss.Context().Done()
		}
		if err != nil {
			return err
		}
		if err := ss.Send(&pb.WatchResponse{WatchId: id, Created: true}); err != nil {
			return err
		}
		switch key := r.GetCreateRequest().GetKey(); string(key) {
		case "large":
			e := &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: key, Value: make([]byte, 1<<20)}}
			if err := ss.Send(&pb.WatchResponse{WatchId: id, Events: []*mvccpb.Event{e}}); err != nil {
				return err
			}
		case "fails":
			return rpctypes.ErrGRPCNoLeader
		case "flood":
			for {
				e := &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: key, Value: make([]byte, 64<<10)}}
				if err := ss.Send(&pb.WatchResponse{WatchId: id, Events: []*mvccpb.Event{e}}); err != nil {
					return err
				}
			}
		}
	}
}

// LeaseKeepAlive knows of leases below 100.
func (s *services) LeaseKeepAlive(ss pb.Lease_LeaseKeepAliveServer) error {
	for {
		r, err := ss.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if r.GetID() >= 100 {
			return rpctypes.ErrGRPCLeaseNotFound
		}
		if err := ss.Send(&pb.LeaseKeepAliveResponse{ID: r.GetID(), TTL: 10}); err != nil {
			return err
		}
	}
}

// Put says how long the value was.
func (s *services) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	s.see(ctx)
	return &pb.PutResponse{PrevKv: &mvccpb.KeyValue{Key: r.GetKey(), Version: int64(len(r.GetValue()))}}, nil
}

// Observe shows two leaders, and no more.
func (s *services) Observe(r *v3electionpb.LeaderRequest, ss v3electionpb.Election_ObserveServer) error {
	for i := range int64(2) {
		if err := ss.Send(&v3electionpb.LeaderResponse{Kv: &mvccpb.KeyValue{Key: r.GetName(), Version: i + 1}}); err != nil {
			return err
		}
	}
	return nil
}

func (s *services) see(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metadata, _ = metadata.FromIncomingContext(ctx)
}

// saw is the metadata of the last request.
func (s *services) saw(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.metadata.Get(key), "|")
}

// piped is the stand-ins behind a gateway.
type piped struct {
	*grpc.Server
	pipe *listen.Queue
}

// Dial implements GRPC.
func (p piped) Dial(ctx context.Context) (net.Conn, error) { return p.pipe.Dial(ctx) }

// fronted is a server before services of a test.
func fronted(t *testing.T, change func(*Config)) (s *services, address string, d *Server) {
	t.Helper()
	const limit = 1<<10 + 512<<10
	c := Config{MessageBytes: limit, HealthTimeout: time.Second, Gateway: true, Registry: prometheus.NewRegistry(), Logger: zap.NewNop()}
	if change != nil {
		change(&c)
	}
	s = &services{ended: make(chan struct{}, 100)}
	g := grpc.NewServer(grpc.MaxRecvMsgSize(limit))
	pb.RegisterWatchServer(g, s)
	pb.RegisterLeaseServer(g, s)
	pb.RegisterKVServer(g, s)
	v3electionpb.RegisterElectionServer(g, s)
	pipe := listen.NewPipe()
	d, err := New(c, doortest.NewSingle(), piped{g, pipe})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(pipe) })
	server := httptest.NewUnstartedServer(nil)
	server.Config = d.main
	server.Start()
	t.Cleanup(func() {
		d.End()
		g.Stop()
		server.Close()
		d.gateway.Close()
		d.sockets.Wait()
		serving.Wait()
	})
	return s, server.Listener.Addr().String(), d
}
