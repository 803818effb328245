package e2e

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Any client can open connections; they must not take the descriptors that the member opens its files with.
func TestDescriptors_IdleConnectionsLeaveTheMemberItsFiles(t *testing.T) {
	t.Parallel()
	long(t)
	const limit, idle = 1024, 1200
	m := newCluster(t, 1, "--snapshot-count", "100").members[0]
	m.command = func(name string, args ...string) *exec.Cmd {
		return exec.Command("sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, limit), name}, args...)...)
	}
	m.start()
	m.awaitServing()
	client := newClient(t, m)
	if _, err := client.Put(t.Context(), "first", "v"); err != nil {
		t.Fatal(err)
	}
	for range idle {
		conn, err := net.DialTimeout("tcp", m.client, 10*time.Second)
		if err != nil {
			continue // the kernel's queue is full
		}
		defer conn.Close()
	}
	// Past two segments of 64 MB, and so past snapshots.
	value := strings.Repeat("x", 1<<20)
	for i := range 150 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := client.Put(ctx, "large", value)
		cancel()
		if err != nil {
			t.Fatalf("put %d beside %d idle connections: %v", i, idle, err)
		}
		if i%10 == 9 {
			ops := make([]clientv3.Op, 0, 20)
			for j := range 20 {
				ops = append(ops, clientv3.OpPut(fmt.Sprint(i, "/", j), "v"))
			}
			if _, err := client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if stockEtcd {
		return
	}
	segments, err := filepath.Glob(filepath.Join(m.dir, "member", "wal", "*.log"))
	if err != nil || len(segments) == 0 || strings.HasSuffix(segments[len(segments)-1], "0001.log") && len(segments) == 1 {
		t.Errorf("the log has not gone on to another file: %v, %v", segments, err)
	}
	awaitLine(t, m, `"level":"warn"`, "the limit of file descriptors is low", `"limit":1024`)
	awaitLine(t, m, `"level":"warn"`, "refused a client's connection", `"remote-addr":"127.0.0.1:`)
}
