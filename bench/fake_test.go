package main

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
)

// fakeServer is a small server in memory with just what the workloads use. Its hooks let it break its word.
type fakeServer struct {
	pb.UnimplementedKVServer
	pb.UnimplementedWatchServer
	pb.UnimplementedLeaseServer

	mu       sync.Mutex
	revision int64
	watchers map[chan<- int64]bool // streams that are told of each revision
	puts     map[int64]*mvccpb.KeyValue
	leases   map[int64]int64 // TTL by id
	stored   []*mvccpb.KeyValue

	// events may change what a watcher (by id) is sent for one revision.
	events func(watcher int64, e []*mvccpb.Event) []*mvccpb.Event
	// renewed may change the answer to a renewal; nil ends the stream.
	renewed func(*pb.LeaseKeepAliveResponse) *pb.LeaseKeepAliveResponse
	// ranged may change an answer to a Range, or a chunk of one.
	ranged func(*pb.RangeResponse)
}

func serveFake(t *testing.T, f *fakeServer) (addr string) {
	t.Helper()
	f.revision, f.watchers, f.puts, f.leases = 1, map[chan<- int64]bool{}, map[int64]*mvccpb.KeyValue{}, map[int64]int64{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(ceilingOptions()...)
	pb.RegisterKVServer(server, f)
	pb.RegisterWatchServer(server, f)
	pb.RegisterLeaseServer(server, f)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func (f *fakeServer) header() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: 1 << 63, MemberId: 7, RaftTerm: 2, Revision: f.revision}
}

func (f *fakeServer) Put(_ context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revision++
	f.puts[f.revision] = &mvccpb.KeyValue{Key: r.Key, Value: r.Value, CreateRevision: f.revision, ModRevision: f.revision, Version: 1}
	for told := range f.watchers {
		told <- f.revision
	}
	return &pb.PutResponse{Header: f.header()}, nil
}

func (f *fakeServer) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := &pb.RangeResponse{Header: f.header(), Count: int64(len(f.stored))}
	if !r.CountOnly {
		answer.Kvs = f.stored
	}
	if f.ranged != nil && !r.CountOnly {
		f.ranged(answer)
	}
	return answer, nil
}

func (f *fakeServer) RangeStream(_ *pb.RangeRequest, stream pb.KV_RangeStreamServer) error {
	const chunk = 7
	for first := 0; first < len(f.stored); first += chunk {
		answer := &pb.RangeResponse{Kvs: f.stored[first:min(first+chunk, len(f.stored))]}
		if first+chunk >= len(f.stored) {
			answer.Header, answer.Count = f.header(), int64(len(f.stored))
		}
		if f.ranged != nil {
			f.ranged(answer)
		}
		if err := stream.Send(&pb.RangeStreamResponse{RangeResponse: answer}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeServer) Watch(stream pb.Watch_WatchServer) error {
	told := make(chan int64, 1<<16)
	defer func() {
		f.mu.Lock()
		delete(f.watchers, told)
		f.mu.Unlock()
	}()
	created := make(chan *pb.WatchCreateRequest, 100)
	go func() {
		defer close(created)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			created <- r.GetCreateRequest()
		}
	}()
	var ids []int64
	for {
		select {
		case r, ok := <-created:
			if !ok {
				return nil
			}
			id := r.WatchId
			ids = append(ids, id)
			f.mu.Lock()
			h := f.header()
			f.watchers[told] = true
			for past := r.StartRevision; past > 0 && past <= f.revision; past++ {
				told <- past
			}
			f.mu.Unlock()
			if err := stream.Send(&pb.WatchResponse{Header: h, WatchId: id, Created: true}); err != nil {
				return err
			}
		case revision := <-told:
			f.mu.Lock()
			h, kv := f.header(), f.puts[revision]
			f.mu.Unlock()
			for _, id := range ids {
				events := []*mvccpb.Event{{Type: mvccpb.Event_PUT, Kv: kv}}
				if f.events != nil {
					events = f.events(id, events)
				}
				if err := stream.Send(&pb.WatchResponse{Header: h, WatchId: id, Events: events}); err != nil {
					return err
				}
			}
		}
	}
}

func (f *fakeServer) LeaseGrant(_ context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leases[r.ID] = r.TTL
	return &pb.LeaseGrantResponse{Header: f.header(), ID: r.ID, TTL: r.TTL}, nil
}

func (f *fakeServer) LeaseKeepAlive(stream pb.Lease_LeaseKeepAliveServer) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return nil // the client has no more
		}
		f.mu.Lock()
		answer := &pb.LeaseKeepAliveResponse{Header: f.header(), ID: r.ID, TTL: f.leases[r.ID]}
		f.mu.Unlock()
		if f.renewed != nil {
			if answer = f.renewed(answer); answer == nil {
				return nil
			}
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

// fakeMeter says that the servers use a second more each time they are asked. Their memory is that of the test itself.
type fakeMeter struct{ cpu time.Duration }

func (m *fakeMeter) usage() (time.Duration, uint64, error) {
	m.cpu += time.Second
	return m.cpu, 5 << 20, nil
}

func (m *fakeMeter) pids() []int { return []int{os.Getpid()} }

// values are figures by name.
func values(figures []figure) map[string]float64 {
	m := map[string]float64{}
	for _, f := range figures {
		m[f.name] = f.value
	}
	return m
}
