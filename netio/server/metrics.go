package server

import (
	"fmt"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/statemachine"
)

// timings are the histograms of the disk and the network. They exist before the member does.
type timings struct {
	walSync, walWrite, snapshotSync, snapshotWrite prometheus.Histogram
	roundTrips                                     roundTrips
	applying                                       *applying
	snapshots                                      snapshotSends
}

func newTimings(slowApply time.Duration) *timings {
	// The bounds of the buckets are etcd's, as dashboards expect them: 1 ms to 8 s, and for whole snapshots 10 ms to 655 s.
	histogram := func(name, help string, start float64, count int) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(start, 2, count)})
	}
	return &timings{
		walSync:       histogram("etcd_disk_wal_fsync_duration_seconds", "The latency distributions of fsync called by WAL.", 0.001, 14),
		walWrite:      histogram("etcd_disk_wal_write_duration_seconds", "The latency distributions of write called by WAL.", 0.001, 14),
		snapshotSync:  histogram("etcd_snap_fsync_duration_seconds", "The latency distributions of fsync called by snap.", 0.001, 14),
		snapshotWrite: histogram("etcd_disk_backend_snapshot_duration_seconds", "The latency distribution of backend snapshots.", 0.01, 17),
		roundTrips:    newRoundTrips(),
		applying:      newApplying(slowApply),
		snapshots:     newSnapshotSends(),
	}
}

func (t *timings) wal(d time.Duration)      { t.walSync.Observe(d.Seconds()) }
func (t *timings) snapshot(d time.Duration) { t.snapshotSync.Observe(d.Seconds()) }

func (t *timings) wroteSnapshot(busy time.Duration) { t.snapshotWrite.Observe(busy.Seconds()) }

// wroteLog is told of each write to the log's files.
func (s *Server) wroteLog(t *timings) func(int, time.Duration) {
	return func(n int, took time.Duration) {
		s.walBytes.Add(uint64(n))
		t.walWrite.Observe(took.Seconds())
	}
}

// newRegistry makes the registry that /metrics shows, with the member's metrics. The doors add theirs.
func (s *Server) newRegistry(t *timings) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(t.applying.all...)
	r.MustRegister(descriptorMetrics()...)
	r.MustRegister(featureMetrics())
	r.MustRegister(t.walSync, t.walWrite, t.snapshotSync, t.snapshotWrite, t.roundTrips, t.snapshots.success, t.snapshots.failures, &networkMetrics{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(newMemberMetrics(s)...)
	r.MustRegister(
		constant("etcd_server_version", "Which version is running. 1 for 'server_version' label with current version.", "server_version", call.Version),
		constant("etcd_server_go_version", "Which Go version server is running with. 1 for 'server_go_version' label with current version.", "server_go_version", runtime.Version()),
		constant("etcd_server_id", "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.", "server_id", id(s.watcher.self)),
		&clusterVersion{s},
	)
	return r
}

// constant is a metric that is always 1. What it has to say stands in a label.
func constant(name, help, label, value string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{label: value}})
	g.Set(1)
	return g
}

// newMemberMetrics makes the metrics whose values are read from the member each time somebody asks for them.
func newMemberMetrics(s *Server) (all []prometheus.Collector) {
	gauge := func(name, help string, f func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	status := func(f func(node.Status) bool) func() float64 {
		return func() float64 {
			if f(s.driver.Status()) {
				return 1
			}
			return 0
		}
	}
	view := func(f func(*statemachine.View) int64) func() float64 {
		return func() float64 {
			v := s.driver.View()
			defer v.Release()
			return float64(f(v))
		}
	}
	gauge("etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.", status(func(g node.Status) bool { return g.Leader != 0 }))
	gauge("etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.", status(func(g node.Status) bool { return g.Role == node.Leader }))
	gauge("etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.", view(func(v *statemachine.View) int64 {
		if m, _ := v.Member(uint64(s.watcher.self)); m.Learner {
			return 1
		}
		return 0
	}))
	counter := func(name, help string, f func() uint64) {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(f()) }))
	}
	counter("etcd_server_leader_changes_seen_total", "The number of leader changes seen.", s.watcher.changes.Load)
	told := func(name, help string, f func(node.Status) uint64) {
		counter(name, help, func() uint64 { return f(s.driver.Status()) })
	}
	told("etcd_server_proposals_failed_total", "The total number of failed proposals seen.", func(g node.Status) uint64 { return g.ProposalsFailed })
	told("etcd_server_slow_read_indexes_total", "The total number of pending read indexes not in sync with leader's or timed out read index requests.",
		func(g node.Status) uint64 { return g.SlowReads })
	told("etcd_debugging_lease_granted_total", "The total number of granted leases.", func(g node.Status) uint64 { return g.Leases.Granted })
	told("etcd_debugging_lease_revoked_total", "The total number of revoked leases.", func(g node.Status) uint64 { return g.Leases.Revoked })
	told("etcd_debugging_lease_renewed_total", "The number of renewed leases seen by the leader.", func(g node.Status) uint64 { return g.Leases.Renewed })
	// etcd has had the last metric under both names.
	for _, name := range []string{"etcd_server_lease_expired_total", "etcd_debugging_server_lease_expired_total"} {
		told(name, "The total number of expired leases.", func(g node.Status) uint64 { return g.Leases.Expired })
	}
	told("etcd_server_read_indexes_failed_total", "The total number of failed read indexes seen.", func(g node.Status) uint64 { return g.ReadsFailed })
	told("etcd_server_heartbeat_send_failures_total", "The total number of leader heartbeat send failures (likely overloaded from slow disk).",
		func(g node.Status) uint64 { return g.LateHeartbeats })
	gauge("etcd_server_snapshot_apply_in_progress_total", "1 if the server is applying the incoming snapshot. 0 if none.",
		status(func(g node.Status) bool { return g.Installing }))
	// This is a gauge in etcd, too.
	gauge("etcd_disk_wal_write_bytes_total", "Total number of bytes written in WAL.", func() float64 { return float64(s.walBytes.Load()) })
	gauge("etcd_server_proposals_committed_total", "The total number of consensus proposals committed.", func() float64 { return float64(s.driver.Status().Committed) })
	gauge("etcd_server_proposals_applied_total", "The total number of consensus proposals applied.", func() float64 { return float64(s.driver.Status().Applied) })
	gauge("detcd_pinned_views", "States in use besides the newest one; one that is held for long keeps compaction from freeing memory.", func() float64 { return float64(s.driver.Status().PinnedViews) })
	gauge("detcd_format_version", "The cluster's format version; a member whose build does not read it can't take part.", func() float64 { return float64(s.driver.Status().Format) })
	gauge("etcd_server_proposals_pending", "The current number of pending proposals to commit.", func() float64 { return float64(s.driver.Status().PendingProposals) })
	gauge("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.", func() float64 { return float64(s.quota) })
	gauge("etcd_mvcc_db_total_size_in_bytes", "Total size of the underlying database physically allocated in bytes.", view(func(v *statemachine.View) int64 { total, _ := v.Sizes(); return total }))
	gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Total size of the underlying database logically in use in bytes.", view(func(v *statemachine.View) int64 { _, used := v.Sizes(); return used }))
	gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.", view(func(v *statemachine.View) int64 { return int64(v.Keys()) }))
	gauge("etcd_debugging_mvcc_current_revision", "The current revision of store.", view((*statemachine.View).Revision))
	gauge("etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store.", view((*statemachine.View).CompactRevision))
	return all
}

// clusterVersion shows the version that the cluster has agreed on, as soon as there is one.
type clusterVersion struct{ server *Server }

var clusterVersionDesc = prometheus.NewDesc("etcd_cluster_version",
	"Which version is running. 1 for 'cluster_version' label with current cluster version", []string{"cluster_version"}, nil)

// Describe implements prometheus.Collector.
func (*clusterVersion) Describe(c chan<- *prometheus.Desc) { c <- clusterVersionDesc }

// Collect implements prometheus.Collector.
func (m *clusterVersion) Collect(c chan<- prometheus.Metric) {
	v := m.server.driver.View()
	defer v.Release()
	// etcd shows major and minor only.
	var major, minor int
	if n, _ := fmt.Sscanf(v.ClusterVersion(), "%d.%d", &major, &minor); n == 2 {
		c <- prometheus.MustNewConstMetric(clusterVersionDesc, prometheus.GaugeValue, 1, fmt.Sprintf("%d.%d", major, minor))
	}
}
