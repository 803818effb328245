package e2e

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// The stock client's recipes keep their promises while leaders are killed and come back. They run at the same time, each on its own keys.
func TestClientLibraries_LeadersKilled(t *testing.T) {
	long(t)
	t.Parallel()
	rounds := 2
	if full {
		rounds = 8
	}
	c := startCluster(t, 3)
	from := headRevision(t, c)
	recipes := []func(testing.TB, *cluster) (*workload, func()){
		mutexWork, electionWork, stmWork, namespaceWork, leasingWork, mirrorWork, orderingWork,
	}
	var loads []*workload
	var checks []func()
	for _, recipe := range recipes {
		w, check := recipe(t, c)
		loads, checks = append(loads, w), append(checks, check)
	}
	killLeaders(t, c, rounds, loads...)
	for _, check := range checks {
		check()
	}
	equalMembers(t, c, nil)
	if at := headRevision(t, c); at < from {
		t.Errorf("the revision went from %d back to %d", from, at)
	}
}

// sessions gives a worker a session. After a step of unknown outcome the session is given up for a new one: a delete that is still
// on its way names a key by its lease, and must not meet a key that was put later.
type sessions struct {
	t       testing.TB
	client  *clientv3.Client
	current *concurrency.Session
}

const sessionTTL = 20 // seconds; longer than any outage here

func (s *sessions) get() (*concurrency.Session, error) {
	if s.current != nil && s.current.Ctx().Err() == nil {
		return s.current, nil
	}
	session, err := concurrency.NewSession(s.client, concurrency.WithTTL(sessionTTL))
	if err == nil {
		s.current = session
	}
	return session, err
}

// giveUp ends the session and its lease, so that nobody waits for its keys.
func (s *sessions) giveUp(ctx context.Context) {
	if s.current == nil {
		return
	}
	id := s.current.Lease()
	s.current.Orphan()
	s.current = nil
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := s.client.Revoke(one, id)
		cancel()
		if err == nil || errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return
		}
	}
}

// alone counts who is inside a section that only one may be in, and complains about a second whose session lives.
type alone struct{ inside atomic.Int64 }

func (a *alone) enter(t testing.TB, what string, s *concurrency.Session) (leave func()) {
	if n := a.inside.Add(1); n > 1 && s.Ctx().Err() == nil {
		t.Errorf("%s: %d are inside at once", what, n)
	}
	return sync.OnceFunc(func() { a.inside.Add(-1) })
}

// mutexWork increments a counter under a mutex: read, then write, fenced by the mutex' own key. Two holders at once would write the
// same number twice.
func mutexWork(t testing.TB, c *cluster) (*workload, func()) {
	const counter, number = "mutex/counter", "mutex/number/%06d"
	w := newWorkload(t, "mutex")
	var holders alone
	var mu sync.Mutex
	acked := map[int]string{}
	for worker := range 3 {
		s := &sessions{t: t, client: newClient(t, c.members...)}
		attempts := 0
		step := func(ctx context.Context) error {
			session, err := s.get()
			if err != nil {
				return err
			}
			m := concurrency.NewMutex(session, "mutex/lock")
			if err := m.Lock(ctx); err != nil {
				return err
			}
			leave := holders.enter(t, "mutex", session)
			defer leave()
			answer, err := s.client.Get(ctx, counter)
			if err != nil {
				return err
			}
			n := 1
			if len(answer.Kvs) > 0 {
				n, _ = strconv.Atoi(string(answer.Kvs[0].Value))
				n++
			}
			attempts++
			id := fmt.Sprintf("worker %d, attempt %d", worker, attempts)
			done, err := s.client.Txn(ctx).If(m.IsOwner()).
				Then(clientv3.OpPut(counter, strconv.Itoa(n)), clientv3.OpPut(fmt.Sprintf(number, n), id)).Commit()
			if err != nil {
				return err
			}
			if !done.Succeeded {
				if session.Ctx().Err() == nil {
					t.Errorf("mutex: %s lost the lock that its living session holds", id)
				}
				return errors.New("not the owner")
			}
			mu.Lock()
			acked[n] = id
			mu.Unlock()
			leave() // before the next holder can come
			return m.Unlock(ctx)
		}
		w.loop(func(ctx context.Context) error {
			err := step(ctx)
			if err != nil {
				s.giveUp(ctx)
			}
			return err
		})
	}
	return w, func() {
		client := newClient(t, c.members...)
		answer, err := client.Get(t.Context(), "mutex/number/", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		for i, kv := range answer.Kvs {
			if want := fmt.Sprintf(number, i+1); string(kv.Key) != want || kv.Version != 1 {
				t.Errorf("mutex: number %d is %s, written %d times, by %s", i+1, kv.Key, kv.Version, kv.Value)
			} else if id, ok := acked[i+1]; ok && id != string(kv.Value) {
				t.Errorf("mutex: %s was acknowledged for %s, but the key says %s", want, id, kv.Value)
			}
		}
		if len(answer.Kvs) < len(acked) {
			t.Errorf("mutex: %d numbers for %d acknowledged increments", len(answer.Kvs), len(acked))
		}
	}
}

// electionWork has candidates win, proclaim and resign. The history of the keys says who led at every revision.
func electionWork(t testing.TB, c *cluster) (*workload, func()) {
	const name = "election"
	from := headRevision(t, c)
	w := newWorkload(t, name)
	var leaders alone
	var mu sync.Mutex
	proclaimed := map[int64]string{} // revision of a proclamation, key of who made it
	for candidate := range 3 {
		s := &sessions{t: t, client: newClient(t, c.members...)}
		step := func(ctx context.Context) error {
			session, err := s.get()
			if err != nil {
				return err
			}
			e := concurrency.NewElection(session, name)
			if err := e.Campaign(ctx, fmt.Sprintf("candidate %d", candidate)); err != nil {
				return err
			}
			leave := leaders.enter(t, name, session)
			defer leave()
			for i := range 2 {
				if err := e.Proclaim(ctx, fmt.Sprintf("candidate %d says %d", candidate, i)); err != nil {
					if errors.Is(err, concurrency.ErrElectionNotLeader) && session.Ctx().Err() == nil {
						t.Errorf("election: candidate %d lost the election that its living session won", candidate)
					}
					return err
				}
				mu.Lock()
				proclaimed[e.Header().Revision] = e.Key()
				mu.Unlock()
			}
			leave()
			return e.Resign(ctx)
		}
		w.loop(func(ctx context.Context) error {
			err := step(ctx)
			if err != nil {
				s.giveUp(ctx)
			}
			return err
		})
	}
	observed := observeElection(t, w, c, name)
	return w, func() {
		checkElection(t, newClient(t, c.members...), name+"/", from, proclaimed)
		if observed.Load() == 0 {
			t.Error("election: the observer saw no leader")
		}
	}
}

// observeElection follows the election until w stops: a leader that is seen was elected after every one seen before.
func observeElection(t testing.TB, w *workload, c *cluster, name string) *atomic.Int64 {
	client := newClient(t, c.members...)
	session, err := concurrency.NewSession(client, concurrency.WithTTL(sessionTTL))
	if err != nil {
		t.Fatal(err)
	}
	var seen atomic.Int64
	w.group.Go(func() {
		created := int64(0)
		for w.ctx.Err() == nil { // an observation may end when its member does; then begin anew
			for answer := range concurrency.NewElection(session, name).Observe(w.ctx) {
				kv := answer.Kvs[0]
				if kv.CreateRevision < created {
					t.Errorf("election: the observer saw the leader of revision %d after that of %d", kv.CreateRevision, created)
				}
				created = kv.CreateRevision
				seen.Add(1)
			}
		}
	})
	return &seen
}

// checkElection replays the history: the leader is whose key is the oldest.
func checkElection(t testing.TB, client *clientv3.Client, prefix string, from int64, proclaimed map[int64]string) {
	created := map[string]int64{}
	checked := 0
	for _, group := range revisions(t, history(t, client, prefix, from)) {
		for _, event := range group {
			if event.Type == clientv3.EventTypeDelete {
				delete(created, string(event.Kv.Key))
			} else {
				created[string(event.Kv.Key)] = event.Kv.CreateRevision
			}
		}
		leader, oldest := "", int64(0)
		for key, revision := range created {
			if leader == "" || revision < oldest {
				leader, oldest = key, revision
			}
		}
		if key, ok := proclaimed[group[0].Kv.ModRevision]; ok {
			checked++
			if key != leader {
				t.Errorf("election: at revision %d %s proclaimed, but the leader was %s", group[0].Kv.ModRevision, key, leader)
			}
		}
	}
	if checked != len(proclaimed) || checked == 0 {
		t.Errorf("election: the history has %d of %d acknowledged proclamations", checked, len(proclaimed))
	}
}
