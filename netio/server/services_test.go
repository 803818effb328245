package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/api/v3/version"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/node"
)

// Every member serves watches of what was written at any other, and its progress covers what was acknowledged there.
func TestServer_WatchesAtEveryMember(t *testing.T) {
	servers := startThree(t)
	ctx := bounded(t)
	first := dial(t, servers[0])
	watches := make([]clientv3.WatchChan, len(servers))
	clients := make([]*clientv3.Client, len(servers))
	for i, s := range servers {
		clients[i] = dial(t, s)
		watches[i] = clients[i].Watch(ctx, "k", clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithPrevKV())
	}
	const puts = 50
	var last int64
	for i := range puts {
		put, err := first.Put(ctx, fmt.Sprint("k", i%7), fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		last = put.Header.Revision
	}
	for i := range watches {
		if err := clients[i].RequestProgress(ctx); err != nil {
			t.Fatal(err)
		}
		seen := 0
		for r := range watches[i] {
			for _, e := range r.Events {
				if string(e.Kv.Value) != fmt.Sprint(seen) || (e.PrevKv == nil) != (seen < 7) {
					t.Fatalf("member %d: event %d is %v", i, seen, e)
				}
				seen++
			}
			if r.IsProgressNotify() {
				if r.Header.Revision < last || seen != puts {
					t.Errorf("member %d: progress to %d after %d events, but revision %d was acknowledged before it was asked for", i, r.Header.Revision, seen, last)
				}
				break
			}
		}
	}
}

// A lease is kept alive through any member, and ends everywhere when that stops.
func TestServer_LeasesOverFollowers(t *testing.T) {
	servers := startThree(t)
	ctx := bounded(t)
	var leases []clientv3.LeaseID
	for i, s := range servers {
		c := dial(t, s)
		lease, err := c.Grant(ctx, 1)
		if err != nil || lease.TTL != 1 {
			t.Fatalf("member %d: %v, error %v", i, lease, err)
		}
		if _, err := c.Put(ctx, fmt.Sprint("leased", i), "v", clientv3.WithLease(lease.ID)); err != nil {
			t.Fatal(err)
		}
		leases = append(leases, lease.ID)
	}
	for i, s := range servers {
		other := leases[(i+1)%len(leases)]
		if kept, err := dial(t, s).KeepAliveOnce(ctx, other); err != nil || kept.TTL != 1 {
			t.Errorf("member %d: %v, error %v", i, kept, err)
		}
	}
	gone := dial(t, servers[0]).Watch(ctx, "leased", clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithFilterPut())
	for deletes := 0; deletes < len(leases); {
		r := <-gone
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		deletes += len(r.Events)
	}
	for i, s := range servers {
		if _, err := dial(t, s).KeepAliveOnce(ctx, leases[i]); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			t.Errorf("member %d: a lease that has ended: %v", i, err)
		}
	}
}

func TestServer_LocksAndElectionsAcrossMembers(t *testing.T) {
	servers := startThree(t)
	ctx := bounded(t)
	sessions := make([]*concurrency.Session, len(servers))
	for i, s := range servers {
		var err error
		if sessions[i], err = concurrency.NewSession(dial(t, s), concurrency.WithTTL(20)); err != nil {
			t.Fatal(err)
		}
	}
	// The service and the client's own recipe keep each other out.
	mutex := concurrency.NewMutex(sessions[0], "lock")
	if err := mutex.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	granted := make(chan *v3lockpb.LockResponse)
	go func() {
		r, err := v3lockpb.NewLockClient(sessions[1].Client().ActiveConnection()).Lock(ctx, &v3lockpb.LockRequest{Name: []byte("lock"), Lease: int64(sessions[1].Lease())})
		if err != nil {
			t.Error(err)
		}
		granted <- r
	}()
	waiting := sessions[2].Client().Watch(ctx, "lock/", clientv3.WithPrefix(), clientv3.WithRev(1))
	for queued := 0; queued < 2; {
		queued += len((<-waiting).Events)
	}
	select {
	case <-granted:
		t.Error("two hold the lock")
	default:
	}
	if err := mutex.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	if r := <-granted; !strings.HasPrefix(string(r.GetKey()), "lock/") {
		t.Errorf("lock %v", r)
	}
	// Leaders follow each other as their sessions end.
	for i := range sessions {
		e := concurrency.NewElection(sessions[i], "election")
		if err := e.Campaign(ctx, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		if leader, err := e.Leader(ctx); err != nil || string(leader.Kvs[0].Value) != fmt.Sprint(i) {
			t.Errorf("leader %v, error %v", leader, err)
		}
		if err := sessions[i].Close(); err != nil {
			t.Error(err)
		}
	}
}

// A member that is left alone ends the watches of clients that require a leader, and goes on with the others'.
func TestServer_AloneWithoutALeader(t *testing.T) {
	servers := startThree(t)
	ctx := bounded(t)
	c := dial(t, servers[0])
	demanding := c.Watch(clientv3.WithRequireLeader(ctx), "k", clientv3.WithCreatedNotify())
	patient := c.Watch(ctx, "k", clientv3.WithCreatedNotify())
	for _, w := range []clientv3.WatchChan{demanding, patient} {
		if r := <-w; !r.Created {
			t.Fatalf("%v", r)
		}
	}
	for _, s := range servers[1:] {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	for r := range demanding {
		if err := r.Err(); err != nil && !errors.Is(err, rpctypes.ErrNoLeader) {
			t.Errorf("the watch ended with %v", err)
		}
	}
	// The last to leave hands leadership over; this member then leads alone for an election timeout. The watch may have ended before that.
	for leads := true; leads; {
		s, err := c.Status(ctx, c.Endpoints()[0])
		if err != nil {
			t.Fatal(err)
		}
		leads = s.Leader != 0
	}
	// Not with the client's own method, which tries again for seconds.
	kv := pb.NewKVClient(c.ActiveConnection())
	if _, err := kv.Range(clientv3.WithRequireLeader(ctx), &pb.RangeRequest{Key: []byte("k")}); status.Convert(err).Message() != rpctypes.ErrorDesc(rpctypes.ErrGRPCNoLeader) {
		t.Errorf("a read that requires a leader: %v", err)
	}
	if _, err := c.Get(ctx, "k", clientv3.WithSerializable()); err != nil {
		t.Errorf("a local read: %v", err)
	}
	select {
	case r := <-patient:
		t.Errorf("the patient watch: %v", r)
	default:
	}
}

func TestServer_SaysThatItWasRemoved(t *testing.T) {
	s := start(t, loopback(t))
	s.watcher.Failed(node.ErrRemoved)
	select {
	case err := <-s.Failed():
		if !errors.Is(err, node.ErrRemoved) {
			t.Errorf("error %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("nobody is told")
	}
}

// What /metrics counts is what was done.
func TestServer_Metrics(t *testing.T) {
	servers := startThree(t)
	ctx := bounded(t)
	c := dial(t, servers[0])
	w := c.Watch(ctx, "k", clientv3.WithCreatedNotify())
	<-w
	lease, err := c.Grant(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(ctx, "k", "v", clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Txn(ctx).Then(clientv3.OpPut("k", "w", clientv3.WithLease(lease.ID)), clientv3.OpGet("k")).Commit(); err != nil {
		t.Fatal(err)
	}
	for events := 0; events < 3; { // two puts, and the end of the lease
		events += len((<-w).Events)
	}
	if _, err := c.HashKV(ctx, c.Endpoints()[0], 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Compact(ctx, 1000); err == nil {
		t.Error("the future was compacted")
	}
	peer := id(servers[1].watcher.self)
	lines := []string{
		"etcd_debugging_mvcc_watcher_total 1", "etcd_debugging_mvcc_watch_stream_total 1", "etcd_debugging_mvcc_events_total 3",
		"etcd_debugging_mvcc_slow_watcher_total 0", "etcd_debugging_mvcc_pending_events_total 0",
		"etcd_mvcc_put_total 2", "etcd_mvcc_range_total 1", "etcd_mvcc_txn_total 1", "etcd_mvcc_delete_total 0",
		"etcd_mvcc_hash_rev_duration_seconds_count 1", "etcd_mvcc_hash_duration_seconds_count 0",
		"etcd_debugging_lease_ttl_total_sum 1", "etcd_debugging_lease_granted_total 1", "etcd_debugging_lease_revoked_total 1",
		"etcd_server_proposals_failed_total 0", "etcd_server_slow_read_indexes_total 0",
		"etcd_server_slow_apply_total 0", "etcd_server_read_indexes_failed_total 0", "etcd_server_snapshot_apply_in_progress_total 0",
		`etcd_server_range_duration_seconds_count{success="true"} 0`,
		`etcd_server_request_duration_seconds_count{success="true",type="Put"} 1`, `etcd_server_request_duration_seconds_count{success="true",type="Txn"} 1`,
		`etcd_server_request_duration_seconds_count{success="false",type="Compaction"} 1`,
		`etcd_server_client_requests_total{client_api_version="` + version.APIVersion + `",type="stream"} 1`,
		`etcd_server_feature_enabled{name="InitialCorruptCheck",stage="ALPHA"} 0`,
		`etcd_network_known_peers{Local="` + id(servers[0].watcher.self) + `",Remote="` + id(servers[0].watcher.self) + `"} 1`,
		"# TYPE etcd_disk_wal_write_bytes_total gauge",
		`etcd_network_active_peers{Local="` + id(servers[0].watcher.self) + `",Remote="` + peer + `"} 1`,
	}
	positive := []string{
		"etcd_disk_wal_write_duration_seconds_count ", "etcd_disk_backend_commit_duration_seconds_count ",
		`etcd_server_apply_duration_seconds_count{op="Batch",success="true",version="v3"} `,
		"etcd_disk_wal_write_bytes_total ", `etcd_network_peer_sent_bytes_total{To="` + peer + `"} `, `etcd_network_peer_received_bytes_total{From="` + peer + `"} `,
	}
	text := metrics(t, servers[0])
	// The last event is counted once it is handed over, which its reader may be ahead of.
	for !strings.Contains(text, "etcd_debugging_mvcc_events_total 3\n") && ctx.Err() == nil {
		text = metrics(t, servers[0])
	}
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	for _, name := range positive {
		if !strings.Contains(text, "\n"+name) || strings.Contains(text, "\n"+name+"0\n") {
			t.Errorf("/metrics lacks a number for %s", name)
		}
	}
	expired := 0
	for _, s := range servers {
		if strings.Contains(metrics(t, s), "\netcd_server_lease_expired_total 1\n") {
			expired++
		}
	}
	if expired != 1 {
		t.Errorf("%d members say that they, as leader, ended one lease", expired)
	}
}

func metrics(t *testing.T, s *Server) string {
	t.Helper()
	resp, err := http.Get("http://" + s.ClientAddr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
