package server

import (
	"net/url"
	"time"

	"go.uber.org/zap"
)

// Config is what a server is told about itself. DefaultConfig has etcd's defaults. A zero in a Config means zero, not the default.
type Config struct {
	// Name is the member's name, for people; it must be a name in InitialCluster when a new cluster is made.
	Name string
	// DataDir holds the data; WALDir, unless empty, the write-ahead log.
	DataDir, WALDir string

	// These are where to listen. If there are ClientHTTPURLs, HTTP is served there, and not on ClientURLs.
	ListenPeerURLs, ListenClientURLs, ListenClientHTTPURLs, ListenMetricsURLs []url.URL
	// These are where others reach this member.
	AdvertisePeerURLs, AdvertiseClientURLs []url.URL
	// ReusePort and ReuseAddress set SO_REUSEPORT and SO_REUSEADDR on the listeners.
	ReusePort, ReuseAddress bool

	// InitialCluster is name=URL,... of all members of a cluster that starts for the first time. It is read only when the data directory is
	// empty. The ids of members and cluster follow from it and from InitialClusterToken.
	InitialCluster, InitialClusterToken string
	// JoinExisting says that the member joins a cluster that runs already.
	JoinExisting bool

	HeartbeatInterval, ElectionTimeout time.Duration
	PreVote                            bool
	// SnapshotEntries is after how many log entries a snapshot is taken. There is also a rule by bytes; 0: only that rule.
	SnapshotEntries uint64
	// CatchUpEntries is how many applied entries are kept for members that lag.
	CatchUpEntries uint64

	// QuotaBytes bounds the stored data; 0: etcd's 2 GiB, negative: none.
	QuotaBytes int64
	// These bound the operations of a transaction, the bytes of a request, and the streams on one connection.
	MaxTxnOps, MaxRequestBytes uint
	MaxConcurrentStreams       uint32
	// These are about keep-alive of client connections, in gRPC's words. A client that pings more often than KeepAliveMinTime is cut off.
	KeepAliveMinTime, KeepAliveInterval, KeepAliveTimeout time.Duration
	// WarnUnaryDuration is how long a request may take before it is logged; 0: none is.
	WarnUnaryDuration time.Duration
	// WarnApplyDuration is how long an entry's apply may take before it is counted as slow.
	WarnApplyDuration time.Duration
	// WatchProgressInterval is how often watchers are told how far they are, if they asked for that and saw nothing else.
	WatchProgressInterval time.Duration

	ClientTLS, PeerTLS TLS

	// Gateway turns the API as JSON on, Profiles Go's profiles, and ExtensiveMetrics histograms of request times.
	Gateway, Profiles, ExtensiveMetrics bool
	// CORS lists the origins from which browsers may call, HostWhitelist the host names that are accepted in requests without TLS. An empty list, or
	// one with "*", accepts all.
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
