package main

// Groups of flags, as --help lists them.
const (
	groupMember     = "Member"
	groupClustering = "Clustering"
	groupSecurity   = "Security"
	groupAuth       = "Auth"
	groupMonitoring = "Profiling and monitoring"
	groupLogging    = "Logging"
	groupTracing    = "Distributed tracing"
	groupFeatures   = "Features"
	groupUnsafe     = "Unsafe features"
	groupOlder      = "Older spellings"
)

// Reasons that several flags share.
const (
	noBackend    = "there is no bbolt backend; the keys live in memory, the log and the snapshots on disk"
	noDiscovery  = "discovery of the cluster is not there yet; use --initial-cluster"
	noTracing    = "distributed tracing is not there yet"
	noAuth       = "the Auth service is not served yet"
	noRotation   = "log rotation is not there yet; use an external tool"
	ancient      = "it belongs to versions long gone"
	smallSteps   = "compaction always works in small steps between requests"
	noCheck      = "this check between members is not there yet; the member starts and runs without it"
	noLocalAddr  = "the local address of connections to members can't be chosen yet"
	noMembership = "changes of the membership are not served yet"
)

// deprecations are etcd's words about flags that it will drop, too. Tools look for them in the log.
var deprecations = map[string]string{
	"max-snapshots":  "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.",
	"v2-deprecation": "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, ignoring user input.",
}

// table is every flag of etcd 3.7, and the experimental-* spellings of 3.4 to 3.6, with its fate here. A flag that
// becomes meaningful changes its row, and nothing else, before it is read in settings.go.
var table = []spec{
	{group: groupMember, name: "name", kind: kindString, def: "default", help: "Name of this member, for people."},
	{group: groupMember, name: "data-dir", kind: kindString, def: "", help: "Directory of the data; ${name}.etcd when empty."},
	{group: groupMember, name: "wal-dir", kind: kindString, def: "", help: "Directory of the write-ahead log, when it is to be apart."},
	{group: groupMember, name: "snapshot-count", kind: kindUint, def: "10000", help: "Entries of the log after which a snapshot is taken; unless it is given, snapshots follow the size of the log."},
	{group: groupMember, name: "heartbeat-interval", kind: kindUint, def: "100", help: "Time between two heartbeats of a leader, in milliseconds."},
	{group: groupMember, name: "election-timeout", kind: kindUint, def: "1000", help: "Time without a leader after which an election starts, in milliseconds."},
	{group: groupMember, name: "initial-election-tick-advance", kind: kindBool, def: "true", fate: moot, help: "a member starts its election timeout afresh"},
	{group: groupMember, name: "listen-peer-urls", kind: kindURLs, def: "http://localhost:2380", help: "URLs to listen on for other members."},
	{group: groupMember, name: "listen-client-urls", kind: kindURLs, def: "http://localhost:2379", help: "URLs to listen on for clients: gRPC, and HTTP unless --listen-client-http-urls is set."},
	{group: groupMember, name: "listen-client-http-urls", kind: kindURLs, def: "", help: "URLs to listen on for HTTP clients only."},
	{group: groupMember, name: "max-snapshots", kind: kindUint, def: "5", fate: moot, help: "snapshots are removed as soon as they are not needed"},
	{group: groupMember, name: "max-wals", kind: kindUint, def: "5", fate: moot, help: "segments of the log are removed as soon as they are not needed"},
	{group: groupMember, name: "memory-mlock", kind: kindBool, def: "false", fate: moot, help: noBackend},
	{group: groupMember, name: "quota-backend-bytes", kind: kindInt, def: "0", help: "Bytes of stored data beyond which nothing more is stored (0: 2 GiB, negative: no bound)."},
	{group: groupMember, name: "backend-bbolt-freelist-type", kind: kindString, def: "map", fate: moot, help: noBackend},
	{group: groupMember, name: "backend-batch-interval", kind: kindDuration, def: "0s", fate: moot, help: noBackend},
	{group: groupMember, name: "backend-batch-limit", kind: kindInt, def: "0", fate: moot, help: noBackend},
	{group: groupMember, name: "max-txn-ops", kind: kindUint, def: "128", help: "Most operations in one transaction."},
	{group: groupMember, name: "max-request-bytes", kind: kindUint, def: "1572864", help: "Largest request of a client, in bytes."},
	{group: groupMember, name: "max-concurrent-streams", kind: kindUint32, def: "4294967295", help: "Most concurrent streams on one connection of a client."},
	{group: groupMember, name: "grpc-keepalive-min-time", kind: kindDuration, def: "5s", help: "Least time between two pings of a client."},
	{group: groupMember, name: "grpc-keepalive-interval", kind: kindDuration, def: "2h0m0s", help: "Time without traffic after which the server pings a client (0: never)."},
	{group: groupMember, name: "grpc-keepalive-timeout", kind: kindDuration, def: "20s", help: "Time a client has to answer a ping (0: the library's default)."},
	{group: groupMember, name: "socket-reuse-port", kind: kindBool, def: "false", help: "Set SO_REUSEPORT on listeners."},
	{group: groupMember, name: "socket-reuse-address", kind: kindBool, def: "false", help: "Set SO_REUSEADDR on listeners."},
	{group: groupMember, name: "enable-grpc-gateway", kind: kindBool, def: "true", help: "Serve the API as JSON under /v3/."},
	{group: groupMember, name: "raft-read-timeout", kind: kindDuration, def: "5s", fate: moot, help: "the peer transport finds dead peers by its own heartbeats"},
	{group: groupMember, name: "raft-write-timeout", kind: kindDuration, def: "5s", fate: moot, help: "the peer transport finds dead peers by its own heartbeats"},
	{group: groupMember, name: "feature-gates", kind: kindGates, def: "", help: "Feature gates, as Name=true|false,..."},
	{group: groupMember, name: "config-file", kind: kindString, def: "", help: "YAML file with the configuration; other flags and the environment are then ignored."},
	{group: groupMember, name: "version", kind: kindBool, def: "false", help: "Print the version and exit."},

	{group: groupClustering, name: "initial-advertise-peer-urls", kind: kindURLs, def: "http://localhost:2380", help: "Peer URLs of this member, as others reach it."},
	{group: groupClustering, name: "initial-cluster", kind: kindString, def: "", help: "Members of a new cluster, as name=peerURL,...; by default this member alone."},
	{group: groupClustering, name: "initial-cluster-state", kind: kindState, def: "new", help: "new, or existing to join a cluster."},
	{group: groupClustering, name: "initial-cluster-token", kind: kindString, def: "etcd-cluster", help: "Token that keeps the ids of unrelated clusters apart."},
	{group: groupClustering, name: "advertise-client-urls", kind: kindURLs, def: "http://localhost:2379", help: "Client URLs of this member, as clients reach it."},
	{group: groupClustering, name: "discovery-token", kind: kindString, def: "", fate: missing, help: noDiscovery},
	{group: groupClustering, name: "discovery-endpoints", kind: kindList, def: "", fate: missing, help: noDiscovery},
	{group: groupClustering, name: "discovery-dial-timeout", kind: kindDuration, def: "2s", fate: moot, help: noDiscovery},
	{group: groupClustering, name: "discovery-request-timeout", kind: kindDuration, def: "5s", fate: moot, help: noDiscovery},
	{group: groupClustering, name: "discovery-keepalive-time", kind: kindDuration, def: "2s", fate: moot, help: noDiscovery},
	{group: groupClustering, name: "discovery-keepalive-timeout", kind: kindDuration, def: "6s", fate: moot, help: noDiscovery},
	{group: groupClustering, name: "discovery-insecure-transport", kind: kindBool, def: "true", fate: moot, help: noDiscovery},
	{group: groupClustering, name: "discovery-insecure-skip-tls-verify", kind: kindBool, def: "false", fate: moot, help: noDiscovery},
	{group: groupClustering, name: "discovery-cert", kind: kindString, def: "", fate: moot, help: noDiscovery},
	{group: groupClustering, name: "discovery-key", kind: kindString, def: "", fate: moot, help: noDiscovery},
	{group: groupClustering, name: "discovery-cacert", kind: kindString, def: "", fate: moot, help: noDiscovery},
	{group: groupClustering, name: "discovery-user", kind: kindString, def: "", fate: moot, help: noDiscovery},
	{group: groupClustering, name: "discovery-password", kind: kindString, def: "", fate: moot, help: noDiscovery},
	{group: groupClustering, name: "discovery-fallback", kind: kindFallback, def: "exit", fate: missing, help: "the v2 proxy is gone, only 'exit' is left"},
	{group: groupClustering, name: "discovery-srv", kind: kindString, def: "", fate: missing, help: noDiscovery},
	{group: groupClustering, name: "discovery-srv-name", kind: kindString, def: "", fate: moot, help: noDiscovery},
	{group: groupClustering, name: "strict-reconfig-check", kind: kindBool, def: "true", fate: moot, help: noMembership},
	{group: groupClustering, name: "pre-vote", kind: kindBool, def: "true", help: "Ask for votes first, so that a member that was cut off does not depose a leader."},
	{group: groupClustering, name: "auto-compaction-retention", kind: kindString, def: "0", fate: missing, help: "automatic compaction is not there yet; compact from outside, with etcdctl compaction"},
	{group: groupClustering, name: "auto-compaction-mode", kind: kindString, def: "periodic", fate: moot, help: "automatic compaction is off (--auto-compaction-retention is 0)"},
	{group: groupClustering, name: "v2-deprecation", kind: kindV2, def: "write-only", fate: moot, help: "there is no v2 store"},

	{group: groupSecurity, name: "cert-file", kind: kindString, def: "", help: "Certificate for clients."},
	{group: groupSecurity, name: "key-file", kind: kindString, def: "", help: "Key of that certificate."},
	{group: groupSecurity, name: "client-cert-auth", kind: kindBool, def: "false", help: "Ask clients for a certificate signed by --trusted-ca-file."},
	{group: groupSecurity, name: "client-cert-file", kind: kindString, def: "", fate: moot, help: "the gateway reaches the server inside the process, without a certificate"},
	{group: groupSecurity, name: "client-key-file", kind: kindString, def: "", fate: moot, help: "the gateway reaches the server inside the process, without a certificate"},
	{group: groupSecurity, name: "client-crl-file", kind: kindString, def: "", help: "List of revoked client certificates."},
	{group: groupSecurity, name: "client-cert-allowed-hostname", kind: kindList, def: "", help: "Host names, one of which a client's certificate must hold."},
	{group: groupSecurity, name: "trusted-ca-file", kind: kindString, def: "", help: "Authority that signs clients' certificates."},
	{group: groupSecurity, name: "auto-tls", kind: kindBool, def: "false", help: "TLS for clients with a certificate made at the first start."},
	{group: groupSecurity, name: "peer-cert-file", kind: kindString, def: "", help: "Certificate for other members."},
	{group: groupSecurity, name: "peer-key-file", kind: kindString, def: "", help: "Key of that certificate."},
	{group: groupSecurity, name: "peer-client-cert-auth", kind: kindBool, def: "false", help: "Ask members for a certificate signed by --peer-trusted-ca-file."},
	{group: groupSecurity, name: "peer-client-cert-file", kind: kindString, def: "", help: "Certificate to dial members with, when it is not --peer-cert-file."},
	{group: groupSecurity, name: "peer-client-key-file", kind: kindString, def: "", help: "Key of that certificate."},
	{group: groupSecurity, name: "peer-trusted-ca-file", kind: kindString, def: "", help: "Authority that signs members' certificates."},
	{group: groupSecurity, name: "peer-cert-allowed-cn", kind: kindList, def: "", help: "Common names, one of which a member's certificate must hold."},
	{group: groupSecurity, name: "peer-cert-allowed-hostname", kind: kindList, def: "", help: "Host names, one of which a member's certificate must hold."},
	{group: groupSecurity, name: "peer-auto-tls", kind: kindBool, def: "false", help: "TLS between members with a certificate made at the first start."},
	{group: groupSecurity, name: "self-signed-cert-validity", kind: kindUint, def: "1", help: "Years that certificates made at the first start are valid."},
	{group: groupSecurity, name: "peer-crl-file", kind: kindString, def: "", help: "List of revoked members' certificates."},
	{group: groupSecurity, name: "cipher-suites", kind: kindList, def: "", help: "TLS 1.2 cipher suites by name (empty: Go's choice)."},
	{group: groupSecurity, name: "cors", kind: kindList, def: "*", help: "Origins that browsers may call from (* or empty: all)."},
	{group: groupSecurity, name: "host-whitelist", kind: kindList, def: "*", help: "Host names accepted in plain HTTP requests (* or empty: all)."},
	{group: groupSecurity, name: "tls-min-version", kind: kindString, def: "TLS1.2", help: "TLS1.2 or TLS1.3."},
	{group: groupSecurity, name: "tls-max-version", kind: kindString, def: "", help: "TLS1.2 or TLS1.3 (empty: Go's choice)."},
	{group: groupSecurity, name: "peer-skip-client-san-verification", kind: kindBool, def: "false", fate: moot, help: "members' certificates are checked against the authority and the allowed names, not against addresses"},

	{group: groupAuth, name: "auth-token", kind: kindString, def: "simple", fate: missing, help: noAuth},
	{group: groupAuth, name: "bcrypt-cost", kind: kindUint, def: "10", fate: moot, help: noAuth},
	{group: groupAuth, name: "auth-token-ttl", kind: kindUint, def: "300", fate: moot, help: noAuth},

	{group: groupMonitoring, name: "enable-pprof", kind: kindBool, def: "false", help: "Serve Go's profiles under /debug/pprof/."},
	{group: groupMonitoring, name: "metrics", kind: kindString, def: "basic", help: "extensive for histograms of request times; anything else means basic."},
	{group: groupMonitoring, name: "listen-metrics-urls", kind: kindURLs, def: "", help: "URLs to listen on for /metrics, /health, /livez and /readyz."},

	{group: groupLogging, name: "logger", kind: kindString, def: "zap", help: "Only zap."},
	{group: groupLogging, name: "log-outputs", kind: kindList, def: "default", help: "default, stderr, stdout or files; or systemd/journal."},
	{group: groupLogging, name: "log-level", kind: kindString, def: "info", help: "debug, info, warn, error, panic or fatal."},
	{group: groupLogging, name: "log-format", kind: kindString, def: "json", help: "json or console (on a terminal, unless it is given: for a person)."},
	{group: groupLogging, name: "enable-log-rotation", kind: kindBool, def: "false", fate: missing, help: noRotation},
	{group: groupLogging, name: "log-rotation-config-json", kind: kindString, def: `{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}`, fate: moot, help: noRotation},
	{group: groupLogging, name: "warning-unary-request-duration", kind: kindDuration, def: "300ms", help: "A request that takes longer is logged (0: the default)."},

	{group: groupTracing, name: "enable-distributed-tracing", kind: kindBool, def: "false", fate: missing, help: noTracing},
	{group: groupTracing, name: "distributed-tracing-address", kind: kindString, def: "localhost:4317", fate: moot, help: noTracing},
	{group: groupTracing, name: "distributed-tracing-service-name", kind: kindString, def: "etcd", fate: moot, help: noTracing},
	{group: groupTracing, name: "distributed-tracing-instance-id", kind: kindString, def: "", fate: moot, help: noTracing},
	{group: groupTracing, name: "distributed-tracing-sampling-rate", kind: kindInt, def: "0", fate: moot, help: noTracing},

	{group: groupFeatures, name: "corrupt-check-time", kind: kindDuration, def: "0s", fate: moot, help: noCheck},
	{group: groupFeatures, name: "compact-hash-check-time", kind: kindDuration, def: "1m0s", fate: moot, help: noCheck},
	{group: groupFeatures, name: "compaction-batch-limit", kind: kindInt, def: "1000", fate: moot, help: smallSteps},
	{group: groupFeatures, name: "compaction-sleep-interval", kind: kindDuration, def: "0s", fate: moot, help: smallSteps},
	{group: groupFeatures, name: "watch-progress-notify-interval", kind: kindDuration, def: "10m0s", help: "How often watchers that ask for it, and see nothing, are told the revision."},
	{group: groupFeatures, name: "warning-apply-duration", kind: kindDuration, def: "100ms", help: "An entry whose apply takes longer is counted in etcd_server_slow_apply_total (0: the default)."},
	{group: groupFeatures, name: "bootstrap-defrag-threshold-megabytes", kind: kindUint, def: "0", fate: moot, help: noBackend},
	{group: groupFeatures, name: "max-learners", kind: kindInt, def: "1", fate: moot, help: noMembership},
	{group: groupFeatures, name: "downgrade-check-time", kind: kindDuration, def: "5s", fate: moot, help: "downgrades are not there yet"},
	{group: groupFeatures, name: "snapshot-catchup-entries", kind: kindUint, def: "5000", help: "Entries of the log kept for slow members after a snapshot."},

	{group: groupUnsafe, name: "force-new-cluster", kind: kindBool, def: "false", fate: missing, help: "forcing a new cluster is not there yet"},
	{group: groupUnsafe, name: "unsafe-no-fsync", kind: kindBool, def: "false", fate: moot, help: "what is acknowledged is always synced"},

	{group: groupOlder, name: "experimental-initial-corrupt-check", kind: kindBool, def: "false", fate: moot, help: noCheck},
	{group: groupOlder, name: "experimental-corrupt-check-time", kind: kindDuration, def: "0s", alias: "corrupt-check-time"},
	{group: groupOlder, name: "experimental-compact-hash-check-enabled", kind: kindBool, def: "false", fate: moot, help: noCheck},
	{group: groupOlder, name: "experimental-compact-hash-check-time", kind: kindDuration, def: "1m0s", alias: "compact-hash-check-time"},
	{group: groupOlder, name: "experimental-enable-v2v3", kind: kindString, def: "", fate: missing, help: "there is no v2 API"},
	{group: groupOlder, name: "experimental-backend-bbolt-freelist-type", kind: kindString, def: "map", alias: "backend-bbolt-freelist-type"},
	{group: groupOlder, name: "experimental-enable-lease-checkpoint", kind: kindBool, def: "false", fate: moot, help: "remaining lease times are always kept through the log"},
	{group: groupOlder, name: "experimental-enable-lease-checkpoint-persist", kind: kindBool, def: "false", fate: moot, help: "remaining lease times are always kept through the log"},
	{group: groupOlder, name: "experimental-compaction-batch-limit", kind: kindInt, def: "1000", alias: "compaction-batch-limit"},
	{group: groupOlder, name: "experimental-compaction-sleep-interval", kind: kindDuration, def: "0s", alias: "compaction-sleep-interval"},
	{group: groupOlder, name: "experimental-peer-skip-client-san-verification", kind: kindBool, def: "false", alias: "peer-skip-client-san-verification"},
	{group: groupOlder, name: "experimental-watch-progress-notify-interval", kind: kindDuration, def: "10m0s", alias: "watch-progress-notify-interval"},
	{group: groupOlder, name: "experimental-downgrade-check-time", kind: kindDuration, def: "5s", alias: "downgrade-check-time"},
	{group: groupOlder, name: "experimental-warning-apply-duration", kind: kindDuration, def: "100ms", alias: "warning-apply-duration"},
	{group: groupOlder, name: "experimental-warning-unary-request-duration", kind: kindDuration, def: "300ms", alias: "warning-unary-request-duration"},
	{group: groupOlder, name: "experimental-memory-mlock", kind: kindBool, def: "false", alias: "memory-mlock"},
	{group: groupOlder, name: "experimental-txn-mode-write-with-shared-buffer", kind: kindBool, def: "true", fate: moot, help: noBackend},
	{group: groupOlder, name: "experimental-bootstrap-defrag-threshold-megabytes", kind: kindUint, def: "0", alias: "bootstrap-defrag-threshold-megabytes"},
	{group: groupOlder, name: "experimental-max-learners", kind: kindInt, def: "1", alias: "max-learners"},
	{group: groupOlder, name: "experimental-wait-cluster-ready-timeout", kind: kindDuration, def: "5s", fate: moot, help: "clients are served when the member has joined its cluster, not earlier"},
	{group: groupOlder, name: "experimental-snapshot-catchup-entries", kind: kindUint, def: "5000", alias: "snapshot-catchup-entries"},
	{group: groupOlder, name: "experimental-stop-grpc-service-on-defrag", kind: kindBool, def: "false", fate: moot, help: "defragmentation does not interrupt the service"},
	{group: groupOlder, name: "experimental-set-member-localaddr", kind: kindBool, def: "false", fate: moot, help: noLocalAddr},
	{group: groupOlder, name: "experimental-enable-distributed-tracing", kind: kindBool, def: "false", alias: "enable-distributed-tracing"},
	{group: groupOlder, name: "experimental-distributed-tracing-address", kind: kindString, def: "localhost:4317", alias: "distributed-tracing-address"},
	{group: groupOlder, name: "experimental-distributed-tracing-service-name", kind: kindString, def: "etcd", alias: "distributed-tracing-service-name"},
	{group: groupOlder, name: "experimental-distributed-tracing-instance-id", kind: kindString, def: "", alias: "distributed-tracing-instance-id"},
	{group: groupOlder, name: "experimental-distributed-tracing-sampling-rate", kind: kindInt, def: "0", alias: "distributed-tracing-sampling-rate"},

	{group: groupOlder, name: "cluster-active-size", kind: kindAnything, fate: moot, help: ancient},
	{group: groupOlder, name: "cluster-remove-delay", kind: kindAnything, fate: moot, help: ancient},
	{group: groupOlder, name: "cluster-sync-interval", kind: kindAnything, fate: moot, help: ancient},
	{group: groupOlder, name: "config", kind: kindAnything, fate: moot, help: ancient},
	{group: groupOlder, name: "force", kind: kindAnything, fate: moot, help: ancient},
	{group: groupOlder, name: "max-result-buffer", kind: kindAnything, fate: moot, help: ancient},
	{group: groupOlder, name: "max-retry-attempts", kind: kindAnything, fate: moot, help: ancient},
	{group: groupOlder, name: "peer-heartbeat-interval", kind: kindAnything, fate: moot, help: ancient},
	{group: groupOlder, name: "peer-election-timeout", kind: kindAnything, fate: moot, help: ancient},
	{group: groupOlder, name: "retry-interval", kind: kindAnything, fate: moot, help: ancient},
	{group: groupOlder, name: "snapshot", kind: kindAnything, fate: moot, help: ancient},
	{group: groupOlder, name: "v", kind: kindAnything, fate: moot, help: ancient},
	{group: groupOlder, name: "vv", kind: kindAnything, fate: moot, help: ancient},
}
