package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/netio/disk"
)

// loopback is the configuration of a single member with data of its own, on free ports.
func loopback(t *testing.T) Config {
	t.Helper()
	c := DefaultConfig()
	c.DataDir = t.TempDir()
	c.ListenClientURLs = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c.ListenPeerURLs = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c.HeartbeatInterval, c.ElectionTimeout = 10*time.Millisecond, 100*time.Millisecond
	return c
}

// start starts a server that is stopped when the test ends, and waits until it serves.
func start(t *testing.T, c Config) *Server {
	t.Helper()
	s, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	select {
	case <-s.Ready():
	case err := <-s.Failed():
		t.Fatal(err)
	case <-time.After(20 * time.Second):
		t.Fatal("not ready")
	}
	return s
}

// dial connects etcd's own client.
func dial(t *testing.T, s *Server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.ClientAddr().String()}, DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestServer_KeepsWhatItAcknowledgedOverARestart(t *testing.T) {
	c := loopback(t)
	s := start(t, c)
	client := dial(t, s)
	put, err := client.Put(bounded(t), "k", "v")
	if err != nil || put.Header.Revision != 2 || put.Header.RaftTerm != 2 {
		t.Fatalf("first put of a new cluster: %v, error %v", put, err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	// Who the member is is in its data now, whatever the flags say.
	c.InitialCluster, c.InitialClusterToken, c.JoinExisting = "someone=http://127.0.0.1:1", "other", true
	s = start(t, c)
	got, err := dial(t, s).Get(bounded(t), "k")
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "v" || got.Header.Revision != 2 {
		t.Fatalf("after the restart: %v, error %v", got, err)
	}
	if got.Header.MemberId != put.Header.MemberId || got.Header.ClusterId != put.Header.ClusterId {
		t.Errorf("the member has become another: %v, was %v", got.Header, put.Header)
	}
}

// reserve takes a free port of the loopback interface and gives it back, to be used at once.
func reserve(t *testing.T) url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return url.URL{Scheme: "http", Host: l.Addr().String()}
}

// startThree starts a cluster of three members and waits until all serve.
func startThree(t *testing.T) []*Server {
	t.Helper()
	for attempt := 0; ; attempt++ {
		servers, err := tryThree(t)
		if err == nil {
			return servers
		}
		// Somebody else took a port between its reservation and its use.
		if attempt == 5 || !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

func tryThree(t *testing.T) (servers []*Server, err error) {
	t.Helper()
	var peers []url.URL
	var members []string
	for i := range 3 {
		next := reserve(t)
		for slices.Contains(peers, next) { // a port that was given back may be the next one again
			next = reserve(t)
		}
		peers = append(peers, next)
		members = append(members, fmt.Sprintf("m%d=%s", i, peers[i].String()))
	}
	for i := range 3 {
		c := loopback(t)
		c.Name = fmt.Sprintf("m%d", i)
		c.ListenPeerURLs, c.AdvertisePeerURLs = peers[i:i+1], peers[i:i+1]
		c.InitialCluster = strings.Join(members, ",")
		s, err := Start(c)
		if err != nil {
			for _, s := range servers {
				s.Close(context.Background())
			}
			return nil, err
		}
		t.Cleanup(func() { s.Close(context.Background()) })
		servers = append(servers, s)
	}
	for i, s := range servers {
		select {
		case <-s.Ready():
		case <-time.After(20 * time.Second):
			t.Fatalf("member %d does not get ready", i)
		}
	}
	return servers, nil
}

func TestServer_ThreeMembers(t *testing.T) {
	servers := startThree(t)
	for i, s := range servers {
		if _, err := dial(t, s).Put(bounded(t), fmt.Sprint("k", i), "v"); err != nil {
			t.Errorf("put at member %d: %v", i, err)
		}
	}
	for i, s := range servers {
		got, err := dial(t, s).Get(bounded(t), "k", clientv3.WithPrefix())
		if err != nil || got.Count != 3 || got.Header.MemberId != uint64(s.watcher.self) {
			t.Errorf("get at member %d: %v, error %v", i, got, err)
		}
	}
	list, err := dial(t, servers[0]).MemberList(bounded(t))
	if err != nil || len(list.Members) != 3 || list.Members[0].Name == "" || len(list.Members[0].ClientURLs) != 1 {
		t.Errorf("members %v, error %v", list, err)
	}
}

func TestServer_BothKindsOfURLsOnOnePort(t *testing.T) {
	c := loopback(t)
	plain := reserve(t)
	secure := plain
	secure.Scheme = "https"
	c.ListenClientURLs = []url.URL{plain, secure}
	c.ClientTLS.Auto = true
	s := start(t, c)
	if _, err := dial(t, s).Put(bounded(t), "k", "v"); err != nil {
		t.Errorf("without TLS: %v", err)
	}
	config := &tls.Config{InsecureSkipVerify: true}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{secure.String()}, TLS: config, DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if got, err := client.Get(bounded(t), "k"); err != nil || got.Count != 1 {
		t.Errorf("with TLS: %v, error %v", got, err)
	}
	web := http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	resp, err := web.Get(secure.String() + "/version")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.Proto != "HTTP/2.0" || !strings.Contains(string(text), "3.7.3") {
		t.Errorf("a client that offers h2 and http/1.1 got %s: %q", resp.Proto, text)
	}
}

func TestServer_ClientsNeedACertificate(t *testing.T) {
	c := loopback(t)
	c.ListenClientURLs[0].Scheme = "https"
	dir := t.TempDir()
	// A certificate that is its own authority serves both sides.
	made := TLS{Auto: true}
	if err := made.makeAuto(dir, []string{"127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	c.ClientTLS = TLS{CertFile: made.CertFile, KeyFile: made.KeyFile, TrustedCAFile: made.CertFile, ClientCertAuth: true}
	s := start(t, c)
	config, err := c.ClientTLS.client()
	if err != nil {
		t.Fatal(err)
	}
	get := func(config *tls.Config) error {
		web := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		resp, err := web.Get("https://" + s.ClientAddr().String() + "/health")
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := get(config); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if err := get(&tls.Config{RootCAs: config.RootCAs}); err == nil {
		t.Error("without a certificate a client was let in")
	}
}

func TestServer_UnixSocketAndSplitURLs(t *testing.T) {
	c := loopback(t)
	socket := filepath.Join(t.TempDir(), "client.sock")
	c.ListenClientURLs = []url.URL{{Scheme: "unix", Path: socket}}
	web, metrics := reserve(t), reserve(t)
	c.ListenClientHTTPURLs, c.ListenMetricsURLs = []url.URL{web}, []url.URL{metrics}
	start(t, c)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + socket}, DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Put(bounded(t), "k", "v"); err != nil {
		t.Error(err)
	}
	for u, want := range map[string]string{
		web.String() + "/version":     "3.7.3",
		metrics.String() + "/metrics": "etcd_server_has_leader 1",
		metrics.String() + "/health":  "true",
		metrics.String() + "/version": "404",
	} {
		resp, err := http.Get(u)
		if err != nil {
			t.Errorf("%s: %v", u, err)
			continue
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %q, error %v; want %q", u, text, err, want)
		}
	}
}

func TestStart_RefusesDataOfEtcd(t *testing.T) {
	c := loopback(t)
	if err := os.MkdirAll(filepath.Join(c.DataDir, "member", "snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.DataDir, "member", "snap", "db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(c); !errors.Is(err, disk.ErrStockEtcd) {
		t.Errorf("error %v", err)
	}
}

func TestStart_GivesBackWhatItTook(t *testing.T) {
	c := loopback(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := c.ListenClientURLs
	c.ListenClientURLs = []url.URL{{Scheme: "http", Host: taken.Addr().String()}}
	if _, err := Start(c); err == nil {
		t.Fatal("started on a port that is taken")
	}
	c.ListenClientURLs = free
	start(t, c)
}

func TestFounders(t *testing.T) {
	base := func() *Config {
		c := DefaultConfig()
		c.Name = "a"
		c.AdvertisePeerURLs = []url.URL{{Scheme: "http", Host: "h1:2380"}}
		c.InitialCluster = "a=http://h1:2380,b=http://h2:2380"
		return &c
	}
	self, cluster, peers, err := founders(base())
	if err != nil || len(peers) != 2 || self == 0 || cluster == 0 {
		t.Fatalf("member %x of cluster %x with %v, error %v", self, cluster, peers, err)
	}
	for want, change := range map[string]func(*Config){
		`couldn't find local name "c" in the initial cluster configuration`:                                    func(c *Config) { c.Name = "c" },
		`--initial-cluster has a=http://h3:2380 but missing from --initial-advertise-peer-urls=http://h1:2380`: func(c *Config) { c.InitialCluster = "a=http://h1:2380,a=http://h3:2380" },
		`has duplicate url`:       func(c *Config) { c.InitialCluster = "a=http://h1:2380,b=http://h1:2380" },
		`initial cluster unset`:   func(c *Config) { c.InitialCluster = "" },
		`URL scheme must be http`: func(c *Config) { c.InitialCluster = "a=h1:2380" },
		`empty URL given for "a"`: func(c *Config) { c.InitialCluster = "a" },
	} {
		c := base()
		change(c)
		if _, _, _, err := founders(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", c.InitialCluster, err, want)
		}
	}
}
