package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/detcd/detcd/node/port"
)

// networkMetrics shows what the transport knows of each peer. It asks the transport each time somebody asks for metrics. Bytes include the framing.
type networkMetrics struct{ server *Server }

var (
	peerSentDesc     = prometheus.NewDesc("etcd_network_peer_sent_bytes_total", "The total number of bytes sent to peers.", []string{"To"}, nil)
	peerReceivedDesc = prometheus.NewDesc("etcd_network_peer_received_bytes_total", "The total number of bytes received from peers.", []string{"From"}, nil)
	peerFailuresDesc = prometheus.NewDesc("etcd_network_peer_sent_failures_total", "The total number of send failures from peers.", []string{"To"}, nil)
	knownPeersDesc   = prometheus.NewDesc("etcd_network_known_peers", "The current number of known peers.", []string{"Local", "Remote"}, nil)
	activePeersDesc  = prometheus.NewDesc("etcd_network_active_peers", "The current number of active peer connections.", []string{"Local", "Remote"}, nil)
)

// Describe implements prometheus.Collector.
func (*networkMetrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{peerSentDesc, peerReceivedDesc, peerFailuresDesc, knownPeersDesc, activePeersDesc} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (m *networkMetrics) Collect(c chan<- prometheus.Metric) {
	self := id(m.server.watcher.self)
	c <- prometheus.MustNewConstMetric(knownPeersDesc, prometheus.GaugeValue, 1, self, self) // etcd counts itself
	for _, p := range m.server.peers.Peers() {
		peer, active := id(p.ID), 0.0
		if p.Active() {
			active = 1
		}
		c <- prometheus.MustNewConstMetric(peerSentDesc, prometheus.CounterValue, float64(p.SentBytes), peer)
		c <- prometheus.MustNewConstMetric(peerReceivedDesc, prometheus.CounterValue, float64(p.ReceivedBytes), peer)
		c <- prometheus.MustNewConstMetric(peerFailuresDesc, prometheus.CounterValue, float64(p.DroppedMessages), peer)
		c <- prometheus.MustNewConstMetric(knownPeersDesc, prometheus.GaugeValue, 1, self, peer)
		c <- prometheus.MustNewConstMetric(activePeersDesc, prometheus.GaugeValue, active, self, peer)
	}
}

// roundTrips is the histogram of the transport's pings; the bounds are etcd's, 0.1 ms to 3.3 s.
type roundTrips struct{ *prometheus.HistogramVec }

func newRoundTrips() roundTrips {
	return roundTrips{prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "etcd_network_peer_round_trip_time_seconds",
		Help: "Round-Trip-Time histogram between peers", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}, []string{"To"})}
}

func (r roundTrips) observe(peer port.MemberID, took time.Duration) {
	r.WithLabelValues(id(peer)).Observe(took.Seconds())
}

// snapshotSends counts the snapshots that followers were sent.
type snapshotSends struct{ success, failures *prometheus.CounterVec }

func newSnapshotSends() snapshotSends {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"To"})
	}
	return snapshotSends{
		success:  counter("etcd_network_snapshot_send_success", "Total number of successful snapshot sends"),
		failures: counter("etcd_network_snapshot_send_failures", "Total number of snapshot send failures"),
	}
}

func (s snapshotSends) observe(to port.MemberID, there bool) {
	if there {
		s.success.WithLabelValues(id(to)).Inc()
	} else {
		s.failures.WithLabelValues(id(to)).Inc()
	}
}
