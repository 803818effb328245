package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

// namespaceWork puts, deletes and watches in a namespace: within it the prefix is not seen, outside all of it is there.
func namespaceWork(t testing.TB, c *cluster) (*workload, func()) {
	const prefix = "namespace/"
	from := headRevision(t, c)
	raw := newClient(t, c.members...)
	kv, watcher, lessor := namespace.NewKV(raw, prefix), namespace.NewWatcher(raw, prefix), namespace.NewLease(raw, prefix)
	w := newWorkload(t, "namespace")
	grant, err := raw.Grant(t.Context(), 300)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen []*clientv3.Event
	w.group.Go(func() {
		for response := range watcher.Watch(w.ctx, "", clientv3.WithPrefix(), clientv3.WithRev(from)) {
			mu.Lock()
			seen = append(seen, response.Events...)
			mu.Unlock()
		}
	})
	n := 0
	w.loop(func(ctx context.Context) error {
		n++
		key, value := fmt.Sprintf("k%d", n%10), strconv.Itoa(n)
		if _, err := kv.Put(ctx, key, value, clientv3.WithLease(grant.ID)); err != nil {
			return err
		}
		outside, err := raw.Get(ctx, prefix+key)
		if err != nil {
			return err
		}
		if len(outside.Kvs) != 1 || string(outside.Kvs[0].Value) != value {
			t.Errorf("namespace: %s was put inside; outside there is %v", key, outside.Kvs)
		}
		inside, err := kv.Txn(ctx).If(clientv3.Compare(clientv3.Value(key), "=", value)).
			Then(clientv3.OpGet(key), clientv3.OpDelete("k", clientv3.WithPrefix(), clientv3.WithPrevKV())).Commit()
		if err != nil {
			return err
		}
		if !inside.Succeeded || string(inside.Responses[0].GetResponseRange().Kvs[0].Key) != key {
			t.Errorf("namespace: after the put of %s=%s the transaction answers %v", key, value, inside)
		}
		return nil
	})
	return w, func() {
		if ttl, err := lessor.TimeToLive(t.Context(), grant.ID, clientv3.WithAttachedKeys()); err != nil {
			t.Error(err)
		} else if ttl.GrantedTTL != 300 || ttl.TTL <= 0 {
			t.Errorf("namespace: the lease of 300 s has %d of %d left", ttl.TTL, ttl.GrantedTTL)
		}
		var want []*clientv3.Event
		for _, event := range history(t, raw, prefix, from) {
			key, ok := strings.CutPrefix(string(event.Kv.Key), prefix)
			if !ok {
				t.Fatalf("namespace: a key outside: %s", event.Kv.Key)
			}
			event.Kv.Key = []byte(key)
			want = append(want, event)
		}
		if len(seen) == 0 || len(seen) > len(want) || tell(seen) != tell(want[:len(seen)]) {
			t.Errorf("namespace: the watch inside saw %d events, not the first of these %d:\n%s", len(seen), len(want), firstDifference(tell(seen), tell(want)))
		}
	}
}

// firstDifference returns the first lines in which two texts differ.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\ngot  %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d, equal as far as both go", len(g), len(w))
}

// leasingWork counts through two clients that cache what they have a lease on. Each must see at once what the other wrote. Every
// increment is conditional, so the key's version is its value.
func leasingWork(t testing.TB, c *cluster) (*workload, func()) {
	const key = "leasing-data/counter"
	w := newWorkload(t, "leasing")
	var acked atomic.Int64
	read := func(ctx context.Context, kv clientv3.KV, who string) (n, modRevision int64, err error) {
		floor := acked.Load()
		answer, err := kv.Get(ctx, key)
		if err != nil {
			return 0, 0, err
		}
		if len(answer.Kvs) > 0 {
			n, _ = strconv.ParseInt(string(answer.Kvs[0].Value), 10, 64)
			modRevision = answer.Kvs[0].ModRevision
		}
		if n < floor {
			t.Errorf("leasing: %s read %d, but %d had been acknowledged before it asked", who, n, floor)
		}
		return n, modRevision, nil
	}
	for i := range 2 {
		client := newClient(t, c.members...)
		kv, stop, err := leasing.NewKV(client, "leasing-leases/", concurrency.WithTTL(sessionTTL))
		if err != nil {
			t.Fatal(err)
		}
		w.group.Go(func() {
			<-w.ctx.Done()
			stop()
		})
		who := fmt.Sprintf("client %d", i)
		w.loop(func(ctx context.Context) error {
			for range 3 { // so that it comes to own the key, and reads its cache
				if _, _, err := read(ctx, kv, who); err != nil {
					return err
				}
			}
			n, modRevision, err := read(ctx, kv, who)
			if err != nil {
				return err
			}
			done, err := kv.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", modRevision)).
				Then(clientv3.OpPut(key, strconv.FormatInt(n+1, 10))).Commit()
			if err != nil {
				return err
			}
			if !done.Succeeded {
				return errors.New("the other was faster")
			}
			for last := acked.Load(); last < n+1 && !acked.CompareAndSwap(last, n+1); last = acked.Load() {
			}
			return nil
		})
	}
	plain := newClient(t, c.members...)
	w.loop(func(ctx context.Context) error {
		_, _, err := read(ctx, plain, "a client without a cache")
		return err
	})
	return w, func() {
		answer, err := plain.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if kv := answer.Kvs[0]; string(kv.Value) != strconv.FormatInt(kv.Version, 10) {
			t.Errorf("leasing: the counter is %s after %d increments", kv.Value, kv.Version)
		}
	}
}

// mirrorWork copies a range that changes all the time. In the end the copy is equal.
func mirrorWork(t testing.TB, c *cluster) (*workload, func()) {
	const prefix = "mirror/"
	source := newClient(t, c.members...)
	w := newWorkload(t, "mirror")
	change := func(ctx context.Context) error {
		key := func() string { return fmt.Sprintf("%s%02d", prefix, rand.IntN(40)) }
		a, b := key(), key()
		if a == b {
			_, err := source.Delete(ctx, a)
			return err
		}
		_, err := source.Txn(ctx).Then(clientv3.OpPut(a, strconv.Itoa(rand.Int())), clientv3.OpDelete(b)).Commit()
		return err
	}
	for range 30 { // something to begin with
		if err := change(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	type entry struct {
		value       string
		modRevision int64
	}
	target := map[string]entry{}
	var copied atomic.Int64
	syncer := mirror.NewSyncer(newClient(t, c.members...), prefix, 0)
	pages, errs := syncer.SyncBase(t.Context())
	for page := range pages {
		for _, kv := range page.Kvs {
			target[string(kv.Key)] = entry{string(kv.Value), kv.ModRevision}
		}
		copied.Store(page.Header.Revision)
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	following, stopFollowing := context.WithCancel(context.Background())
	t.Cleanup(stopFollowing)
	var follower sync.WaitGroup
	follower.Go(func() {
		for response := range syncer.SyncUpdates(following) {
			if err := response.Err(); err != nil {
				t.Errorf("mirror: %v", err)
				return
			}
			for _, event := range response.Events {
				if event.Type == clientv3.EventTypeDelete {
					delete(target, string(event.Kv.Key))
				} else {
					target[string(event.Kv.Key)] = entry{string(event.Kv.Value), event.Kv.ModRevision}
				}
				copied.Store(event.Kv.ModRevision)
			}
		}
	})
	w.loop(change)
	return w, func() {
		if _, err := source.Put(t.Context(), prefix+"end", ""); err != nil {
			t.Fatal(err)
		}
		answer, err := source.Get(t.Context(), prefix, clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the mirror has the last change", func() error {
			if at, end := copied.Load(), answer.Kvs[len(answer.Kvs)-1].ModRevision; at < end {
				return fmt.Errorf("it is at revision %d of %d", at, end)
			}
			return nil
		})
		stopFollowing()
		follower.Wait()
		for _, kv := range answer.Kvs {
			if got, want := target[string(kv.Key)], (entry{string(kv.Value), kv.ModRevision}); got != want {
				t.Errorf("mirror: %s is %v in the copy, %v in the source", kv.Key, got, want)
			}
		}
		if len(target) != len(answer.Kvs) {
			t.Errorf("mirror: %d keys in the copy, %d in the source", len(target), len(answer.Kvs))
		}
	}
}

// orderingWork reads from any member without asking the leader; what it reads never goes back.
func orderingWork(t testing.TB, c *cluster) (*workload, func()) {
	const key = "ordering/counter"
	w := newWorkload(t, "ordering")
	writer := newClient(t, c.members...)
	n := 0
	w.loop(func(ctx context.Context) error {
		n++ // one request at a time: the values rise with the revisions, but for one put that was given up
		_, err := writer.Put(ctx, key, strconv.Itoa(n))
		return err
	})
	client := newClient(t, c.members...)
	kv := ordering.NewKV(client.KV, ordering.NewOrderViolationSwitchEndpointClosure(client))
	lastRevision, lastModRevision := int64(0), int64(0)
	w.loop(func(ctx context.Context) error {
		answer, err := kv.Get(ctx, key, clientv3.WithSerializable())
		if err != nil {
			return err
		}
		if answer.Header.Revision < lastRevision {
			t.Errorf("ordering: revision %d after %d", answer.Header.Revision, lastRevision)
		}
		lastRevision = answer.Header.Revision
		if len(answer.Kvs) > 0 {
			if answer.Kvs[0].ModRevision < lastModRevision {
				t.Errorf("ordering: the value of revision %d after that of %d", answer.Kvs[0].ModRevision, lastModRevision)
			}
			lastModRevision = answer.Kvs[0].ModRevision
		}
		return nil
	})
	return w, func() {
		if lastModRevision == 0 {
			t.Error("ordering: nothing was read")
		}
	}
}
