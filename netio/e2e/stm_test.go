package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// stmWork transfers money between accounts. The sum is the same in every transaction that reads all, and at every revision.
func stmWork(t testing.TB, c *cluster) (*workload, func()) {
	const accounts, each = 6, 100
	account := func(i int) string { return fmt.Sprintf("bank/%d", i) }
	w := newWorkload(t, "stm")
	from := headRevision(t, c)
	client := newClient(t, c.members...)
	var opening []clientv3.Op
	for i := range accounts {
		opening = append(opening, clientv3.OpPut(account(i), strconv.Itoa(each)))
	}
	if _, err := client.Txn(t.Context()).Then(opening...).Commit(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		client := newClient(t, c.members...)
		w.loop(func(ctx context.Context) error {
			a, b, amount := rand.IntN(accounts), rand.IntN(accounts), rand.IntN(20)
			_, err := concurrency.NewSTM(client, func(s concurrency.STM) error {
				from, _ := strconv.Atoi(s.Get(account(a)))
				s.Put(account(a), strconv.Itoa(from-amount))
				to, _ := strconv.Atoi(s.Get(account(b))) // after the put: a may be b
				s.Put(account(b), strconv.Itoa(to+amount))
				return nil
			}, concurrency.WithAbortContext(ctx))
			return err
		})
	}
	w.loop(func(ctx context.Context) error {
		sum := 0
		_, err := concurrency.NewSTM(client, func(s concurrency.STM) error {
			sum = 0
			for i := range accounts {
				n, _ := strconv.Atoi(s.Get(account(i)))
				sum += n
			}
			return nil
		}, concurrency.WithAbortContext(ctx), concurrency.WithIsolation(concurrency.SerializableSnapshot))
		if err == nil && sum != accounts*each {
			t.Errorf("stm: a transaction saw the sum %d", sum)
		}
		return err
	})
	return w, func() {
		balance, total := map[string]int{}, 0
		for _, group := range revisions(t, history(t, client, "bank/", from)) {
			for _, event := range group {
				n, _ := strconv.Atoi(string(event.Kv.Value))
				total += n - balance[string(event.Kv.Key)]
				balance[string(event.Kv.Key)] = n
			}
			if total != accounts*each {
				t.Errorf("stm: at revision %d the sum is %d", group[0].Kv.ModRevision, total)
			}
		}
	}
}
