package services

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// codeCount is how many gRPC status codes there are.
const codeCount = int(codes.Unauthenticated) + 1

// method counts the calls of one gRPC method. On the hot path counters are plain atomics; they become metrics when somebody asks.
type method struct {
	service, name, kind string // kind as in the metrics: unary, server_stream, bidi_stream
	finite              bool   // a stream that is the answer to one request
	waits               bool   // for other clients: it may take as long as they like
	started             atomic.Uint64
	received, sent      atomic.Uint64
	handled             [codeCount]atomic.Uint64
	duration            prometheus.Histogram // nil unless extensive metrics are on
	// succeeded and failed time requests of the kinds that etcd times by kind; nil: this is none.
	succeeded, failed prometheus.Observer
}

// methods is every method that is served, by its full name.
type methods struct {
	all       []*method
	byName    map[string]*method
	histogram *prometheus.HistogramVec
	requests  *prometheus.HistogramVec
}

// requestKinds are etcd's names for what methods of etcdserverpb ask for, by the methods' names: what goes through the log, and ranges.
var requestKinds = map[string]string{
	"Range": "Range", "Put": "Put", "DeleteRange": "DeleteRange", "Txn": "Txn", "Compact": "Compaction",
	"LeaseGrant": "LeaseGrant", "LeaseRevoke": "LeaseRevoke", "Alarm": "Alarm",
}

var methodLabels = []string{"grpc_method", "grpc_service", "grpc_type"}

var (
	startedDesc  = prometheus.NewDesc("grpc_server_started_total", "Total number of RPCs started on the server.", methodLabels, nil)
	handledDesc  = prometheus.NewDesc("grpc_server_handled_total", "Total number of RPCs completed on the server, regardless of success or failure.", append([]string{"grpc_code"}, methodLabels...), nil)
	receivedDesc = prometheus.NewDesc("grpc_server_msg_received_total", "Total number of RPC stream messages received on the server.", methodLabels, nil)
	sentDesc     = prometheus.NewDesc("grpc_server_msg_sent_total", "Total number of gRPC stream messages sent by the server.", methodLabels, nil)
)

func newMethods(extensive bool) *methods {
	m := &methods{byName: map[string]*method{}}
	m.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "etcd_server_request_duration_seconds",
		Help: "Response latency distribution in seconds for each type.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"type", "success"})
	if extensive {
		m.histogram = prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "grpc_server_handling_seconds", Help: "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.",
			Buckets: prometheus.DefBuckets,
		}, methodLabels)
	}
	return m
}

// add takes in all methods that s serves.
func (m *methods) add(s *grpc.Server) {
	for service, info := range s.GetServiceInfo() {
		for _, i := range info.Methods {
			kind := "unary"
			switch {
			case i.IsClientStream && i.IsServerStream:
				kind = "bidi_stream"
			case i.IsServerStream:
				kind = "server_stream"
			case i.IsClientStream:
				kind = "client_stream"
			}
			n := &method{service: service, name: i.Name, kind: kind,
				finite: kind == "server_stream" && strings.HasPrefix(service, "etcdserverpb."), waits: i.Name == "Lock" || i.Name == "Campaign"}
			if m.histogram != nil {
				n.duration = m.histogram.WithLabelValues(n.name, n.service, n.kind).(prometheus.Histogram)
			}
			if kind, ok := requestKinds[n.name]; ok && strings.HasPrefix(service, "etcdserverpb.") {
				n.succeeded, n.failed = m.requests.WithLabelValues(kind, "true"), m.requests.WithLabelValues(kind, "false")
			}
			m.all = append(m.all, n)
			m.byName["/"+service+"/"+i.Name] = n
		}
	}
}

// Describe implements prometheus.Collector.
func (m *methods) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{startedDesc, handledDesc, receivedDesc, sentDesc} {
		c <- d
	}
	m.requests.Describe(c)
	if m.histogram != nil {
		m.histogram.Describe(c)
	}
}

// Collect implements prometheus.Collector. Every method is there from the start, with zeroes; of the codes only OK and those that
// occurred.
func (m *methods) Collect(c chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, n *atomic.Uint64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n.Load()), labels...)
	}
	for _, n := range m.all {
		count(startedDesc, &n.started, n.name, n.service, n.kind)
		count(receivedDesc, &n.received, n.name, n.service, n.kind)
		count(sentDesc, &n.sent, n.name, n.service, n.kind)
		for code := range n.handled {
			if code == 0 || n.handled[code].Load() > 0 {
				count(handledDesc, &n.handled[code], codes.Code(code).String(), n.name, n.service, n.kind)
			}
		}
	}
	m.requests.Collect(c)
	if m.histogram != nil {
		m.histogram.Collect(c)
	}
}

// finish counts the end of a call.
func (m *method) finish(code codes.Code, took time.Duration) {
	m.handled[min(int(code), codeCount-1)].Add(1)
	if code == codes.OK {
		m.sent.Add(1)
	}
	if m.duration != nil {
		m.duration.Observe(took.Seconds())
	}
	if m.succeeded != nil {
		if code == codes.OK {
			m.succeeded.Observe(took.Seconds())
		} else {
			m.failed.Observe(took.Seconds())
		}
	}
}

// traffic counts what goes through the services, apart from calls.
type traffic struct {
	watchStreams, watchers, slowWatchers, pendingEvents atomic.Int64
	// events counts once for each watcher that was sent one.
	events     atomic.Uint64
	operations operations
	// leaseTTL is of the leases granted to clients of this member, in seconds; the others are how long hashes took.
	leaseTTL, hash, hashKV prometheus.Histogram
	clients                clientVersions
	// ranged and rangeFailed time the reading of ranges, without the wait for a state to read.
	ranged, rangeFailed prometheus.Observer
	rangeTimes          *prometheus.HistogramVec
}

// init makes the histograms; the bounds are etcd's.
func (t *traffic) init() {
	histogram := func(name, help string, start float64, count int) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(start, 2, count)})
	}
	t.leaseTTL = histogram("etcd_debugging_lease_ttl_total", "Bucketed histogram of lease TTLs.", 1, 24)
	t.hash = histogram("etcd_mvcc_hash_duration_seconds", "The latency distribution of storage hash operation.", .01, 15)
	t.rangeTimes = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "etcd_server_range_duration_seconds",
		Help: "The latency distributions of txn.Range", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 20)}, []string{"success"})
	t.ranged, t.rangeFailed = t.rangeTimes.WithLabelValues("true"), t.rangeTimes.WithLabelValues("false")
	t.hashKV = histogram("etcd_mvcc_hash_rev_duration_seconds", "The latency distribution of storage hash by revision operation.", .01, 15)
}

// register adds what the services measure to r.
func (srv *Server) register(r *prometheus.Registry) {
	r.MustRegister(srv.methods)
	t := &srv.traffic
	r.MustRegister(
		t.leaseTTL, t.hash, t.hashKV, t.rangeTimes, &t.clients,
		counter("etcd_debugging_mvcc_events_total", "Total number of events sent by this member.", &t.events),
		counter("etcd_mvcc_range_total", "Total number of ranges seen by this member.", &t.operations.ranges),
		counter("etcd_mvcc_put_total", "Total number of puts seen by this member.", &t.operations.puts),
		counter("etcd_mvcc_delete_total", "Total number of deletes seen by this member.", &t.operations.deletes),
		counter("etcd_mvcc_txn_total", "Total number of txns seen by this member.", &t.operations.txns),
		gauge("etcd_debugging_mvcc_watch_stream_total", "Total number of watch streams.", &t.watchStreams),
		gauge("etcd_debugging_mvcc_watcher_total", "Total number of watchers.", &t.watchers),
		gauge("etcd_debugging_mvcc_slow_watcher_total", "Total number of unsynced slow watchers.", &t.slowWatchers),
		gauge("etcd_debugging_mvcc_pending_events_total", "Total number of pending events to be sent.", &t.pendingEvents),
	)
	r.MustRegister(
		counter("etcd_network_client_grpc_received_bytes_total", "The total number of bytes received from grpc clients.", &srv.codec.Received),
		counter("etcd_network_client_grpc_sent_bytes_total", "The total number of bytes sent to grpc clients.", &srv.codec.Sent),
	)
}

func counter(name, help string, n *atomic.Uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(n.Load()) })
}

func gauge(name, help string, n *atomic.Int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(n.Load()) })
}
