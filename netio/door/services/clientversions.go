package services

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"
)

// clientVersions counts requests by what clients say to be. The zero value counts nothing yet.
type clientVersions struct {
	known sync.Map // from a version to its *clientCounts
	count atomic.Int64
}

// clientCounts are those of one version.
type clientCounts struct{ unary, stream atomic.Uint64 }

// A client may say anything, and each version is a line of metrics for ever. So clientVersionsMax bounds how many are told apart, and clientVersionBytesMax how
// long one is. What is beyond the bounds or is no version counts as the version "unknown", as etcd calls it. So do clients that say nothing.
const (
	clientVersionsMax, clientVersionBytesMax = 64, 32
	unknownVersion                           = "unknown"
)

var clientRequestsDesc = prometheus.NewDesc("etcd_server_client_requests_total", "The total number of client requests per client version.",
	[]string{"type", "client_api_version"}, nil)

// of returns the counters for a request.
func (v *clientVersions) of(ctx context.Context) *clientCounts {
	version := unknownVersion
	if said := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataClientAPIVersionKey); len(said) > 0 && said[0] != "" {
		version = said[0]
	}
	if c, ok := v.known.Load(version); ok {
		return c.(*clientCounts)
	}
	if v.count.Load() >= clientVersionsMax || !isVersion(version) {
		version = unknownVersion
	}
	c, found := v.known.LoadOrStore(version, &clientCounts{})
	if !found {
		v.count.Add(1)
	}
	return c.(*clientCounts)
}

// isVersion tells whether a text may be a version: digits and letters, and what stands between them.
func isVersion(text string) bool {
	if len(text) > clientVersionBytesMax {
		return false
	}
	for _, c := range []byte(text) {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '.', c == '-', c == '+', c == '_':
		default:
			return false
		}
	}
	return true
}

// Describe implements prometheus.Collector.
func (*clientVersions) Describe(c chan<- *prometheus.Desc) { c <- clientRequestsDesc }

// Collect implements prometheus.Collector. Only what was counted is shown.
func (v *clientVersions) Collect(c chan<- prometheus.Metric) {
	v.known.Range(func(version, counts any) bool {
		n := counts.(*clientCounts)
		for kind, count := range map[string]uint64{"unary": n.unary.Load(), "stream": n.stream.Load()} {
			if count > 0 {
				c <- prometheus.MustNewConstMetric(clientRequestsDesc, prometheus.CounterValue, float64(count), kind, version.(string))
			}
		}
		return true
	})
}
