package call_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/node/lessor"
)

// leaseMember answers what is asked of the leader as a test wants.
type leaseMember struct {
	*fakeMember
	// meanwhile happens before the leader answers.
	meanwhile func()
	time      node.LeaseTTL
	err       error
	asked     []int64
}

// Renew implements call.Replica.
func (m *leaseMember) Renew(id int64, done func(int64, error)) {
	m.answer(id, func() { done(m.time.Granted, m.err) })
}

// TimeToLive implements call.Replica.
func (m *leaseMember) TimeToLive(id int64, done func(node.LeaseTTL, error)) {
	m.answer(id, func() { done(m.time, m.err) })
}

func (m *leaseMember) answer(id int64, f func()) {
	m.asked = append(m.asked, id)
	m.later(func() {
		if m.meanwhile != nil {
			m.meanwhile()
		}
		f()
	})
}

func newLeaseMember(t testing.TB) *leaseMember {
	return &leaseMember{fakeMember: newCluster(t, 1).members[0]}
}

// made makes a call and returns what it came to.
func made[Req, Resp any](t *testing.T, m *leaseMember, u call.Unary[Req, Resp], r Req) (resp Resp, err error) {
	t.Helper()
	times := 0
	call.Do(newGate(), m, call.Caller{}, &u, r, func(a Resp, _ *call.Outcome, e error) { resp, err, times = a, e, times+1 })
	m.cluster.settle()
	if times != 1 {
		t.Fatalf("answered %d times", times)
	}
	return resp, err
}

func wantMessage(t *testing.T, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("answered %v, want %v", got, want)
	}
}

func headerAt(revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: 7, MemberId: 1, RaftTerm: 2, Revision: revision}
}

func TestMinLeaseTTL_IsAsEtcds(t *testing.T) {
	for _, c := range []struct {
		tick  time.Duration
		ticks int
		want  int64
	}{{100 * time.Millisecond, 10, 2}, {time.Second, 10, 15}, {500 * time.Millisecond, 10, 8}, {time.Millisecond, 10, 1}, {100 * time.Millisecond, 50, 8}} {
		if got := call.MinLeaseTTL(c.tick, c.ticks); got != c.want {
			t.Errorf("%d ticks of %v: %d s, want %d", c.ticks, c.tick, got, c.want)
		}
	}
}

func TestLeaseGrant(t *testing.T) {
	m := newLeaseMember(t)
	for _, c := range []struct{ id, ttl, want int64 }{{5, 60, 60}, {6, 1, 2}, {-7, -1, 2}, {8, 0, 2}, {9, 9_000_000_000, 9_000_000_000}} {
		asked := &pb.LeaseGrantRequest{ID: c.id, TTL: c.ttl}
		resp, err := made(t, m, call.LeaseGrant, asked)
		if err != nil {
			t.Fatal(err)
		}
		wantMessage(t, resp, &pb.LeaseGrantResponse{Header: headerAt(1), ID: c.id, TTL: c.want})
		if asked.GetTTL() != c.ttl {
			t.Error("the caller's request was changed")
		}
	}
	resp, err := made(t, m, call.LeaseGrant, &pb.LeaseGrantRequest{TTL: 10})
	if err != nil || resp.GetID() == 0 {
		t.Errorf("without an id: %v, error %v", resp, err)
	}
	for _, c := range []struct {
		r    *pb.LeaseGrantRequest
		want error
	}{
		{&pb.LeaseGrantRequest{ID: 5, TTL: 60}, rpctypes.ErrGRPCLeaseExist},
		{&pb.LeaseGrantRequest{ID: 10, TTL: 9_000_000_001}, rpctypes.ErrGRPCLeaseTTLTooLarge},
		{&pb.LeaseGrantRequest{ID: 5, TTL: 9_000_000_001}, rpctypes.ErrGRPCLeaseTTLTooLarge},
	} {
		if _, err := made(t, m, call.LeaseGrant, c.r); !errors.Is(err, c.want) {
			t.Errorf("%v: error %v, want %v", c.r, err, c.want)
		}
	}
}

func TestLeaseRevoke(t *testing.T) {
	m := newLeaseMember(t)
	m.cluster.grant(5, 60)
	m.cluster.append(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("a"), Lease: 5}})
	resp, err := made(t, m, call.LeaseRevoke, &pb.LeaseRevokeRequest{ID: 5})
	if err != nil {
		t.Fatal(err)
	}
	wantMessage(t, resp, &pb.LeaseRevokeResponse{Header: headerAt(3)})
	for _, id := range []int64{5, 0} {
		if _, err := made(t, m, call.LeaseRevoke, &pb.LeaseRevokeRequest{ID: id}); !errors.Is(err, rpctypes.ErrGRPCLeaseNotFound) {
			t.Errorf("lease %d: error %v", id, err)
		}
	}
}

// The header's revision is from before the renewal: a client that sees the lease alive at a revision must not find it ended at that.
func TestLeaseKeepAlive(t *testing.T) {
	m := newLeaseMember(t)
	m.time = node.LeaseTTL{Granted: 60, Found: true}
	m.meanwhile = func() {
		m.cluster.append(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("a")}})
		m.turn(1)
	}
	resp, err := made(t, m, call.LeaseKeepAlive, &pb.LeaseKeepAliveRequest{ID: 5})
	if err != nil {
		t.Fatal(err)
	}
	wantMessage(t, resp, &pb.LeaseKeepAliveResponse{Header: headerAt(1), ID: 5, TTL: 60})
	m.time, m.meanwhile = node.LeaseTTL{}, nil
	resp, err = made(t, m, call.LeaseKeepAlive, &pb.LeaseKeepAliveRequest{ID: 6})
	if err != nil {
		t.Fatal(err)
	}
	wantMessage(t, resp, &pb.LeaseKeepAliveResponse{Header: headerAt(2), ID: 6})
	m.err = rpctypes.ErrGRPCTimeoutDueToLeaderFail
	if _, err = made(t, m, call.LeaseKeepAlive, &pb.LeaseKeepAliveRequest{ID: 6}); !errors.Is(err, m.err) {
		t.Errorf("error %v", err)
	}
	if want := []int64{5, 6, 6}; !slices.Equal(m.asked, want) {
		t.Errorf("asked of %v, want %v", m.asked, want)
	}
}

func TestLeaseTimeToLive(t *testing.T) {
	m := newLeaseMember(t)
	m.cluster.grant(5, 60)
	for _, key := range []string{"b", "a"} {
		m.cluster.append(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Lease: 5}})
	}
	m.cluster.settle()
	m.time = node.LeaseTTL{Granted: 60, Remaining: 41, Found: true}
	plain, keys := &pb.LeaseTimeToLiveRequest{ID: 5}, &pb.LeaseTimeToLiveRequest{ID: 5, Keys: true}
	ask := func(r *pb.LeaseTimeToLiveRequest, want *pb.LeaseTimeToLiveResponse) {
		t.Helper()
		resp, err := made(t, m, call.LeaseTimeToLive, r)
		if err != nil {
			t.Fatal(err)
		}
		wantMessage(t, resp, want)
	}
	ask(plain, &pb.LeaseTimeToLiveResponse{Header: headerAt(3), ID: 5, TTL: 41, GrantedTTL: 60})
	ask(keys, &pb.LeaseTimeToLiveResponse{Header: headerAt(3), ID: 5, TTL: 41, GrantedTTL: 60, Keys: [][]byte{[]byte("a"), []byte("b")}})
	// The keys are those of after the leader's answer, and so is the lease.
	m.meanwhile = func() { m.cluster.delete("b") }
	ask(keys, &pb.LeaseTimeToLiveResponse{Header: headerAt(4), ID: 5, TTL: 41, GrantedTTL: 60, Keys: [][]byte{[]byte("a")}})
	m.meanwhile = func() { m.cluster.expire(5) }
	ask(keys, &pb.LeaseTimeToLiveResponse{Header: headerAt(5), ID: 5, TTL: -1})
	m.time, m.meanwhile = node.LeaseTTL{}, nil
	ask(plain, &pb.LeaseTimeToLiveResponse{Header: headerAt(5), ID: 5, TTL: -1})
	ask(keys, &pb.LeaseTimeToLiveResponse{Header: headerAt(5), ID: 5, TTL: -1})

	m.err = rpctypes.ErrGRPCTimeout
	if _, err := made(t, m, call.LeaseTimeToLive, plain); !errors.Is(err, m.err) {
		t.Errorf("the leader does not answer: error %v", err)
	}
	m.err, m.time = nil, node.LeaseTTL{Granted: 60, Found: true}
	m.readFate = func(*pb.InternalRaftRequest) fate { return lost }
	if _, err := made(t, m, call.LeaseTimeToLive, keys); !errors.Is(err, rpctypes.ErrGRPCTimeoutDueToLeaderFail) {
		t.Errorf("the keys can't be read: error %v", err)
	}
}

func TestLeaseLeases(t *testing.T) {
	m := newLeaseMember(t)
	resp, err := made(t, m, call.LeaseLeases, &pb.LeaseLeasesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	wantMessage(t, resp, &pb.LeaseLeasesResponse{Header: headerAt(1)})
	for _, id := range []int64{9, 3, 5} {
		m.cluster.grant(id, 60)
	}
	m.cluster.expire(5)
	// Nothing of this is applied here yet.
	resp, err = made(t, m, call.LeaseLeases, &pb.LeaseLeasesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	wantMessage(t, resp, &pb.LeaseLeasesResponse{Header: headerAt(1), Leases: []*pb.LeaseStatus{{ID: 3}, {ID: 9}}})
	// The leader knows when they end, perhaps of one that was granted since the view, and perhaps not of one that was granted before.
	m.ends = []lessor.End{{ID: 3, At: 50}, {ID: 8, At: 5}, {ID: 9, At: 10}}
	m.cluster.grant(1, 60)
	if resp, err = made(t, m, call.LeaseLeases, &pb.LeaseLeasesRequest{}); err != nil {
		t.Fatal(err)
	}
	wantMessage(t, resp, &pb.LeaseLeasesResponse{Header: headerAt(1), Leases: []*pb.LeaseStatus{{ID: 9}, {ID: 3}, {ID: 1}}})
}
