package e2e

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// TestMetrics_NamesThatAlertsRead: the names that etcd's own alerts and dashboards query are there, with etcd's types.
func TestMetrics_NamesThatAlertsRead(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	client := newClient(t, c.members[0])
	if _, err := client.Put(t.Context(), "a", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get("http://" + c.members[0].client + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	onLinux := ""
	if runtime.GOOS == "linux" {
		onLinux = " os_fd_used os_fd_limit process_open_fds process_resident_memory_bytes"
	}
	for kind, names := range map[string]string{
		"gauge": `etcd_server_has_leader etcd_server_is_leader etcd_server_is_learner etcd_server_proposals_committed_total etcd_server_proposals_applied_total
			etcd_server_proposals_pending etcd_server_quota_backend_bytes etcd_server_version etcd_cluster_version etcd_server_feature_enabled
			etcd_server_snapshot_apply_in_progress_total etcd_mvcc_db_total_size_in_bytes etcd_mvcc_db_total_size_in_use_in_bytes
			etcd_disk_wal_write_bytes_total etcd_network_known_peers` + onLinux,
		"counter": `etcd_server_leader_changes_seen_total etcd_server_proposals_failed_total etcd_server_slow_apply_total etcd_server_slow_read_indexes_total
			etcd_server_read_indexes_failed_total etcd_server_heartbeat_send_failures_total etcd_server_client_requests_total
			etcd_network_client_grpc_received_bytes_total etcd_network_client_grpc_sent_bytes_total grpc_server_handled_total grpc_server_started_total`,
		"histogram": `etcd_disk_wal_fsync_duration_seconds etcd_disk_wal_write_duration_seconds etcd_disk_backend_commit_duration_seconds
			etcd_disk_backend_snapshot_duration_seconds etcd_server_apply_duration_seconds etcd_server_range_duration_seconds
			etcd_server_request_duration_seconds etcd_snap_fsync_duration_seconds`,
	} {
		for _, name := range strings.Fields(names) {
			if !strings.Contains(string(text), "\n# TYPE "+name+" "+kind+"\n") {
				t.Errorf("/metrics has no %s %s", kind, name)
			}
		}
	}
}
