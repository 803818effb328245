package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// serverBinary is what DETCD_CTL_SERVER names, or detcd, built for the test.
func serverBinary(t *testing.T) string {
	t.Helper()
	if named := os.Getenv("DETCD_CTL_SERVER"); named != "" {
		return named
	}
	path := filepath.Join(t.TempDir(), "detcd")
	if text, err := exec.Command("go", "build", "-o", path, "github.com/detcd/detcd/cmd/detcd").CombinedOutput(); err != nil {
		t.Fatalf("go build ./cmd/detcd: %v\n%s", err, text)
	}
	return path
}

// peerURL is where no member listens, nor any other is: ids are derived from it, and so are the same in all servers.
const peerURL = "http://127.0.0.1:9"

// startServer starts a member that says clients reach it at advertised (empty: where it listens), waits until it answers, and returns where it
// listens. It ends with the test.
func startServer(t *testing.T, binary, advertised string) string {
	t.Helper()
	clients, peers := freePort(t), freePort(t)
	if advertised == "" {
		advertised = clients
	}
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c := exec.Command(binary, "--name", "one", "--data-dir", filepath.Join(dir, "data"),
		"--listen-client-urls", "http://"+clients, "--advertise-client-urls", "http://"+advertised,
		"--listen-peer-urls", "http://"+peers, "--initial-advertise-peer-urls", peerURL, "--initial-cluster", "one="+peerURL,
		"--strict-reconfig-check=false")
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	})
	waitUntilServing(t, clients, log.Name())
	return clients
}

func waitUntilServing(t *testing.T, address, log string) {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		_, err := c.Get(ctx, "x")
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			text, _ := os.ReadFile(log)
			t.Fatalf("the server does not answer: %v\n%s", err, text)
		}
	}
}

// freePort is an address that nobody listens at, with a port of five digits.
func freePort(t *testing.T) string {
	t.Helper()
	l, _ := endpoint(t)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).String()
}
