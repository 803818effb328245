package door

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/statemachine"
)

// single is a member whose log is memory: it applies what is proposed at once.
type single struct {
	mu       sync.Mutex
	machine  *statemachine.Machine
	index    uint64
	sequence uint64
	status   node.Status
	// stuck, unless nil, is what Propose and Linearize wait for.
	stuck chan struct{}
}

var _ Backend = (*single)(nil)

func newSingle() *single {
	s := &single{machine: statemachine.New(), status: node.Status{ID: 1, ClusterID: 7, Term: 2, Leader: 1, Role: node.Leader}}
	s.index++
	s.machine.ApplyMember(s.index, 2, statemachine.MemberChange{Kind: statemachine.AddVoter,
		Member: statemachine.Member{ID: 1, Name: "one", PeerURLs: []string{"http://127.0.0.1:2380"}, ClientURLs: []string{"http://127.0.0.1:2379"}}})
	s.apply(&pb.InternalRaftRequest{ClusterVersionSet: &membershippb.ClusterVersionSetRequest{Ver: "3.7.0"}})
	return s
}

func (s *single) apply(r *pb.InternalRaftRequest) statemachine.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	s.sequence++
	results, _ := s.machine.ApplyBatch(s.index, 2, &statemachine.Batch{Proposer: 1, Incarnation: 1, Sequence: s.sequence, Requests: []*pb.InternalRaftRequest{r}}, true)
	s.machine.Publish()
	s.status.Applied, s.status.Committed = s.index, s.index
	return results[0]
}

func (s *single) wait(ctx context.Context) error {
	if s.stuck == nil {
		return nil
	}
	select {
	case <-s.stuck:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Propose implements Backend.
func (s *single) Propose(ctx context.Context, r *pb.InternalRaftRequest) (node.Applied, error) {
	if err := s.wait(ctx); err != nil {
		return node.Applied{}, err
	}
	result := s.apply(r)
	return node.Applied{Response: result.Response, Index: s.index, Term: 2}, result.Err
}

// Linearize implements Backend.
func (s *single) Linearize(ctx context.Context) (*statemachine.View, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.View(), nil
}

// View implements Backend.
func (s *single) View() *statemachine.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.machine.Published()
	v.Acquire()
	return v
}

// Status implements Backend.
func (s *single) Status() node.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// opened is a door of b that listens on the loopback interface until the test ends.
func opened(t testing.TB, b Backend, change func(*Config)) (address string) {
	t.Helper()
	c := Config{Limits: call.DefaultLimits(), MaxConcurrentStreams: 1<<32 - 1, KeepAliveMinTime: 5 * time.Second, Gateway: true}
	if change != nil {
		change(&c)
	}
	d, err := New(c, b)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.Serve(l, nil, true, All)
	d.Ready()
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// dialled is etcd's own client, until the test ends.
func dialled(t testing.TB, address string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
