package e2e

import (
	"context"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// The checks that the crash tests rest on notice what they are for.
func TestChecks_NoticeLossAndDifference(t *testing.T) {
	t.Parallel()
	a, b := startCluster(t, 1), startCluster(t, 1)
	acked := putSome(t, a, "check", 5)
	putSome(t, b, "check", 5)
	atA, atB := newClient(t, a.members...), newClient(t, b.members...)
	at := func(c *cluster) int64 { return headRevision(t, c) }

	problems, digest := dump(t, atA, at(a), acked)
	if len(problems) != 0 {
		t.Errorf("nothing is lost, but: %q", problems)
	}
	if _, same := dump(t, atB, at(b), acked); same != digest {
		t.Errorf("equal contents have the digests %s and %s", digest, same)
	}
	if problems, _ := dump(t, atA, at(a), map[string]string{"check/0001": "value of 1", "check/9999": "lost"}); len(problems) != 1 {
		t.Errorf("one key is lost: %q", problems)
	}
	if problems, _ := dump(t, atA, at(a), map[string]string{"check/0001": "another value"}); len(problems) != 1 {
		t.Errorf("one value is wrong: %q", problems)
	}
	// The same contents by another way: versions and revisions differ.
	for _, c := range []*clientv3.Client{atA, atB} {
		if _, err := c.Put(context.Background(), "check/0003", "x"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := atB.Put(context.Background(), "check/0003", "x"); err != nil {
		t.Fatal(err)
	}
	_, one := dump(t, atA, at(a), nil)
	_, other := dump(t, atB, at(b), nil)
	if one == other {
		t.Error("members of different history have one digest")
	}
}
