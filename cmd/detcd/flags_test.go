package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detcd/detcd/netio/server"
)

// parse reads a command line and environment as run does, without starting anything.
func parse(t *testing.T, args []string, environ []string) (options, error) {
	t.Helper()
	o := newOptions()
	if err := o.parseCommandLine(args, &bytes.Buffer{}); err != nil {
		return o, err
	}
	if _, err := o.parseEnvironment(environ); err != nil {
		return o, err
	}
	return o, o.resolveAliases()
}

// settings does all that a start does before the server.
func settings(t *testing.T, args []string, environ []string) (server.Config, []string, error) {
	t.Helper()
	o, err := parse(t, args, environ)
	if err != nil {
		return server.Config{}, nil, err
	}
	warnings, err := o.judge()
	if err != nil {
		return server.Config{}, warnings, err
	}
	cfg, _, err := o.settings()
	return cfg, warnings, err
}

func TestTable_NamesAreUniqueAndDefaultsValid(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range table {
		if seen[s.name] {
			t.Errorf("--%s is in the table twice", s.name)
		}
		seen[s.name] = true
		if s.kind != kindAnything && s.kind.check(s.def) != nil {
			t.Errorf("--%s: the default %q is not a value of its kind", s.name, s.def)
		}
		if s.alias == "" && s.help == "" {
			t.Errorf("--%s has no text", s.name)
		}
	}
	for _, s := range table {
		if s.alias == "" {
			continue
		}
		if !seen[s.alias] {
			t.Errorf("--%s is an older spelling of --%s, which is not there", s.name, s.alias)
		}
	}
}

func TestFlags_NoneIsTheDefaultMember(t *testing.T) {
	cfg, warnings, err := settings(t, nil, nil)
	if err != nil || len(warnings) != 0 {
		t.Fatalf("no flags: %v, warnings %q", err, warnings)
	}
	want := server.DefaultConfig()
	if cfg.Name != "default" || cfg.DataDir != "default.etcd" || cfg.InitialCluster != want.InitialCluster {
		t.Errorf("name %q, data dir %q, cluster %q", cfg.Name, cfg.DataDir, cfg.InitialCluster)
	}
	if cfg.ListenClientURLs[0].String() != "http://localhost:2379" || cfg.ListenPeerURLs[0].String() != "http://localhost:2380" {
		t.Errorf("listens on %v and %v", cfg.ListenClientURLs, cfg.ListenPeerURLs)
	}
	if cfg.MaxRequestBytes != 1572864 || cfg.MaxTxnOps != 128 || cfg.MaxConcurrentStreams != 1<<32-1 || cfg.SnapshotEntries != 0 {
		t.Errorf("limits %d %d %d, snapshot after %d", cfg.MaxRequestBytes, cfg.MaxTxnOps, cfg.MaxConcurrentStreams, cfg.SnapshotEntries)
	}
	if cfg.HeartbeatInterval != 100*time.Millisecond || cfg.ElectionTimeout != time.Second || !cfg.PreVote || !cfg.Gateway {
		t.Errorf("heartbeat %v, election %v, pre-vote %v, gateway %v", cfg.HeartbeatInterval, cfg.ElectionTimeout, cfg.PreVote, cfg.Gateway)
	}
}

func TestFlags_Forms(t *testing.T) {
	for name, args := range map[string][]string{
		"equals":       {"--name=a"},
		"next word":    {"--name", "a"},
		"one dash":     {"-name=a"},
		"last wins":    {"--name=b", "--name=a"},
		"bare boolean": {"--enable-pprof", "--name=a"},
		"false":        {"--pre-vote=false", "--name", "a"},
	} {
		cfg, _, err := settings(t, args, nil)
		if err != nil || cfg.Name != "a" {
			t.Errorf("%s: name %q, error %v", name, cfg.Name, err)
		}
		if name == "bare boolean" && !cfg.Profiles {
			t.Error("a bare boolean did not switch on")
		}
		if name == "false" && cfg.PreVote {
			t.Error("=false did not switch off")
		}
		if cfg.InitialCluster != "a=http://localhost:2380" || cfg.DataDir != "a.etcd" {
			t.Errorf("%s: cluster %q and data dir %q do not follow the name", name, cfg.InitialCluster, cfg.DataDir)
		}
	}
}

func TestEnvironment(t *testing.T) {
	cfg, _, err := settings(t, []string{"--name=flag"}, []string{"ETCD_NAME=variable", "ETCD_MAX_TXN_OPS=7", "ETCD_WAL_DIR="})
	if err != nil || cfg.Name != "flag" || cfg.MaxTxnOps != 7 {
		t.Errorf("name %q, max-txn-ops %d, error %v", cfg.Name, cfg.MaxTxnOps, err)
	}
	o := newOptions()
	warnings, err := o.parseEnvironment([]string{"ETCD_NO_SUCH=1", "PATH=/bin"})
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "ETCD_NO_SUCH") {
		t.Errorf("warnings %q, error %v", warnings, err)
	}
	if _, err := o.parseEnvironment([]string{"ETCD_ELECTION_TIMEOUT=soon"}); err == nil || !strings.Contains(err.Error(), "ETCD_ELECTION_TIMEOUT") {
		t.Errorf("a bad value in the environment: %v", err)
	}
}

func TestFlags_Fates(t *testing.T) {
	accepted := [][]string{
		{"--backend-bbolt-freelist-type=array"},
		{"--v2-deprecation=gone"},
		{"--max-wals", "3"},
		{"--experimental-compaction-batch-limit=10"},
		{"--feature-gates=FastLeaseKeepAlive=false"},
		{"--feature-gates=InitialCorruptCheck=true"},
		{"--feature-gates=SetMemberLocalAddr=true,CompactHashCheck=false"},
		{"--experimental-initial-corrupt-check"},
		{"--corrupt-check-time=1h"},
		{"-vv"},
	}
	for _, args := range accepted {
		if _, warnings, err := settings(t, args, nil); err != nil || len(warnings) != 1 {
			t.Errorf("%v: error %v, warnings %q; want one warning", args, err, warnings)
		}
	}
	refused := [][]string{
		{"--auth-token=jwt"},
		{"--auto-compaction-retention=1h"},
		{"--discovery-srv=example.com"},
		{"--discovery-endpoints=http://localhost:1"},
		{"--discovery-fallback=proxy"},
		{"--force-new-cluster"},
		{"--feature-gates=LeaseCheckpointPersist=true"},
	}
	for _, args := range refused {
		if _, _, err := settings(t, args, nil); err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(strings.Split(args[0], "=")[0], "--experimental-")) && !strings.Contains(err.Error(), "feature gate") {
			t.Errorf("%v: error %v; want one that names the flag", args, err)
		}
	}
	atDefault := [][]string{
		{"--auto-compaction-retention=0"},
		{"--force-new-cluster=0"},
		{"--corrupt-check-time=0ms"},
		{"--auth-token=simple"},
		{"--auth-token="},
		{"--feature-gates=InitialCorruptCheck=false,FastLeaseKeepAlive=true,"},
		{"--metrics=nosuch"},
		{"--cipher-suites=TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305"},
	}
	for _, args := range atDefault {
		if _, warnings, err := settings(t, args, nil); err != nil || len(warnings) != 0 {
			t.Errorf("%v: error %v, warnings %q; want neither", args, err, warnings)
		}
	}
}

// Tools look for these lines of etcd's in the log.
func TestFlags_DeprecationsInEtcdsWords(t *testing.T) {
	_, warnings, err := settings(t, []string{"--max-snapshots=3", "--v2-deprecation=gone"}, nil)
	want := []string{
		"--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.",
		"--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, ignoring user input.",
	}
	if err != nil || !slices.Equal(warnings, want) {
		t.Errorf("%q, %v", warnings, err)
	}
}

func TestFlags_OlderSpellings(t *testing.T) {
	cfg, _, err := settings(t, []string{"--experimental-warning-unary-request-duration=2s", "--warning-apply-duration=3s", "--experimental-snapshot-catchup-entries=9",
		"--experimental-watch-progress-notify-interval=3s"}, nil)
	if err != nil || cfg.WarnUnaryDuration != 2*time.Second || cfg.WarnApplyDuration != 3*time.Second || cfg.CatchUpEntries != 9 || cfg.WatchProgressInterval != 3*time.Second {
		t.Errorf("%v %d %v, error %v", cfg.WarnUnaryDuration, cfg.CatchUpEntries, cfg.WatchProgressInterval, err)
	}
	cfg, _, err = settings(t, []string{"--experimental-snapshot-catchup-entries=9", "--snapshot-catchup-entries=8"}, nil)
	if err != nil || cfg.CatchUpEntries != 8 {
		t.Errorf("today's spelling should win, got %d, error %v", cfg.CatchUpEntries, err)
	}
}

func TestFlags_Validation(t *testing.T) {
	for _, c := range []struct{ args, message string }{
		{"--listen-client-urls=http://127.0.0.1:1", "--advertise-client-urls is required when --listen-client-urls is set explicitly"},
		{"--listen-peer-urls=http://example.com:2380", "expected IP in URL for binding (http://example.com:2380)"},
		{"--heartbeat-interval=0", "--heartbeat-interval must be >0 (set to 0ms)"},
		{"--election-timeout=400", "--election-timeout[400ms] should be at least as 5 times as --heartbeat-interval[100ms]"},
		{"--election-timeout=60000", "--election-timeout[60000ms] is too long, and should be set less than 50000ms"},
		{"--initial-advertise-peer-urls=http://:2380", `--initial-advertise-peer-urls "http://:2380" must be "host:port"`},
		{"--tls-min-version=TLS1.0", "unexpected TLS version"},
		{"--cipher-suites=NO_SUCH_SUITE", "unexpected TLS cipher suite"},
		{"--auto-compaction-mode=sometimes", `unknown auto-compaction-mode "sometimes"`},
		{"--logger=capnslog", `--logger=capnslog is removed in v3.5`},
		{"--log-format=person", `unknown log format: person, supported values json, console`},
	} {
		if _, _, err := settings(t, strings.Fields(c.args), nil); err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: error %v; want %q", c.args, err, c.message)
		}
	}
}

func TestRun_ExitCodes(t *testing.T) {
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"--version", 0, "etcd Version: 3.7.3\n", ""},
		{"--help", 0, "--listen-client-urls", "Usage:"},
		{"--no-such-flag", 2, "", "flag provided but not defined: -no-such-flag"},
		{"--no-such-flag", 2, "", "Usage:"},
		{"--election-timeout=soon", 2, "", `invalid value "soon" for flag -election-timeout`},
		{"--initial-cluster-state=other", 2, "", "initial-cluster-state"},
		{"--listen-client-urls=ftp://h:1", 2, "", "URL scheme must be http, https, unix, or unixs: ftp://h:1"},
		{"stray", 1, "", ""},
		{"--discovery=http://localhost", 2, "", "flag provided but not defined: -discovery\n"},
		{"--feature-gates=NoSuch=true", 2, "", `invalid value "NoSuch=true" for flag -feature-gates: unrecognized feature gate: NoSuch` + "\n"},
		{"--v2-deprecation=not-yet", 2, "", `invalid value "not-yet" for flag -v2-deprecation: invalid value "not-yet"` + "\n"},
		{"--max-txn-ops=99999999999999999999", 2, "", `invalid value "99999999999999999999" for flag -max-txn-ops: value out of range` + "\n"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(c.args), nil, &stdout, &stderr)
		if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("detcd %s: exit %d, want %d; stdout %q, want %q; stderr %q, want %q", c.args, code, c.code, stdout.String(), c.stdout, stderr.String(), c.stderr)
		}
	}
	var stdout bytes.Buffer
	run([]string{"--version"}, nil, &stdout, &bytes.Buffer{})
	if !strings.HasPrefix(stdout.String(), "etcd Version: 3.7.3\n") || !strings.Contains(stdout.String(), "detcd Version: "+detcdVersion) {
		t.Errorf("--version prints %q", stdout.String())
	}
}

func TestConfigFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "detcd.yml")
	text := `
name: filed
data-dir: /somewhere
heartbeat-interval: 50
election-timeout: 500
listen-client-urls: http://127.0.0.1:12379
advertise-client-urls: http://127.0.0.1:12379
wal-dir:
grpc-keepalive-min-time: 3000000000
grpc-keepalive-timeout: 7s
log-outputs: [stderr, stdout]
client-transport-security:
  cert-file: c.pem
  key-file: k.pem
  client-cert-auth: true
  trusted-ca-file: ca.pem
peer-transport-security:
  allowed-cn: [one, two]
  auto-tls: true
no-such-key: 7
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := parse(t, []string{"--config-file", path, "--name=flag", "--max-txn-ops=3"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	warnings, err := o.parseFile(path)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "no-such-key") {
		t.Fatalf("warnings %q, error %v", warnings, err)
	}
	cfg, _, err := o.settings()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Name != "filed" || cfg.MaxTxnOps != 128 {
		t.Errorf("the file does not replace the flags: name %q, max-txn-ops %d", cfg.Name, cfg.MaxTxnOps)
	}
	if cfg.DataDir != "/somewhere" || cfg.HeartbeatInterval != 50*time.Millisecond || cfg.KeepAliveMinTime != 3*time.Second || cfg.KeepAliveTimeout != 7*time.Second {
		t.Errorf("data dir %q, heartbeat %v, keep-alive %v %v", cfg.DataDir, cfg.HeartbeatInterval, cfg.KeepAliveMinTime, cfg.KeepAliveTimeout)
	}
	if cfg.ClientTLS.CertFile != "c.pem" || !cfg.ClientTLS.ClientCertAuth || cfg.ClientTLS.TrustedCAFile != "ca.pem" {
		t.Errorf("client TLS %+v", cfg.ClientTLS)
	}
	if strings.Join(cfg.PeerTLS.AllowedCNs, " ") != "one two" || !cfg.PeerTLS.Auto {
		t.Errorf("peer TLS %+v", cfg.PeerTLS)
	}
	if got := o.list("log-outputs"); strings.Join(got, " ") != "stderr stdout" {
		t.Errorf("log outputs %q", got)
	}
}

// What YAML makes of a value must not become another one, and text is text only. The comments say what stock etcd 3.7.3 does.
func TestConfigFile_KeepsWhatIsWritten(t *testing.T) {
	for _, c := range []struct {
		text string
		flag string
		want string // empty: refused
	}{
		// Stock refuses all of these: cannot unmarshal bool (number) into ... of type string.
		{"name: on", "name", ""},
		{"name: yes", "name", ""},
		{"name: 007", "name", ""},
		{"name: 1e3", "name", ""},
		{"name: 0x10", "name", ""},
		{"name: 1.50", "name", ""},
		{"name: [a, b]", "name", ""},
		{"name: {a: b}", "name", ""},
		{"initial-cluster-token: 007", "initial-cluster-token", ""},
		{"auto-compaction-retention: 1", "auto-compaction-retention", ""},
		{"metrics: 5", "metrics", ""},
		{"log-outputs: [on]", "log-outputs", ""},
		{"log-outputs: [1]", "log-outputs", ""},
		{"client-transport-security:\n  cert-file: 7", "cert-file", ""},
		{"peer-transport-security:\n  allowed-cn: [on]", "peer-cert-allowed-cn", ""},
		{"max-txn-ops: on", "max-txn-ops", ""},
		{"max-txn-ops: 1.5", "max-txn-ops", ""},
		{"max-txn-ops: [1]", "max-txn-ops", ""},
		{"watch-progress-notify-interval: 5.5", "watch-progress-notify-interval", ""},
		{"feature-gates: NoSuch=true", "feature-gates", ""},
		// Stock takes them as written.
		{"name: 'on'", "name", "on"},
		{`name: "007"`, "name", "007"},
		{"name: 2026-11-29", "name", "2026-11-29"},
		{"name: 12:30:00", "name", "12:30:00"},
		{"name: 1e400", "name", "1e400"},
		{"name:", "name", "default"},
		{"name: a\nname: b", "name", "b"},
		{`peer-transport-security:
  allowed-cn: ["Acme, Inc.", b]`, "peer-cert-allowed-cn", "Acme, Inc.|b"},
		{"v2-deprecation: not-yet", "v2-deprecation", "not-yet"}, // deprecated: the value is not looked at
		// Stock takes other ways to write a number.
		{"max-txn-ops: 1e3", "max-txn-ops", "1000"},
		{"max-txn-ops: 0x10", "max-txn-ops", "16"},
		{"max-txn-ops: 007", "max-txn-ops", "7"},
		{"heartbeat-interval: 50.0", "heartbeat-interval", "50"},
		{"watch-progress-notify-interval: 5e9", "watch-progress-notify-interval", "5s"},
		{"enable-pprof: on", "enable-pprof", "true"},
		{"enable-pprof: yes", "enable-pprof", "true"},
		// Stock refuses these; here their meaning is plain.
		{`max-txn-ops: "5"`, "max-txn-ops", "5"},
		{`enable-pprof: "true"`, "enable-pprof", "true"},
		{"watch-progress-notify-interval: 10m", "watch-progress-notify-interval", "10m"},
		{"log-outputs: stderr", "log-outputs", "stderr"},
	} {
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := newOptions()
		_, err := o.parseFile(path)
		switch {
		case c.want == "" && err == nil:
			t.Errorf("%q: %s is %q; it should be refused", c.text, c.flag, o.text(c.flag))
		case c.want != "" && err != nil:
			t.Errorf("%q: %v", c.text, err)
		case c.want != "" && o.text(c.flag) != c.want && strings.Join(o.list(c.flag), "|") != c.want:
			t.Errorf("%q: %s is %q, want %q", c.text, c.flag, o.text(c.flag), c.want)
		}
		if c.want == "" && err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%q: the error does not name the file: %v", c.text, err)
		}
	}
}

// In etcd's files these are keys of sections only; at the top stock does not know them, and they do nothing.
func TestConfigFile_KeysOfSectionsAreUnknownAtTheTop(t *testing.T) {
	for key, section := range map[string]string{
		"cert-file": "client-transport-security", "client-cert-auth": "client-transport-security", "auto-tls": "client-transport-security",
		"peer-cert-file": "peer-transport-security", "peer-auto-tls": "peer-transport-security", "peer-cert-allowed-cn": "peer-transport-security",
		"peer-skip-client-san-verification": "peer-transport-security", "socket-reuse-port": "socket-options", "discovery-token": "discovery-config",
	} {
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, []byte(key+": true\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		o := newOptions()
		warnings, err := o.parseFile(path)
		if err != nil || o[key].from != fromDefault || len(warnings) != 1 || !strings.Contains(warnings[0], section) {
			t.Errorf("%s: %q, warnings %q, %v", key, o.text(key), warnings, err)
		}
	}
	for _, key := range []string{"discovery-srv", "self-signed-cert-validity", "cipher-suites", "tls-min-version"} {
		if _, inside := insideOnly(key); inside {
			t.Errorf("%s is a key of its own", key)
		}
	}
}
