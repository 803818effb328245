package server

import (
	"net/url"
	"time"

	"go.uber.org/zap"
)

// Config is what a server is told about itself. DefaultConfig has etcd's defaults; a zero value is the value meant.
type Config struct {
	// Name is the member's name, for people; it must be a name in InitialCluster when a new cluster is made.
	Name string
	// DataDir holds the data; WALDir, unless empty, the write-ahead log.
	DataDir, WALDir string

	// Where to listen. ClientHTTPURLs, unless empty, take HTTP away from ClientURLs.
	ListenPeerURLs, ListenClientURLs, ListenClientHTTPURLs, ListenMetricsURLs []url.URL
	// Where others reach this member.
	AdvertisePeerURLs, AdvertiseClientURLs []url.URL
	// ReusePort and ReuseAddress set SO_REUSEPORT and SO_REUSEADDR on the listeners.
	ReusePort, ReuseAddress bool

	// InitialCluster is name=URL,... of all members of a cluster that starts for the first time; it is read only when the
	// data directory is empty. InitialClusterToken goes into the ids derived from it.
	InitialCluster, InitialClusterToken string
	// JoinExisting says that the member joins a cluster that runs already.
	JoinExisting bool

	HeartbeatInterval, ElectionTimeout time.Duration
	PreVote                            bool
	// SnapshotEntries is how many log entries start a snapshot, in addition to the rule by bytes; 0: only that rule.
	SnapshotEntries uint64
	// CatchUpEntries is how many applied entries are kept for members that lag.
	CatchUpEntries uint64

	// QuotaBytes bounds the stored data; 0: etcd's 2 GiB, negative: none.
	QuotaBytes int64
	// MaxTxnOps is operations, MaxRequestBytes bytes, MaxConcurrentStreams streams on one connection.
	MaxTxnOps, MaxRequestBytes uint
	MaxConcurrentStreams       uint32
	// Keep-alive of client connections, as gRPC names it; KeepAliveMinTime is enforced upon clients.
	KeepAliveMinTime, KeepAliveInterval, KeepAliveTimeout time.Duration
	// WarnUnaryDuration is how long a request may take before it is logged; 0: none is.
	WarnUnaryDuration time.Duration
	// WarnApplyDuration is how long an entry's apply may take before it is counted as slow.
	WarnApplyDuration time.Duration
	// WatchProgressInterval is how often watchers that asked for it, and saw nothing, are told how far they are.
	WatchProgressInterval time.Duration

	ClientTLS, PeerTLS TLS

	// Gateway serves the API as JSON, Profiles Go's profiles, ExtensiveMetrics histograms of request times.
	Gateway, Profiles, ExtensiveMetrics bool
	// CORS lists origins that browsers may call from, HostWhitelist host names accepted in requests without TLS;
	// empty or holding "*": all.
	CORS, HostWhitelist []string

	// Logger takes all log lines; nil: none.
	Logger *zap.Logger
}

// DefaultConfig is etcd's configuration of a single member on the loopback interface, with its data in ./default.etcd.
func DefaultConfig() Config {
	peer := []url.URL{{Scheme: "http", Host: "localhost:2380"}}
	client := []url.URL{{Scheme: "http", Host: "localhost:2379"}}
	return Config{
		Name:                 "default",
		DataDir:              "default.etcd",
		ListenPeerURLs:       peer,
		ListenClientURLs:     client,
		AdvertisePeerURLs:    peer,
		AdvertiseClientURLs:  client,
		InitialCluster:       "default=http://localhost:2380",
		InitialClusterToken:  "etcd-cluster",
		HeartbeatInterval:    100 * time.Millisecond,
		ElectionTimeout:      time.Second,
		PreVote:              true,
		CatchUpEntries:       5000,
		MaxTxnOps:            128,
		MaxRequestBytes:      1536 << 10,
		MaxConcurrentStreams: 1<<32 - 1,
		KeepAliveMinTime:     5 * time.Second,
		KeepAliveInterval:    2 * time.Hour,
		KeepAliveTimeout:     20 * time.Second,
		WarnUnaryDuration:    300 * time.Millisecond,
		WarnApplyDuration:    100 * time.Millisecond,
		Gateway:              true,

		WatchProgressInterval: 10 * time.Minute,
	}
}
