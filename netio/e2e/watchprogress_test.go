package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The answer to a progress request promises that all up to its revision was sent before; and it knows of every write that this member
// acknowledged.
func watchProgress(t *testing.T, c *cluster, m *member) {
	client, elsewhere := newClient(t, m), newClient(t, c.others(m)[0])
	s := openWatch(t, m)
	s.created(&pb.WatchCreateRequest{Key: []byte("pr/"), RangeEnd: []byte("pr0")})
	bookmark := int64(0)
	awaitProgress := func() {
		t.Helper()
		for {
			r := s.next()
			for _, e := range r.Events {
				if e.Kv.ModRevision <= bookmark {
					t.Errorf("an event of revision %d after progress %d", e.Kv.ModRevision, bookmark)
				}
			}
			if len(r.Events) == 0 {
				if r.Header.Revision < bookmark {
					t.Errorf("progress went from %d back to %d", bookmark, r.Header.Revision)
				}
				bookmark = r.Header.Revision
				if r.WatchId != -1 {
					t.Errorf("the answer to a progress request is for watcher %d", r.WatchId)
				}
				return
			}
		}
	}
	for i := range 100 {
		revision := put(t, client, fmt.Sprintf("pr/%d", i%3), "x")
		if i%2 == 0 {
			revision = put(t, client, "elsewhere", "x") // not watched
		}
		s.requestProgress()
		awaitProgress()
		if bookmark < revision {
			t.Errorf("progress %d, after the write of revision %d was acknowledged", bookmark, revision)
		}
	}
	revision := put(t, elsewhere, "pr/elsewhere", "x")
	eventually(t, "progress reaches a write that another member acknowledged", func() error {
		s.requestProgress()
		awaitProgress()
		if bookmark < revision {
			return fmt.Errorf("%d of %d", bookmark, revision)
		}
		return nil
	})
}

func watchProgressNotify(t *testing.T, m *member) {
	client := newClient(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch := client.Watch(ctx, "idle", clientv3.WithProgressNotify())
	revision := put(t, client, "another", "x")
	deadline := time.After(answerPatience)
	for at := int64(0); at < revision; {
		select {
		case r := <-watch:
			if !r.IsProgressNotify() {
				t.Fatalf("not a progress notification: %v", r)
			}
			at = r.Header.Revision
		case <-deadline:
			t.Fatalf("no notification of revision %d", revision)
		}
	}
}
