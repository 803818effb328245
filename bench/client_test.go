package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// echo answers a Put with what it was asked, so that a client that mixes up calls is seen.
type echo struct {
	pb.UnimplementedKVServer
	puts, ranges atomic.Int64
	release      chan struct{}
}

func (e *echo) Put(_ context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	e.puts.Add(1)
	if string(r.Key) == "fail" {
		return nil, status.Error(codes.ResourceExhausted, "no more of this")
	}
	// The length of the answer tells which request it answers.
	return &pb.PutResponse{Header: &pb.ResponseHeader{Revision: r.Lease}}, nil
}

func (e *echo) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	e.ranges.Add(1)
	if string(r.Key) == "hang" {
		select {
		case <-ctx.Done():
		case <-e.release:
		}
		return nil, ctx.Err()
	}
	return &pb.RangeResponse{Count: 1 << 40}, nil
}

func serveEcho(t *testing.T) (*echo, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{release: make(chan struct{})}
	server := grpc.NewServer(ceilingOptions()...)
	pb.RegisterKVServer(server, e)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	t.Cleanup(func() { close(e.release) })
	return e, listener.Addr().String()
}

func encode(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var dialers = map[string]dialer{"raw": dialRaw, "grpc": dialGRPC}

func TestCaller_EachClientGetsItsOwnAnswer(t *testing.T) {
	for name, dial := range dialers {
		for _, clients := range []int{1, 10} {
			t.Run(name, func(t *testing.T) {
				e, addr := serveEcho(t)
				c, err := dial(t.Context(), addr, clients)
				if err != nil {
					t.Fatal(err)
				}
				defer c.close()
				const calls = 500 // enough to pass the first flow control window several times
				var wg sync.WaitGroup
				for i := range clients {
					wg.Go(func() {
						revision := int64(1) << (6 * i) // of another length for each client
						request := encode(t, &pb.PutRequest{Key: []byte("k"), Value: make([]byte, 300), Lease: revision})
						want := proto.Size(&pb.PutResponse{Header: &pb.ResponseHeader{Revision: revision}})
						for range calls {
							if n, err := c.call(t.Context(), i, methodPut, request); n != want || err != nil {
								t.Errorf("client %d: %d, %v; want %d", i, n, err, want)
								return
							}
							if n, err := c.call(t.Context(), i, methodRange, nil); n != 7 || err != nil {
								t.Errorf("client %d: range: %d, %v; want 7", i, n, err)
								return
							}
						}
					})
				}
				wg.Wait()
				if got, want := e.puts.Load(), int64(calls*clients); got != want && !t.Failed() {
					t.Errorf("the server saw %d puts, want %d", got, want)
				}
			})
		}
	}
}

func TestCaller_SaysWhatTheServerRefused(t *testing.T) {
	for name, dial := range dialers {
		t.Run(name, func(t *testing.T) {
			_, addr := serveEcho(t)
			c, err := dial(t.Context(), addr, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			_, err = c.call(t.Context(), 0, methodPut, encode(t, &pb.PutRequest{Key: []byte("fail")}))
			if err == nil || !strings.Contains(err.Error(), "no more of this") {
				t.Errorf("error %v", err)
			}
			if n, err := c.call(t.Context(), 0, methodPut, encode(t, &pb.PutRequest{Key: []byte("k"), Lease: 5})); n == 0 || err != nil {
				t.Errorf("after an error: %d, %v", n, err)
			}
		})
	}
}

func TestCaller_ContextEndsAHangingCall(t *testing.T) {
	for name, dial := range dialers {
		for _, clients := range []int{1, 2} {
			t.Run(name, func(t *testing.T) {
				_, addr := serveEcho(t)
				c, err := dial(t.Context(), addr, clients)
				if err != nil {
					t.Fatal(err)
				}
				defer c.close()
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				if _, err := c.call(ctx, 0, methodRange, encode(t, &pb.RangeRequest{Key: []byte("hang")})); err == nil {
					t.Error("no error")
				} else if name == "raw" && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("error %v", err)
				}
			})
		}
	}
}

func TestLoad_MeasuresAgainstTheCeiling(t *testing.T) {
	addr := serveCeilingHere(t)
	for _, kind := range []op{opPut, opLinearizable, opSerializable} {
		for _, clients := range []int{1, 8} {
			l := load{op: kind, clients: clients, conns: max(1, clients/4), keys: keys{space: 10, valueBytes: 256}, measure: 50 * time.Millisecond}
			cpu := time.Duration(0)
			r, err := l.run(t.Context(), dialRaw, []string{addr}, func() (time.Duration, time.Duration, uint64, error) {
				cpu += time.Second
				return cpu, cpu, 7, nil
			})
			if err != nil || r.errors > 0 || r.requests == 0 || r.p50 == 0 || r.p99 < r.p50 || r.serverCPU != time.Second || r.rss != 7 {
				t.Errorf("%s with %d clients: %+v, %v", kind, clients, r, err)
			}
		}
	}
}

// serveCeilingHere serves the ceiling within the test process until that ends.
func serveCeilingHere(t *testing.T) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = listener.Addr().String()
	listener.Close()
	go serveCeiling(addr, 256) // ends with the test process
	conn, err := connect(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := pb.NewMaintenanceClient(conn).Status(t.Context(), &pb.StatusRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	return addr
}

// A watcher that catches up is sent what the load checks: each revision once, in order, in messages as large as detcd's.
func TestReplay_MeasuresAgainstTheCeiling(t *testing.T) {
	addr := serveCeilingHere(t)
	r := replayLoad{revisions: 10_000, keys: 1, valueBytes: 256, scratch: new([]byte)}
	head, err := settledRevision(t.Context(), []string{addr})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, messages, err := r.replay(t.Context(), addr, head); err != nil || messages < 2 || messages > 5 {
			t.Errorf("%d responses, %v", messages, err)
		}
	}
}

func TestLoad_CountsWhatFails(t *testing.T) {
	_, addr := serveEcho(t) // its Range answers hold no value
	l := load{op: opLinearizable, clients: 2, conns: 1, keys: keys{space: 10, valueBytes: 256}, measure: 20 * time.Millisecond}
	r, err := l.run(t.Context(), dialRaw, []string{addr}, func() (a, b time.Duration, c uint64, err error) { return })
	if err != nil || r.errors == 0 || r.requests != 0 || !strings.Contains(r.firstErr, "holds no value") {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestRequests_DecodeToWhatTheLoadSays(t *testing.T) {
	var next atomic.Uint64
	l := load{op: opPut, keys: keys{space: 3, sequential: true, valueBytes: 256}}
	request := l.newRequests(&next)
	for i := range 5 {
		var put pb.PutRequest
		if err := proto.Unmarshal(request(), &put); err != nil {
			t.Fatal(err)
		}
		if string(put.Key) != string(keyAt((i+1)%3)) || len(put.Value) != 256 {
			t.Errorf("request %d: key %x, %d bytes", i, put.Key, len(put.Value))
		}
	}
	l.op = opSerializable
	var get pb.RangeRequest
	if err := proto.Unmarshal(l.newRequests(&next)(), &get); err != nil || !get.Serializable || len(get.Key) != keyBytes {
		t.Errorf("range: %v, %v", &get, err)
	}
}
