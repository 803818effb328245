package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestNoLeader_Answers: what each call says where two of three members are gone, at once or when the member's patience has ended (7 s).
func TestNoLeader_Answers(t *testing.T) {
	long(t)
	t.Parallel()
	c := startCluster(t, 3)
	m := c.members[0]
	conn := dialRaw(t, m)
	kv, lease, cluster, maintenance := pb.NewKVClient(conn), pb.NewLeaseClient(conn), pb.NewClusterClient(conn), pb.NewMaintenanceClient(conn)
	for _, other := range c.others(m) {
		other.kill()
	}
	eventually(t, "the member knows no leader", func() error {
		s, err := m.status()
		if err == nil && s.Leader != 0 {
			err = fmt.Errorf("it knows %x", s.Leader)
		}
		return err
	})
	const (
		notProposed = `DeadlineExceeded "context deadline exceeded"`
		noLeader    = `Unavailable "etcdserver: no leader"`
		timedOut    = `Unavailable "etcdserver: request timed out"`
	)
	key := []byte("k")
	together(t, []probe{
		{name: "put", want: notProposed, ask: func(ctx context.Context) (any, error) {
			return kv.Put(ctx, &pb.PutRequest{Key: key})
		}},
		{name: "compact", want: notProposed, ask: func(ctx context.Context) (any, error) {
			return kv.Compact(ctx, &pb.CompactionRequest{Revision: 1})
		}},
		{name: "grant", want: notProposed, ask: func(ctx context.Context) (any, error) {
			return lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 60})
		}},
		{name: "alarms", want: notProposed, ask: func(ctx context.Context) (any, error) {
			return maintenance.Alarm(ctx, &pb.AlarmRequest{})
		}},
		{name: "range", want: timedOut, ask: func(ctx context.Context) (any, error) {
			return kv.Range(ctx, &pb.RangeRequest{Key: key})
		}},
		{name: "members", want: timedOut, ask: func(ctx context.Context) (any, error) {
			return cluster.MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
		}},
		{name: "time to live", want: noLeader, ask: func(ctx context.Context) (any, error) {
			return lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: 7})
		}},
		{name: "keep alive", want: noLeader, ask: func(ctx context.Context) (any, error) {
			stream, err := lease.LeaseKeepAlive(ctx)
			if err == nil {
				err = stream.Send(&pb.LeaseKeepAliveRequest{ID: 7})
			}
			if err != nil {
				return nil, err
			}
			return stream.Recv()
		}},
		// etcd lists what the member happens to know.
		{name: "leases", want: "ok", ours: timedOut, ask: func(ctx context.Context) (any, error) {
			_, err := lease.LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
			return "ok", err
		}},
		{name: "serializable range", want: "ok", ask: func(ctx context.Context) (any, error) {
			_, err := kv.Range(ctx, &pb.RangeRequest{Key: key, Serializable: true})
			return "ok", err
		}},
		{name: "readyz", want: "503 [-]linearizable_read failed: etcdserver: request timed out", ask: func(ctx context.Context) (any, error) {
			return httpLine(ctx, m, "/readyz/linearizable_read?verbose")
		}},
		{name: "health", want: `503 {"health":"false","reason":"RAFT NO LEADER"}`, ask: func(ctx context.Context) (any, error) {
			return httpLine(ctx, m, "/health")
		}},
		{name: "status", want: `["etcdserver: no leader"]`, ask: func(ctx context.Context) (any, error) {
			r, err := maintenance.Status(ctx, &pb.StatusRequest{})
			return fmt.Sprintf("%q", r.GetErrors()), err
		}},
	})
}

// httpLine is the status of a page, and its first line.
func httpLine(ctx context.Context, m *member, path string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.client+path, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	line, _, _ := strings.Cut(string(text), "\n")
	return fmt.Sprint(answer.StatusCode, " ", line), err
}

// together makes the calls of probes at once.
func together(t *testing.T, probes []probe) {
	t.Helper()
	var all sync.WaitGroup
	for _, p := range probes {
		all.Go(func() { runProbes(t, []probe{p}) })
	}
	all.Wait()
}
