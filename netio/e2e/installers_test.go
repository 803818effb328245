package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// installer starts the server as one of those that set clusters up does. In args, environ and file, CLIENT, PEER and METRICS stand for ports, DIR for
// a directory, CERT, KEY and CA for files of a certificate.
type installer struct {
	name    string
	args    string
	environ string
	file    string // the configuration file at DIR/config; empty: there is none
	probe   string // answers 200 once the server is up
}

var installers = []installer{
	{
		name: "kubeadm 1.36",
		args: `--name=n1 --feature-gates=InitialCorruptCheck=true --listen-client-urls=https://127.0.0.1:CLIENT --advertise-client-urls=https://127.0.0.1:CLIENT
			--listen-peer-urls=https://127.0.0.1:PEER --initial-advertise-peer-urls=https://127.0.0.1:PEER --data-dir=DIR/data --cert-file=CERT --key-file=KEY
			--trusted-ca-file=CA --client-cert-auth=true --peer-cert-file=CERT --peer-key-file=KEY --peer-trusted-ca-file=CA --peer-client-cert-auth=true
			--snapshot-count=10000 --listen-metrics-urls=http://127.0.0.1:METRICS --watch-progress-notify-interval=5s
			--initial-cluster=n1=https://127.0.0.1:PEER`,
		probe: "http://127.0.0.1:METRICS/readyz",
	},
	{
		name: "kubeadm before 1.36, with flags of etcd 3.5",
		args: `--name=n1 --experimental-initial-corrupt-check=true --experimental-watch-progress-notify-interval=5s
			--listen-client-urls=https://127.0.0.1:CLIENT --advertise-client-urls=https://127.0.0.1:CLIENT
			--listen-peer-urls=https://127.0.0.1:PEER --initial-advertise-peer-urls=https://127.0.0.1:PEER --data-dir=DIR/data --cert-file=CERT --key-file=KEY
			--trusted-ca-file=CA --client-cert-auth=true --peer-cert-file=CERT --peer-key-file=KEY --peer-trusted-ca-file=CA --peer-client-cert-auth=true
			--snapshot-count=10000 --listen-metrics-urls=http://127.0.0.1:METRICS --initial-cluster=n1=https://127.0.0.1:PEER`,
		probe: "http://127.0.0.1:METRICS/health?serializable=true",
	},
	{
		name: "RKE2",
		args: "--config-file=DIR/config",
		file: `
advertise-client-urls: https://127.0.0.1:CLIENT
client-transport-security:
  cert-file: CERT
  client-cert-auth: true
  key-file: KEY
  trusted-ca-file: CA
data-dir: DIR/data
election-timeout: 5000
experimental-initial-corrupt-check: true
experimental-watch-progress-notify-interval: 5000000000
heartbeat-interval: 500
initial-advertise-peer-urls: https://127.0.0.1:PEER
initial-cluster: server-5f0c31ab=https://127.0.0.1:PEER
initial-cluster-state: new
listen-client-http-urls: https://127.0.0.1:HTTP
listen-client-urls: https://127.0.0.1:CLIENT
listen-metrics-urls: http://127.0.0.1:METRICS
listen-peer-urls: https://127.0.0.1:PEER
log-outputs:
- stderr
logger: zap
name: server-5f0c31ab
peer-transport-security:
  cert-file: CERT
  client-cert-auth: true
  key-file: KEY
  trusted-ca-file: CA
snapshot-count: 10000
`,
		probe: "http://127.0.0.1:METRICS/health?serializable=true",
	},
	{
		name: "Debian's unit, and its /etc/default/etcd",
		environ: `ETCD_NAME=host ETCD_DATA_DIR=DIR/default ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:CLIENT ETCD_ADVERTISE_CLIENT_URLS=http://127.0.0.1:CLIENT
			ETCD_LISTEN_PEER_URLS=http://127.0.0.1:PEER ETCD_INITIAL_ADVERTISE_PEER_URLS=http://127.0.0.1:PEER ETCD_INITIAL_CLUSTER=host=http://127.0.0.1:PEER
			ETCD_INITIAL_CLUSTER_STATE=new ETCD_INITIAL_CLUSTER_TOKEN=etcd-cluster ETCD_LOG_OUTPUTS=stderr`,
		probe: "http://127.0.0.1:CLIENT/health",
	},
	{
		name: "etcd-operator",
		args: `--name=etcd-0 --listen-client-urls=http://0.0.0.0:CLIENT --advertise-client-urls=http://127.0.0.1:CLIENT --listen-peer-urls=http://0.0.0.0:PEER
			--initial-advertise-peer-urls=http://127.0.0.1:PEER`,
		environ: `ETCD_INITIAL_CLUSTER=etcd-0=http://127.0.0.1:PEER ETCD_INITIAL_CLUSTER_STATE=new ETCD_DATA_DIR=DIR/data`,
		probe:   "http://127.0.0.1:CLIENT/health",
	},
	{
		name: "k3s",
		args: "--config-file=DIR/config",
		file: `
name: node-1a2b3c4d
data-dir: DIR/db/etcd
advertise-client-urls: https://127.0.0.1:CLIENT
listen-client-urls: https://127.0.0.1:CLIENT
listen-peer-urls: https://127.0.0.1:PEER
listen-metrics-urls: http://127.0.0.1:METRICS
initial-advertise-peer-urls: https://127.0.0.1:PEER
initial-cluster: node-1a2b3c4d=https://127.0.0.1:PEER
initial-cluster-state: new
client-transport-security:
  cert-file: CERT
  key-file: KEY
  client-cert-auth: true
  trusted-ca-file: CA
peer-transport-security:
  cert-file: CERT
  key-file: KEY
  client-cert-auth: true
  trusted-ca-file: CA
snapshot-count: 10000
heartbeat-interval: 500
election-timeout: 5000
feature-gates: InitialCorruptCheck=true
watch-progress-notify-interval: 5000000000
logger: zap
log-outputs: [stderr]
`,
		probe: "http://127.0.0.1:METRICS/health?serializable=true",
	},
	{
		name: "all that stock etcd's own guides pass, and its older spellings of it",
		args: `-name n1 -data-dir DIR/data -wal-dir DIR/wal --listen-client-urls http://127.0.0.1:CLIENT --advertise-client-urls http://127.0.0.1:CLIENT
			--listen-peer-urls http://127.0.0.1:PEER --initial-advertise-peer-urls http://127.0.0.1:PEER --initial-cluster n1=http://127.0.0.1:PEER
			--initial-cluster-token tkn --initial-cluster-state new --max-snapshots 3 --max-wals 3 --quota-backend-bytes 8589934592 --max-request-bytes=10485760
			--auto-compaction-mode=periodic --strict-reconfig-check --enable-pprof --metrics=extensive --logger=zap --log-outputs=stderr --log-level=info
			--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305 --experimental-max-learners=1 --v2-deprecation=gone`,
		probe: "http://127.0.0.1:CLIENT/health",
	},
}

func TestInstallers_TheirCommandLinesStart(t *testing.T) {
	ownFiles(t) // stock etcd 3.7 has dropped the older spellings
	a := newAuthority(t)
	cert, key := a.issue("installed")
	for _, i := range installers {
		t.Run(i.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			pairs := []string{"CERT", cert, "KEY", key, "CA", a.file, "DIR", dir}
			for n, port := range freePorts(t, 4) {
				pairs = append(pairs, []string{"CLIENT", "PEER", "METRICS", "HTTP"}[n], fmt.Sprint(port))
			}
			// The names of variables are not to be filled in: they stand in front of their "=".
			fill := strings.NewReplacer(append([]string{"ETCD_DATA_DIR", "ETCD_DATA_DIR", "_CLIENT_", "_CLIENT_", "_PEER_", "_PEER_"}, pairs...)...).Replace
			if i.file != "" {
				if err := os.WriteFile(filepath.Join(dir, "config"), []byte(fill(i.file)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			said := startsAsInstalled(t, dir, strings.Fields(fill(i.args)), strings.Fields(fill(i.environ)), fill(i.probe))
			if asked := strings.Contains(strings.ToLower(i.args+i.file), "corrupt"); asked != strings.Contains(said, "this check between members is not there yet") {
				t.Errorf("it was asked for a check: %t; it says\n%s", asked, said)
			}
		})
	}
}

// startsAsInstalled runs the server as etcd, as a service of Type=notify, until it says that it is ready and its probe answers. It returns what
// was logged.
func startsAsInstalled(t *testing.T, dir string, args, environ []string, probe string) (log string) {
	t.Helper()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	file, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := exec.CommandContext(ctx, serverBinary, args...)
	c.Args[0], c.Dir, c.Stderr = "etcd", dir, file
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "NOTIFY_SOCKET=" + filepath.Join(dir, "n")}, environ...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = c.Wait()
		close(exited)
	}()
	defer func() {
		cancel()
		<-exited
	}()
	said := func() string {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	eventually(t, "the server is up", func() error {
		select {
		case <-exited:
			t.Fatalf("it ended:\n%s", said())
		default:
		}
		r, err := http.Get(probe)
		if err != nil {
			return err
		}
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", probe, r.Status)
		}
		if !strings.Contains(said(), "ready to serve client requests") {
			return fmt.Errorf("it has not said that it is ready")
		}
		return nil
	})
	word := make([]byte, 64)
	if n, err := manager.Read(word); err != nil || string(word[:n]) != "READY=1" {
		t.Errorf("the service manager hears %q, %v", word[:n], err)
	}
	if strings.Contains(said(), `"level":"error"`) {
		t.Errorf("it logs errors:\n%s", said())
	}
	return said()
}
