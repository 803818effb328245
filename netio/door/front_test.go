package door

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
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

	"github.com/detcd/detcd/netio/door/listen"
	"github.com/detcd/detcd/node/call"
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

// fronted is the HTTP half of a door before services of a test.
func fronted(t *testing.T, change func(*Config)) (s *services, address string, d *Door) {
	t.Helper()
	c := Config{Limits: call.DefaultLimits(), HealthTimeout: time.Second, Gateway: true}
	c.Limits.MaxRequestBytes = 1 << 10
	if change != nil {
		change(&c)
	}
	s = &services{ended: make(chan struct{}, 100)}
	d = &Door{config: c, backend: newSingle(), log: zap.NewNop(), registry: prometheus.NewRegistry(), pipe: listen.NewPipe()}
	d.checks, d.checkTotal = newCheckMetrics()
	d.closing, d.close = context.WithCancel(context.Background())
	g := grpc.NewServer(grpc.MaxRecvMsgSize(c.Limits.MaxRequestBytes + requestOverhead))
	pb.RegisterWatchServer(g, s)
	pb.RegisterLeaseServer(g, s)
	pb.RegisterKVServer(g, s)
	v3electionpb.RegisterElectionServer(g, s)
	h, err := d.newHTTP()
	if err != nil {
		t.Fatal(err)
	}
	d.serving.Go(func() { _ = g.Serve(d.pipe) })
	server := httptest.NewUnstartedServer(nil)
	server.Config = newHTTPServer(h)
	server.Start()
	t.Cleanup(func() {
		d.close()
		g.Stop()
		server.Close()
		d.gateway.Close()
		d.serving.Wait()
	})
	return s, server.Listener.Addr().String(), d
}

// connection is one HTTP/1.1 connection whose bytes a test sees.
type connection struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func connected(t *testing.T, address string) *connection {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return &connection{Conn: c, t: t, r: bufio.NewReader(c)}
}

// post sends the head of a request, and its body unless that is to come in chunks.
func (c *connection) post(path string, body string, header ...string) {
	c.t.Helper()
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for _, h := range header {
		if strings.HasPrefix(h, "Transfer-Encoding") {
			length = ""
		}
		if h != "" {
			length += h + "\r\n"
		}
	}
	c.send("POST " + path + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body)
}

func (c *connection) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// head reads the head of an answer.
func (c *connection) head() (status string, header map[string]string) {
	c.t.Helper()
	status, header = c.lineOf(), map[string]string{}
	for {
		line := c.lineOf()
		if line == "" {
			return strings.TrimPrefix(status, "HTTP/1.1 "), header
		}
		name, value, _ := strings.Cut(line, ": ")
		header[name] = value
	}
}

func (c *connection) lineOf() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimRight(line, "\r\n")
}

// chunk reads one chunk of an answer; the last one is empty.
func (c *connection) chunk() string {
	c.t.Helper()
	var n int
	if _, err := fmt.Sscanf(c.lineOf(), "%x", &n); err != nil {
		c.t.Fatal(err)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(c.r, b); err != nil {
		c.t.Fatal(err)
	}
	return string(b[:n])
}

// answered posts body and returns what comes back.
func answered(t *testing.T, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}
