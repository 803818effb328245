package e2e

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func tryGrantWithID(t testing.TB, m *member, id int64) (*pb.LeaseGrantResponse, error) {
	t.Helper()
	client := newClient(t, m)
	if _, err := client.Status(t.Context(), m.client); err != nil { // the connection is made
		t.Fatal(err)
	}
	return pb.NewLeaseClient(client.ActiveConnection()).LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: id, TTL: 60})
}

// grantWithID grants a lease of a chosen id, which the stock client does not offer.
func grantWithID(t testing.TB, m *member, id int64) *pb.LeaseGrantResponse {
	t.Helper()
	return must[*pb.LeaseGrantResponse](t)(tryGrantWithID(t, m, id))
}

// keptAlive is a lease with a key, kept alive by the stock client.
type keptAlive struct {
	id       clientv3.LeaseID
	key      string
	client   *clientv3.Client
	renewals *workload // a step is a renewal
}

func keepAlive(t testing.TB, client *clientv3.Client, key string, ttl int64) *keptAlive {
	t.Helper()
	k := &keptAlive{id: grant(t, client, ttl), key: key, client: client, renewals: newWorkload(t, "renewals of "+key)}
	put(t, client, key, "x", clientv3.WithLease(k.id))
	renewals, err := client.KeepAlive(k.renewals.ctx, k.id)
	if err != nil {
		t.Fatal(err)
	}
	k.renewals.group.Go(func() {
		for r := range renewals {
			if r.TTL != ttl {
				t.Errorf("%s: renewed for %d s instead of %d", key, r.TTL, ttl)
			}
			k.renewals.steps.Add(1)
		}
		if k.renewals.ctx.Err() == nil {
			t.Errorf("%s: the lease that is kept alive has ended", key)
		}
	})
	return k
}

// lives checks that the key is as it was put.
func (k *keptAlive) lives(t testing.TB) {
	t.Helper()
	answer := must[*clientv3.GetResponse](t)(k.client.Get(t.Context(), k.key))
	if len(answer.Kvs) != 1 || answer.Kvs[0].Version != 1 || answer.Kvs[0].Lease != int64(k.id) {
		t.Errorf("%s, whose lease is kept alive: %v", k.key, answer.Kvs)
	}
}

// Through changes of leaders leases live on with what they were granted: kept alive they do not end, and otherwise they do, but not early.
func TestLease_LeaderKilled(t *testing.T) {
	long(t)
	t.Parallel()
	c := startCluster(t, 3)
	rounds := 1
	if full {
		rounds = 5
	}
	client := newClient(t, c.members...)
	kept := keepAlive(t, client, "kept", 6)
	lasting := grant(t, client, 1000)
	put(t, client, "lasting", "x", clientv3.WithLease(lasting))
	for round := range rounds {
		const ttl = 3
		key := fmt.Sprintf("short/%d", round)
		granted := time.Now() // at the latest
		put(t, client, key, "x", clientv3.WithLease(grant(t, client, ttl)))
		leader := c.leader()
		leader.kill()
		kept.renewals.awaitSteps(2)
		var gone time.Duration
		eventually(t, key+" is gone", func() error {
			ctx, cancel := context.WithTimeout(t.Context(), answerPatience)
			defer cancel()
			answer, err := client.Get(ctx, key)
			gone = time.Since(granted)
			if err == nil && answer.Count != 0 {
				err = fmt.Errorf("still there after %v", gone)
			}
			return err
		})
		if gone < ttl*time.Second {
			t.Errorf("the lease of %d s ended after %v", ttl, gone)
		}
		kept.lives(t)
		leader.start()
		leader.awaitServing()
		for _, m := range c.members {
			if left := timeToLive(t, newClient(t, m), lasting); left.GrantedTTL != 1000 || left.TTL > 1000 || left.TTL < 800 || len(left.Keys) != 1 {
				t.Errorf("a lease of 1000 s, asked for at %s: %v", m.name, left)
			}
		}
	}
}

// A leader that stood still, and believes when it wakes that it leads and that all leases have run out, ends none of them and renews none.
func TestLease_LeaderPaused(t *testing.T) {
	long(t)
	t.Parallel()
	const ttl = 4
	c := startCluster(t, 3)
	old := c.leader()
	client := newClient(t, c.others(old)...)
	kept := keepAlive(t, client, "kept", ttl)
	left := grant(t, client, ttl) // nobody renews it
	put(t, client, "left", "x", clientv3.WithLease(left))
	atOld := newClient(t, old)
	must[*clientv3.LeaseTimeToLiveResponse](t)(atOld.TimeToLive(t.Context(), kept.id)) // its connection is made

	old.signal(syscall.SIGSTOP)
	begin := time.Now()
	eventually(t, "the lease that nobody renews has ended at the new leader", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), answerPatience)
		defer cancel()
		answer, err := client.Get(ctx, "left")
		if err == nil && answer.Count > 0 {
			err = errors.New("its key is still there")
		}
		if err == nil && time.Since(begin) < ttl*time.Second+time.Second {
			err = errors.New("the other leases have not run out by the old leader's clock")
		}
		return err
	})
	kept.renewals.awaitSteps(1)
	renewal := make(chan error, 1) // it waits in the old leader's socket
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), answerPatience)
		defer cancel()
		_, err := atOld.KeepAliveOnce(ctx, left)
		renewal <- err
	}()
	time.Sleep(200 * time.Millisecond) // for the request to get there
	old.signal(syscall.SIGCONT)
	if err := <-renewal; err == nil {
		t.Error("the old leader renewed a lease that had ended")
	} else if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Logf("the old leader refused to renew: %v", err)
	}
	kept.renewals.awaitSteps(3)
	awaitRevision(t, atOld, old, headRevision(t, c))
	kept.lives(t)
	if events := history(t, client, kept.key, 1); len(events) != 1 {
		t.Errorf("%s was put once, and this happened:\n%s", kept.key, tell(events))
	}
	for _, m := range c.members {
		ttlAt := timeToLive(t, newClient(t, m), kept.id)
		if ttlAt.TTL < 0 || len(ttlAt.Keys) != 1 {
			t.Errorf("%s says of the lease that is kept alive: %v", m.name, ttlAt)
		}
	}
}
