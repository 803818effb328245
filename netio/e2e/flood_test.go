package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// flood keeps n connections open that say nothing, and dials anew where one is closed. It returns once all were open.
func flood(t *testing.T, ctx context.Context, address string, n int) {
	t.Helper()
	open := make(chan struct{})
	for range n {
		go func() {
			first := true
			for ctx.Err() == nil {
				conn, err := net.DialTimeout("tcp", address, 10*time.Second)
				if err != nil {
					time.Sleep(10 * time.Millisecond) // it is down
				} else {
					stop := context.AfterFunc(ctx, func() { conn.Close() })
					if first {
						first = false
						open <- struct{}{}
					}
					conn.Read(make([]byte, 1))
					stop()
					conn.Close()
				}
			}
		}()
	}
	for range n {
		select {
		case <-open:
		case <-time.After(time.Minute):
			t.Fatal("the flood does not rise")
		}
	}
}

// Whoever can reach the peer ports can open connections and say nothing.
func TestPeerPort_SilentConnectionsKeepNoMemberOut(t *testing.T) {
	t.Parallel()
	long(t)
	c := startCluster(t, 3)
	leader := c.leader()
	m := c.others(leader)[0]
	ctx, end := context.WithCancel(t.Context())
	defer end()
	for _, o := range c.members {
		flood(t, ctx, o.peer, 300)
	}
	m.kill()
	if _, err := newClient(t, leader).Put(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	m.start()
	eventually(t, m.name+" is healthy while the flood stands", func() error {
		resp, err := http.Get("http://" + m.client + "/health")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", resp.Status)
		}
		return nil
	})
	if ctx.Err() != nil {
		t.Fatal("the flood has ended")
	}
	if !stockEtcd {
		awaitLine(t, leader, `"level":"warn"`, "did not say in time that it is a member", `"remote-addr":"127.0.0.1:`)
	}
}
