package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What leases answer, through every member: those that do not lead pass on what only the leader knows.
func TestLease(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	for i, m := range c.members {
		t.Run(fmt.Sprintf("Grant/%s", m.name), func(t *testing.T) { leaseGrant(t, m, int64(1000*(i+1))) })
		t.Run(fmt.Sprintf("Keys/%s", m.name), func(t *testing.T) { leaseKeys(t, m) })
	}
	t.Run("Leases", func(t *testing.T) { leaseList(t, c) })
	t.Run("KeepAliveAndExpiry", func(t *testing.T) { leaseKeepAliveAndExpiry(t, c) })
}

func grant(t testing.TB, client *clientv3.Client, ttl int64) clientv3.LeaseID {
	t.Helper()
	return must[*clientv3.LeaseGrantResponse](t)(client.Grant(t.Context(), ttl)).ID
}

func timeToLive(t testing.TB, client *clientv3.Client, id clientv3.LeaseID) *clientv3.LeaseTimeToLiveResponse {
	t.Helper()
	return must[*clientv3.LeaseTimeToLiveResponse](t)(client.TimeToLive(t.Context(), id, clientv3.WithAttachedKeys()))
}

// leaseGrant grants through one member. Minimum: one and a half election timeouts, in whole seconds.
func leaseGrant(t *testing.T, m *member, chosen int64) {
	client := newClient(t, m)
	given := must[*clientv3.LeaseGrantResponse](t)(client.Grant(t.Context(), 60))
	if given.ID <= 0 || given.TTL != 60 {
		t.Errorf("granted %d for %d s", given.ID, given.TTL)
	}
	if short := must[*clientv3.LeaseGrantResponse](t)(client.Grant(t.Context(), 1)); short.TTL != 2 || short.ID == given.ID {
		t.Errorf("a lease of 1 s is %d, granted for %d s", short.ID, short.TTL)
	}
	if _, err := client.Grant(t.Context(), 9_000_000_001); !errors.Is(err, rpctypes.ErrLeaseTTLTooLarge) {
		t.Errorf("a lease of more than 9,000,000,000 s: %v", err)
	}
	if answer := grantWithID(t, m, chosen); answer.ID != chosen || answer.TTL != 60 {
		t.Errorf("asked for lease %d: %v", chosen, answer)
	}
	if _, err := tryGrantWithID(t, m, chosen); !errors.Is(rpctypes.Error(err), rpctypes.ErrLeaseExist) {
		t.Errorf("a lease of an id that exists: %v", err)
	}
	for _, id := range []clientv3.LeaseID{given.ID, clientv3.LeaseID(chosen)} {
		must[*clientv3.LeaseRevokeResponse](t)(client.Revoke(t.Context(), id))
		if _, err := client.Revoke(t.Context(), id); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			t.Errorf("a second revocation: %v", err)
		}
		if _, err := client.KeepAliveOnce(t.Context(), id); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			t.Errorf("renewal of a lease that is gone: %v", err)
		}
		if ttl := timeToLive(t, client, id); ttl.TTL != -1 || ttl.GrantedTTL != 0 || ttl.ID != id {
			t.Errorf("time to live of a lease that is gone: %v", ttl)
		}
	}
	grantWithID(t, m, chosen) // free again
}

// leaseKeys attaches keys, moves them, and ends the leases.
func leaseKeys(t *testing.T, m *member) {
	client := newClient(t, m)
	a, b := grant(t, client, 60), grant(t, client, 60)
	attached := func(id clientv3.LeaseID) (keys []string) {
		t.Helper()
		ttl := timeToLive(t, client, id)
		if ttl.GrantedTTL != 60 || ttl.TTL > 60 || ttl.TTL < 30 {
			t.Errorf("a new lease of 60 s has %d of %d s left", ttl.TTL, ttl.GrantedTTL)
		}
		for _, key := range ttl.Keys {
			keys = append(keys, string(key))
		}
		slices.Sort(keys)
		return keys
	}
	expect := func(id clientv3.LeaseID, want ...string) {
		t.Helper()
		if got := attached(id); !slices.Equal(got, want) {
			t.Errorf("the lease has the keys %q, want %q", got, want)
		}
	}
	for i := range 5 {
		put(t, client, fmt.Sprintf("k/%d", i), "x", clientv3.WithLease(a))
	}
	expect(a, "k/0", "k/1", "k/2", "k/3", "k/4")
	put(t, client, "k/0", "moved", clientv3.WithLease(b))
	put(t, client, "k/1", "freed")
	put(t, client, "k/2", "kept", clientv3.WithIgnoreLease())
	del(t, client, "k/3")
	expect(a, "k/2", "k/4")
	expect(b, "k/0")
	if _, err := client.Put(t.Context(), "k/5", "x", clientv3.WithLease(4711)); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("a put with a lease that does not exist: %v", err)
	}
	revoked := must[*clientv3.LeaseRevokeResponse](t)(client.Revoke(t.Context(), a)).Header.Revision
	events := history(t, client, "k/", revoked)
	if len(events) != 2 || events[0].Kv.ModRevision != revoked || events[1].Kv.ModRevision != revoked ||
		events[0].Type != clientv3.EventTypeDelete || events[1].Type != clientv3.EventTypeDelete {
		t.Errorf("the revocation at revision %d, of a lease with two keys, was:\n%s", revoked, tell(events))
	}
	expect(b, "k/0")
	must[*clientv3.LeaseRevokeResponse](t)(client.Revoke(t.Context(), b))
	left := must[*clientv3.GetResponse](t)(client.Get(t.Context(), "k/", clientv3.WithRange("k/9")))
	if left.Count != 1 || string(left.Kvs[0].Key) != "k/1" {
		t.Errorf("left after both leases: %v", left.Kvs)
	}
	// A lease without keys leaves no trace in the revisions.
	empty := grant(t, client, 60)
	before := put(t, client, "k/1", "x")
	if after := must[*clientv3.LeaseRevokeResponse](t)(client.Revoke(t.Context(), empty)).Header.Revision; after != before {
		t.Errorf("the revocation of a lease without keys is revision %d after %d", after, before)
	}
	del(t, client, "k/", clientv3.WithPrefix())
}

func leaseList(t *testing.T, c *cluster) {
	client := newClient(t, c.members...)
	var ids []clientv3.LeaseID
	for range 20 {
		ids = append(ids, grant(t, client, 600))
	}
	must[*clientv3.LeaseRevokeResponse](t)(client.Revoke(t.Context(), ids[7]))
	for _, m := range c.members {
		at := newClient(t, m)
		eventually(t, m.name+" lists the leases", func() error {
			answer, err := at.Leases(t.Context())
			if err != nil {
				return err
			}
			listed := map[clientv3.LeaseID]int{}
			for _, lease := range answer.Leases {
				listed[lease.ID]++
			}
			for i, id := range ids {
				want := 1
				if i == 7 {
					want = 0
				}
				if listed[id] != want {
					return fmt.Errorf("lease %d is listed %d times", i, listed[id])
				}
			}
			return nil
		})
	}
}

// leaseKeepAliveAndExpiry lets one lease run out, while others are kept alive, each through another member.
func leaseKeepAliveAndExpiry(t *testing.T, c *cluster) {
	client := newClient(t, c.members...)
	const keptTTL = 4
	kept := map[string]clientv3.LeaseID{}
	for _, m := range c.members {
		at := newClient(t, m)
		id := grant(t, at, keptTTL)
		put(t, client, "kept/"+m.name, "x", clientv3.WithLease(id))
		kept[m.name] = id
		renewals, err := at.KeepAlive(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if r := <-renewals; r == nil || r.TTL != keptTTL || r.ID != id {
			t.Errorf("the first renewal through %s: %v", m.name, r)
		}
		go func() {
			for range renewals {
			}
		}()
	}
	const keys, ttl = 25, keptTTL + 1
	from := headRevision(t, c)
	granted := time.Now() // at the latest
	id := grant(t, client, ttl)
	for i := range keys {
		put(t, client, fmt.Sprintf("short/%02d", i), "x", clientv3.WithLease(id))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	end := <-client.Watch(ctx, "short/", clientv3.WithPrefix(), clientv3.WithRev(from), clientv3.WithFilterPut())
	if lived := time.Since(granted); lived < ttl*time.Second {
		t.Errorf("the lease of %d s ended after %v", ttl, lived)
	}
	if len(end.Events) != keys {
		t.Fatalf("the end of the lease deleted %d of %d keys at once: %v", len(end.Events), keys, end.Err())
	}
	for i, e := range end.Events {
		if e.Kv.ModRevision != end.Events[0].Kv.ModRevision || string(e.Kv.Key) != fmt.Sprintf("short/%02d", i) {
			t.Errorf("event %d: %s deleted at revision %d, the first at %d", i, e.Kv.Key, e.Kv.ModRevision, end.Events[0].Kv.ModRevision)
		}
	}
	if left := timeToLive(t, client, id); left.TTL != -1 {
		t.Errorf("the lease that ended: %v", left)
	}
	for through, id := range kept {
		if left := timeToLive(t, client, id); left.TTL < 0 || left.GrantedTTL != keptTTL || len(left.Keys) != 1 {
			t.Errorf("the lease of a few seconds that is kept alive through %s: %v", through, left)
		}
	}
}
