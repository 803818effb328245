package server

import "github.com/prometheus/client_golang/prometheus"

// features are the feature gates of etcd 3.7 with their stages. The last field says whether detcd has the feature: it does not depend on the flags.
// TxnModeWriteWithSharedBuffer is about the inside of etcd, and means nothing here.
var features = []struct {
	name, stage string
	on          bool
}{
	{"AllAlpha", "ALPHA", false},
	{"AllBeta", "BETA", false},
	{"CompactHashCheck", "ALPHA", false},
	{"FastLeaseKeepAlive", "BETA", true}, // a renewal does not wait for other entries to be applied
	{"InitialCorruptCheck", "ALPHA", false},
	{"LeaseCheckpoint", "ALPHA", true},
	{"LeaseCheckpointPersist", "ALPHA", true}, // the remaining time of a lease is in the log
	{"PriorityRequest", "ALPHA", false},
	{"SetMemberLocalAddr", "ALPHA", false},
	{"StopGRPCServiceOnDefrag", "ALPHA", false},
}

func featureMetrics() prometheus.Collector {
	all := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "etcd_server_feature_enabled",
		Help: "Whether or not a feature is enabled. 1 is enabled, 0 is not."}, []string{"name", "stage"})
	for _, f := range features {
		g := all.WithLabelValues(f.name, f.stage)
		if f.on {
			g.Set(1)
		}
	}
	return all
}
