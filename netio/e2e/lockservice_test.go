package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// services are the clients of the lock and election services of one member, and the stock client beside them.
type services struct {
	t        testing.TB
	kv       *clientv3.Client
	lock     v3lockpb.LockClient
	election v3electionpb.ElectionClient
}

func servicesOf(t testing.TB, m *member) services {
	t.Helper()
	client := newClient(t, m)
	if _, err := client.Status(t.Context(), m.client); err != nil { // the connection is made
		t.Fatal(err)
	}
	connection := client.ActiveConnection()
	return services{t, client, v3lockpb.NewLockClient(connection), v3electionpb.NewElectionClient(connection)}
}

// attempt is a call that waits at the server.
type attempt[T any] struct {
	t      testing.TB
	what   string
	cancel context.CancelFunc
	done   chan struct{}
	answer T
	err    error
}

func begin[T any](t testing.TB, what string, call func(context.Context) (T, error)) *attempt[T] {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	a := &attempt[T]{t: t, what: what, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.answer, a.err = call(ctx)
	}()
	return a
}

// result waits for the answer.
func (a *attempt[T]) result() (T, error) {
	a.t.Helper()
	select {
	case <-a.done:
	case <-time.After(answerPatience):
		a.t.Fatalf("%s: no answer", a.what)
	}
	return a.answer, a.err
}

// waits checks that there is no answer yet.
func (a *attempt[T]) waits() {
	a.t.Helper()
	select {
	case <-a.done:
		a.t.Errorf("%s: it should wait, but was answered with %v, %v", a.what, a.answer, a.err)
	default:
	}
}

// queued waits until a prefix has n keys: so many hold or wait.
func (s services) queued(prefix string, n int64) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d hold or wait for %s", n, prefix), func() error {
		answer, err := s.kv.Get(s.t.Context(), prefix+"/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err == nil && answer.Count != n {
			err = fmt.Errorf("%d do", answer.Count)
		}
		return err
	})
}

func (s services) beginLock(name string, lease clientv3.LeaseID) *attempt[*v3lockpb.LockResponse] {
	return begin(s.t, fmt.Sprintf("lock %s with lease %x", name, lease), func(ctx context.Context) (*v3lockpb.LockResponse, error) {
		return s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: []byte(name), Lease: int64(lease)})
	})
}

func (s services) unlock(key []byte) {
	s.t.Helper()
	must[*v3lockpb.UnlockResponse](s.t)(s.lock.Unlock(s.t.Context(), &v3lockpb.UnlockRequest{Key: key}))
}

// locked waits for the lock and returns its key.
func locked(t testing.TB, a *attempt[*v3lockpb.LockResponse]) []byte {
	t.Helper()
	return must[*v3lockpb.LockResponse](t)(a.result()).Key
}

// TestLockService: every member serves it; those who wait get it in turn, and nobody whose lease has ended gets it at all.
func TestLockService(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	at := [3]services{servicesOf(t, c.members[0]), servicesOf(t, c.members[1]), servicesOf(t, c.members[2])}
	revoke := func(id clientv3.LeaseID) {
		t.Helper()
		must[*clientv3.LeaseRevokeResponse](t)(at[0].kv.Revoke(t.Context(), id))
	}
	var leases []clientv3.LeaseID
	for range 3 {
		leases = append(leases, grant(t, at[0].kv, 600))
	}

	t.Run("InTurn", func(t *testing.T) {
		first := locked(t, at[0].beginLock("turn", leases[0]))
		if want := fmt.Sprintf("turn/%x", leases[0]); string(first) != want {
			t.Errorf("the key is %q, want %q", first, want)
		}
		if again := locked(t, at[1].beginLock("turn", leases[0])); string(again) != string(first) {
			t.Errorf("the same lease again: %q", again)
		}
		second := at[1].beginLock("turn", leases[1])
		at[0].queued("turn", 2)
		third := at[2].beginLock("turn", leases[2])
		at[0].queued("turn", 3)
		second.waits()
		at[2].unlock(first)
		key := locked(t, second)
		third.waits()
		at[0].unlock(key)
		at[0].unlock(locked(t, third))
		at[0].queued("turn", 0)
	})
	t.Run("HolderEnds", func(t *testing.T) {
		holder := grant(t, at[0].kv, 600)
		locked(t, at[0].beginLock("holder", holder))
		waiter := at[1].beginLock("holder", leases[1])
		at[0].queued("holder", 2)
		waiter.waits()
		revoke(holder)
		at[0].unlock(locked(t, waiter))
	})
	t.Run("WaiterEnds", func(t *testing.T) {
		key := locked(t, at[0].beginLock("waiter", leases[0]))
		short := grant(t, at[0].kv, 600)
		waiter := at[1].beginLock("waiter", short)
		at[0].queued("waiter", 2)
		next := at[2].beginLock("waiter", leases[2])
		at[0].queued("waiter", 3)
		revoke(short) // while it waits
		at[0].queued("waiter", 2)
		at[0].unlock(key)
		if answer, err := waiter.result(); err == nil {
			t.Errorf("the lock was given for a lease that had ended: %v", answer)
		}
		at[0].unlock(locked(t, next))
	})
	t.Run("WaiterLeaves", func(t *testing.T) {
		key := locked(t, at[0].beginLock("leaves", leases[0]))
		waiter := at[1].beginLock("leaves", leases[1])
		at[0].queued("leaves", 2)
		next := at[2].beginLock("leaves", leases[2])
		at[0].queued("leaves", 3)
		waiter.cancel()
		if _, err := waiter.result(); status.Code(err) != codes.Canceled {
			t.Errorf("who left was told %v", err)
		}
		at[0].queued("leaves", 2)
		next.waits()
		at[0].unlock(key)
		at[0].unlock(locked(t, next))
	})
	t.Run("NoLease", func(t *testing.T) {
		key := locked(t, at[1].beginLock("none", 0))
		kv := must[*clientv3.GetResponse](t)(at[0].kv.Get(t.Context(), string(key))).Kvs
		if len(kv) != 1 || kv[0].Lease == 0 {
			t.Errorf("a lock without a lease is held by %v", kv)
		}
		at[0].unlock(key)
		if _, err := at[2].beginLock("none", 4711).result(); status.Convert(err).Message() != rpctypes.ErrorDesc(rpctypes.ErrGRPCLeaseNotFound) {
			t.Errorf("a lock with a lease that does not exist: %v", err)
		}
	})
}

// TestLockAndElection_Errors: etcd's services go through its own client library, whose errors have lost their code by the time a client sees them. So the
// code is Unknown where KV and Lease have another.
func TestLockAndElection_Errors(t *testing.T) {
	t.Parallel()
	s := servicesOf(t, startCluster(t, 1).members[0])
	const noLease = `Unknown "etcdserver: requested lease not found"`
	const noKey = `Unknown "etcdserver: key is not provided"`
	large := make([]byte, 1600<<10)
	held := &v3electionpb.LeaderKey{Name: []byte("e"), Key: []byte("e/1"), Rev: 1, Lease: 4711}
	runProbes(t, []probe{
		{name: "lock, unknown lease", want: noLease, ask: func(ctx context.Context) (any, error) {
			return s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: []byte("l"), Lease: 4711})
		}},
		{name: "lock, long name", want: `Unknown "etcdserver: request is too large"`, ask: func(ctx context.Context) (any, error) {
			return s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: large, Lease: 4711})
		}},
		{name: "unlock, no key", want: noKey, ask: func(ctx context.Context) (any, error) {
			return s.lock.Unlock(ctx, &v3lockpb.UnlockRequest{})
		}},
		{name: "campaign, unknown lease", want: noLease, ask: func(ctx context.Context) (any, error) {
			return s.election.Campaign(ctx, &v3electionpb.CampaignRequest{Name: []byte("e"), Lease: 4711})
		}},
		{name: "proclaim, nobody leads", want: `Unknown "election: not leader"`, ask: func(ctx context.Context) (any, error) {
			return s.election.Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: held})
		}},
		{name: "proclaim, no key", want: noKey, ask: func(ctx context.Context) (any, error) {
			return s.election.Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: &v3electionpb.LeaderKey{Lease: 4711}})
		}},
		{name: "proclaim, no leader", want: `Unknown "\"leader\" field must be provided"`, ask: func(ctx context.Context) (any, error) {
			return s.election.Proclaim(ctx, &v3electionpb.ProclaimRequest{})
		}},
		{name: "resign, no key", want: noKey, ask: func(ctx context.Context) (any, error) {
			return s.election.Resign(ctx, &v3electionpb.ResignRequest{Leader: &v3electionpb.LeaderKey{}})
		}},
		{name: "leader of none", want: `Unknown "election: no leader"`, ask: func(ctx context.Context) (any, error) {
			return s.election.Leader(ctx, &v3electionpb.LeaderRequest{Name: []byte("e")})
		}},
		{name: "raise the alarm", want: "ok", ask: func(ctx context.Context) (any, error) {
			_, err := pb.NewMaintenanceClient(s.kv.ActiveConnection()).Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 1, Alarm: pb.AlarmType_NOSPACE})
			return "ok", err
		}},
		{name: "lock, no space", want: `Unknown "etcdserver: mvcc: database space exceeded"`, ask: func(ctx context.Context) (any, error) {
			return s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: []byte("l")})
		}},
	})
}

// TestLock_EndsByTheClientsDeadline: two clocks race for it, the client's and the server's, and both say the same. (The client library hides which one was
// first, so that many waits are needed to see the server's word now and then.)
func TestLock_EndsByTheClientsDeadline(t *testing.T) {
	t.Parallel()
	s := servicesOf(t, startCluster(t, 1).members[0])
	ctx, cancel := context.WithTimeout(t.Context(), answerPatience)
	defer cancel()
	if _, err := s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: []byte("l")}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.election.Campaign(ctx, &v3electionpb.CampaignRequest{Name: []byte("e")}); err != nil {
		t.Fatal(err)
	}
	lease, err := s.kv.Grant(ctx, 600)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		if i%2 == 0 {
			_, err = s.lock.Lock(short, &v3lockpb.LockRequest{Name: []byte("l"), Lease: int64(lease.ID)})
		} else {
			_, err = s.election.Campaign(short, &v3electionpb.CampaignRequest{Name: []byte("e"), Lease: int64(lease.ID)})
		}
		cancel()
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("wait %d ended with %v", i, err)
		}
	}
}

// TestCampaign_AgainWithAnotherValue: the header is of the state before the new value was proclaimed, so that who watches from there sees it.
func TestCampaign_AgainWithAnotherValue(t *testing.T) {
	t.Parallel()
	s := servicesOf(t, startCluster(t, 1).members[0])
	ctx, cancel := context.WithTimeout(t.Context(), answerPatience)
	defer cancel()
	lease, err := s.kv.Grant(ctx, 600)
	if err != nil {
		t.Fatal(err)
	}
	var revisions []int64
	for _, value := range []string{"one", "two", "three"} {
		r, err := s.election.Campaign(ctx, &v3electionpb.CampaignRequest{Name: []byte("e"), Lease: int64(lease.ID), Value: []byte(value)})
		if err != nil {
			t.Fatal(err)
		}
		revisions = append(revisions, r.GetHeader().GetRevision(), r.GetLeader().GetRev())
	}
	if want := []int64{2, 2, 2, 2, 3, 2}; !slices.Equal(revisions, want) {
		t.Errorf("header and leader revisions %v, want %v", revisions, want)
	}
}
