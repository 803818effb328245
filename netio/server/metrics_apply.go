package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// applying measures how long committed entries take to be applied and published. Its methods are called by the one who takes the member's turns.
type applying struct {
	slowFrom    time.Duration // an apply that takes longer is counted in slow
	entry, turn time.Time     // when the present entry began, and when the first entry of this turn did; zero: there is none
	// took is how long an entry took to be applied. published is the time from a turn's first committed entry until all of its entries were
	// published and answered.
	took, published prometheus.Observer
	slow            prometheus.Counter
	all             []prometheus.Collector
}

func newApplying(slowFrom time.Duration) *applying {
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "etcd_server_apply_duration_seconds",
		Help: "The latency distributions of applying an entry.", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 20)}, []string{"version", "op", "success"})
	published := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "etcd_disk_backend_commit_duration_seconds",
		Help: "The latency distributions of making committed entries visible.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)})
	slow := prometheus.NewCounter(prometheus.CounterOpts{Name: "etcd_server_slow_apply_total",
		Help: "The total number of slow apply requests (likely overloaded from slow disk)."})
	return &applying{slowFrom: slowFrom, took: took.WithLabelValues("v3", "Batch", "true"), published: published, slow: slow, all: []prometheus.Collector{took, published, slow}}
}

func (a *applying) begin() {
	a.entry = time.Now()
	if a.turn.IsZero() {
		a.turn = a.entry
	}
}

func (a *applying) end() {
	d := time.Since(a.entry)
	a.took.Observe(d.Seconds())
	if d > a.slowFrom {
		a.slow.Inc()
	}
}

// turnEnded is the driver's ObserveTurn.
func (a *applying) turnEnded(int, time.Duration) {
	if !a.turn.IsZero() {
		a.published.Observe(time.Since(a.turn).Seconds())
		a.turn = time.Time{}
	}
}
