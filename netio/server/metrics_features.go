package server

import "github.com/prometheus/client_golang/prometheus"

// features are the gates of etcd 3.7 with their stages, and whether what each one stands for is so here, whatever the flags say.
// TxnModeWriteWithSharedBuffer is about etcd's own insides and stands for nothing here.
var features = []struct {
	name, stage string
	on          bool
}{
	{"AllAlpha", "ALPHA", false},
	{"AllBeta", "BETA", false},
	{"CompactHashCheck", "ALPHA", false},
	{"FastLeaseKeepAlive", "BETA", true}, // a renewal does not wait for what else is to be applied
	{"InitialCorruptCheck", "ALPHA", false},
	{"LeaseCheckpoint", "ALPHA", true},
	{"LeaseCheckpointPersist", "ALPHA", true}, // what remains of a lease is in the log
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
