package server

import (
	"context"
	"net/url"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
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
	before := time.Now()
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(before))
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
