package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/detcd/detcd/netio/server"
)

// electionMax is etcd's bound on --election-timeout, in milliseconds.
const electionMax = 50000

// settings turns the values of all flags into a server's configuration, checking them against each other as etcd does.
// notes are lines for the log.
func (o options) settings() (cfg server.Config, notes []string, err error) {
	if err := o.validate(); err != nil {
		return cfg, nil, err
	}
	cfg = server.Config{
		Name:                  o.text("name"),
		DataDir:               o.text("data-dir"),
		WALDir:                o.text("wal-dir"),
		ListenPeerURLs:        o.urls("listen-peer-urls"),
		ListenClientURLs:      o.urls("listen-client-urls"),
		ListenClientHTTPURLs:  o.urls("listen-client-http-urls"),
		ListenMetricsURLs:     o.urls("listen-metrics-urls"),
		AdvertisePeerURLs:     o.urls("initial-advertise-peer-urls"),
		AdvertiseClientURLs:   o.urls("advertise-client-urls"),
		ReusePort:             o.is("socket-reuse-port"),
		ReuseAddress:          o.is("socket-reuse-address"),
		InitialCluster:        o.text("initial-cluster"),
		InitialClusterToken:   o.text("initial-cluster-token"),
		JoinExisting:          o.text("initial-cluster-state") == "existing",
		HeartbeatInterval:     time.Duration(o.number("heartbeat-interval")) * time.Millisecond,
		ElectionTimeout:       time.Duration(o.number("election-timeout")) * time.Millisecond,
		PreVote:               o.is("pre-vote"),
		CatchUpEntries:        o.number("snapshot-catchup-entries"),
		QuotaBytes:            o.integer("quota-backend-bytes"),
		MaxTxnOps:             uint(o.number("max-txn-ops")),
		MaxRequestBytes:       uint(o.number("max-request-bytes")),
		MaxConcurrentStreams:  uint32(o.number("max-concurrent-streams")),
		KeepAliveMinTime:      o.duration("grpc-keepalive-min-time"),
		KeepAliveInterval:     o.duration("grpc-keepalive-interval"),
		KeepAliveTimeout:      o.duration("grpc-keepalive-timeout"),
		WarnUnaryDuration:     o.duration("warning-unary-request-duration"),
		WarnApplyDuration:     o.duration("warning-apply-duration"),
		WatchProgressInterval: o.duration("watch-progress-notify-interval"),
		Gateway:               o.is("enable-grpc-gateway"),
		Profiles:              o.is("enable-pprof"),
		ExtensiveMetrics:      o.text("metrics") == "extensive",
		CORS:                  o.list("cors"),
		HostWhitelist:         o.list("host-whitelist"),
	}
	if o["snapshot-count"].from != fromDefault {
		cfg.SnapshotEntries = o.number("snapshot-count")
	}
	if cfg.WarnApplyDuration == 0 {
		cfg.WarnApplyDuration = server.DefaultConfig().WarnApplyDuration
	}
	if cfg.WarnUnaryDuration == 0 {
		cfg.WarnUnaryDuration = server.DefaultConfig().WarnUnaryDuration
	}
	if cfg.DataDir == "" {
		cfg.DataDir = cfg.Name + ".etcd"
		notes = append(notes, "'data-dir' was empty; using default")
	}
	if cfg.ClientTLS, err = o.tls(""); err != nil {
		return cfg, notes, err
	}
	if cfg.PeerTLS, err = o.tls("peer-"); err != nil {
		return cfg, notes, err
	}
	cfg.PeerTLS.AllowedCNs = o.list("peer-cert-allowed-cn")
	cfg.PeerTLS.AllowedHostnames = o.list("peer-cert-allowed-hostname")
	cfg.PeerTLS.DialCertFile, cfg.PeerTLS.DialKeyFile = o.text("peer-client-cert-file"), o.text("peer-client-key-file")
	cfg.PeerTLS.CRLFile = o.text("peer-crl-file")
	cfg.ClientTLS.AllowedHostnames = o.list("client-cert-allowed-hostname")
	cfg.ClientTLS.CRLFile = o.text("client-crl-file")
	notes = append(notes, o.advertiseHost(&cfg)...)
	if cfg.InitialCluster == "" {
		cfg.InitialCluster = initialCluster(cfg.Name, cfg.AdvertisePeerURLs, o["initial-advertise-peer-urls"].from != fromDefault)
	}
	return cfg, notes, nil
}

// initialCluster is the cluster of this member alone. Who sets its advertised peer URLs must also say which cluster they belong to,
// so for the default name it stays the default cluster, and the mismatch is found at the start: etcd does the same.
func initialCluster(name string, advertised []url.URL, changed bool) string {
	if name == "default" && changed {
		return "default=http://localhost:2380"
	}
	members := make([]string, len(advertised))
	for i := range advertised {
		members[i] = name + "=" + advertised[i].String()
	}
	return strings.Join(members, ",")
}

// tls collects the flags of one side's certificates; prefix tells the peer flags apart.
func (o options) tls(prefix string) (server.TLS, error) {
	t := server.TLS{
		CertFile:       o.text(prefix + "cert-file"),
		KeyFile:        o.text(prefix + "key-file"),
		TrustedCAFile:  o.text(prefix + "trusted-ca-file"),
		ClientCertAuth: o.is(prefix + "client-cert-auth"),
		Auto:           o.is(prefix + "auto-tls"),
		AutoYears:      uint(o.number("self-signed-cert-validity")),
	}
	var err error
	if t.MinVersion, err = tlsVersion(o.text("tls-min-version")); err != nil {
		return t, err
	}
	if t.MaxVersion, err = tlsVersion(o.text("tls-max-version")); err != nil {
		return t, err
	}
	if t.MaxVersion != 0 && t.MinVersion > t.MaxVersion {
		return t, fmt.Errorf("min version (%s) is greater than max version (%s)", o.text("tls-min-version"), o.text("tls-max-version"))
	}
	names := o.list("cipher-suites")
	if t.MinVersion == tls.VersionTLS13 && len(names) > 0 {
		return t, errors.New("cipher suites cannot be configured when only TLS1.3 is enabled")
	}
	for _, name := range names {
		id, ok := cipherSuite(name)
		if !ok {
			return t, fmt.Errorf("unexpected TLS cipher suite %q", name)
		}
		t.CipherSuites = append(t.CipherSuites, id)
	}
	return t, nil
}

func tlsVersion(name string) (uint16, error) {
	switch name {
	case "":
		return 0, nil
	case "TLS1.2":
		return tls.VersionTLS12, nil
	case "TLS1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("unexpected TLS version %q (must be one of: TLS1.2, TLS1.3)", name)
}

func cipherSuite(name string) (uint16, bool) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if s.Name == name {
			return s.ID, true
		}
	}
	switch name { // as Go called them at first, and etcd's users still do
	case "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305":
		return tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, true
	case "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305":
		return tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, true
	}
	return 0, false
}

// validate checks values against each other, in etcd's words.
func (o options) validate() error {
	for _, name := range []string{"listen-peer-urls", "listen-client-urls", "listen-client-http-urls", "listen-metrics-urls"} {
		for _, u := range o.urls(name) {
			if err := checkBind(u); err != nil {
				return err
			}
		}
	}
	for _, u := range o.urls("initial-advertise-peer-urls") {
		if u.Hostname() == "" && !isUnix(u) {
			return fmt.Errorf(`--initial-advertise-peer-urls %q must be "host:port" (unexpected empty host (%s))`, o.text("initial-advertise-peer-urls"), u.String())
		}
	}
	for _, u := range o.urls("advertise-client-urls") {
		if u.Hostname() == "" && !isUnix(u) {
			return fmt.Errorf(`--advertise-client-urls %q must be in the format "host:port", "unix:/path/to/socket" or "unixs:/path/to/socket" (unexpected empty host (%s))`, o.text("advertise-client-urls"), u.String())
		}
	}
	tick, election := o.number("heartbeat-interval"), o.number("election-timeout")
	switch {
	case tick == 0:
		return fmt.Errorf("--heartbeat-interval must be >0 (set to %dms)", tick)
	case election == 0:
		return fmt.Errorf("--election-timeout must be >0 (set to %dms)", election)
	case election > electionMax:
		return fmt.Errorf("--election-timeout[%vms] is too long, and should be set less than %vms", election, electionMax)
	case 5*tick > election:
		return fmt.Errorf("--election-timeout[%vms] should be at least as 5 times as --heartbeat-interval[%vms]", election, tick)
	}
	given := o["listen-client-urls"].from
	if (given == fromCommandLine || given == fromEnvironment) && o["advertise-client-urls"].from == fromDefault {
		return errors.New("--advertise-client-urls is required when --listen-client-urls is set explicitly")
	}
	switch m := o.text("auto-compaction-mode"); m {
	case "periodic", "revision":
	case "":
		return errors.New("undefined auto-compaction-mode")
	default:
		return fmt.Errorf("unknown auto-compaction-mode %q", m)
	}
	if o.duration("compact-hash-check-time") <= 0 {
		return fmt.Errorf("--compact-hash-check-time must be >0 (set to %v)", o.duration("compact-hash-check-time"))
	}
	switch l := o.text("logger"); l {
	case "zap":
	case "capnslog":
		return errors.New("--logger=capnslog is removed in v3.5")
	default:
		return fmt.Errorf("unknown logger option %q", l)
	}
	if f := o.text("log-format"); f != "json" && f != "console" && f != "" {
		return fmt.Errorf("unknown log format: %s, supported values json, console", f)
	}
	return nil
}

func isUnix(u url.URL) bool { return u.Scheme == "unix" || u.Scheme == "unixs" }

// checkBind refuses host names: one may stand for several addresses, or for none of this machine's.
func checkBind(u url.URL) error {
	if isUnix(u) || u.Hostname() == "localhost" || net.ParseIP(u.Hostname()) != nil {
		return nil
	}
	return fmt.Errorf("expected IP in URL for binding (%s)", u.String())
}

// advertiseHost puts this machine's address into advertised URLs that were left at their default while the member listens on all
// addresses: others could not reach it at localhost.
func (o options) advertiseHost(cfg *server.Config) []string {
	replace := func(advertised []url.URL, listen []url.URL, flag string) bool {
		if o[flag].from != fromDefault || len(listen) == 0 || listen[0].Hostname() != "0.0.0.0" {
			return false
		}
		host, ok := outboundHost()
		if ok {
			advertised[0].Host = net.JoinHostPort(host, listen[0].Port())
		}
		return ok
	}
	peer := replace(cfg.AdvertisePeerURLs, cfg.ListenPeerURLs, "initial-advertise-peer-urls")
	client := replace(cfg.AdvertiseClientURLs, cfg.ListenClientURLs, "advertise-client-urls")
	if peer || client {
		return []string{"detected default host for advertise"}
	}
	return nil
}

// outboundHost is this machine's address on its default route. Nothing is sent: connecting a UDP socket only picks a route.
func outboundHost() (string, bool) {
	c, err := net.Dial("udp", "192.0.2.1:9")
	if err != nil {
		return "", false
	}
	defer c.Close()
	a, ok := c.LocalAddr().(*net.UDPAddr)
	return a.IP.String(), ok
}
