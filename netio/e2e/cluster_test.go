package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// cluster is members of one cluster, each a process or about to be one.
type cluster struct {
	t       testing.TB
	members []*member
}

// member is one member: its place and flags, and its process while it runs.
type member struct {
	t          testing.TB
	name       string
	dir        string // the data directory
	log        string // file of all that its processes printed
	client     string // host:port
	peer       string // host:port
	flags      []string
	command    func(name string, args ...string) *exec.Cmd // nil: exec.Command
	process    *os.Process
	exited     chan struct{} // closed when the process has ended
	state      *os.ProcessState
	paused     bool
	connection *clientv3.Client
}

// newCluster makes a cluster of n members without starting it.
func newCluster(t testing.TB, n int, flags ...string) *cluster {
	t.Helper()
	c := &cluster{t: t}
	dir := t.TempDir()
	logs := dir
	if keep := os.Getenv("DETCD_E2E_LOGS"); keep != "" {
		logs = filepath.Join(keep, filepath.FromSlash(t.Name()))
		if err := os.MkdirAll(logs, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ports := freePorts(t, 2*n)
	var initial []string
	for i := range n {
		m := &member{
			t: t, name: fmt.Sprintf("m%d", i),
			client: fmt.Sprintf("127.0.0.1:%d", ports[2*i]), peer: fmt.Sprintf("127.0.0.1:%d", ports[2*i+1]),
		}
		m.dir, m.log = filepath.Join(dir, m.name), filepath.Join(logs, m.name+".log")
		initial = append(initial, m.name+"=http://"+m.peer)
		c.members = append(c.members, m)
	}
	for _, m := range c.members {
		m.flags = append([]string{
			"--name", m.name, "--data-dir", m.dir,
			"--listen-peer-urls", "http://" + m.peer, "--initial-advertise-peer-urls", "http://" + m.peer,
			"--listen-client-urls", "http://" + m.client, "--advertise-client-urls", "http://" + m.client,
			"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-token", "e2e", "--initial-cluster-state", "new",
		}, flags...)
	}
	t.Cleanup(func() {
		for _, m := range c.members {
			m.kill()
			if m.connection != nil {
				m.connection.Close()
			}
			if t.Failed() {
				t.Logf("%s, the end of its log:\n%s", m.name, m.logTail())
			}
		}
	})
	return c
}

// startCluster makes and starts a cluster and waits until every member serves.
func startCluster(t testing.TB, n int, flags ...string) *cluster {
	t.Helper()
	c := newCluster(t, n, flags...)
	for _, m := range c.members {
		m.start()
	}
	c.awaitServing()
	return c
}

func (c *cluster) awaitServing() {
	c.t.Helper()
	for _, m := range c.members {
		m.awaitServing()
	}
}

// leader waits for a leader and returns it. With some members down or paused, only the others are asked.
func (c *cluster) leader() *member {
	c.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		var leader *member
		var term uint64
		for _, m := range c.members {
			if m.process == nil || m.paused {
				continue
			}
			s, err := m.status()
			if err == nil && s.Leader == s.Header.MemberId && s.RaftTerm > term {
				leader, term = m, s.RaftTerm
			}
		}
		if leader != nil {
			return leader
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatal("no leader within 30 s")
	return nil
}

// others returns all members but m.
func (c *cluster) others(m *member) []*member {
	return slices.DeleteFunc(slices.Clone(c.members), func(o *member) bool { return o == m })
}

// endpoints are the client addresses of members.
func endpoints(members []*member) (out []string) {
	for _, m := range members {
		out = append(out, m.client)
	}
	return out
}

// newClient returns a client of the members given, closed when the test ends.
func newClient(t testing.TB, members ...*member) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints(members), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// start starts the member's process.
func (m *member) start() {
	m.t.Helper()
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	command := m.command
	if command == nil {
		command = exec.Command
	}
	cmd := command(serverBinary, m.flags...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	exited := make(chan struct{})
	m.process, m.exited, m.paused = cmd.Process, exited, false
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		m.state = cmd.ProcessState
		close(exited)
	}()
}

// kill ends the process at once, as kill -9 does, and waits until it is gone.
func (m *member) kill() {
	if m.process == nil {
		return
	}
	_ = m.process.Kill() // it may have ended by itself
	<-m.exited
	m.process = nil
}

// awaitExit waits until the process has ended by itself and returns how; patience is when to give up.
func (m *member) awaitExit(patience time.Duration) *os.ProcessState {
	m.t.Helper()
	select {
	case <-m.exited:
	case <-time.After(patience):
		m.t.Fatalf("%s still runs after %v", m.name, patience)
	}
	m.process = nil
	return m.state
}

func (m *member) signal(s os.Signal) {
	m.t.Helper()
	if err := m.process.Signal(s); err != nil {
		m.t.Fatal(err)
	}
	switch s {
	case syscall.SIGSTOP:
		m.paused = true
	case syscall.SIGCONT:
		m.paused = false
	}
}

// status asks the member itself.
func (m *member) status() (*clientv3.StatusResponse, error) {
	if m.connection == nil {
		var err error
		m.connection, err = clientv3.New(clientv3.Config{Endpoints: []string{m.client}, Logger: zap.NewNop()})
		if err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return m.connection.Status(ctx, m.client)
}

// awaitServing waits until the member answers and knows a leader; it fails the test when the process ends instead.
func (m *member) awaitServing() {
	m.t.Helper()
	eventually(m.t, m.name+" serves", func() error {
		select {
		case <-m.exited:
			m.t.Fatalf("%s ended: %v\n%s", m.name, m.state, m.logTail())
		default:
		}
		s, err := m.status()
		if err == nil && s.Leader == 0 {
			err = errors.New("it knows no leader")
		}
		return err
	})
}

// logText returns all that the member's processes have printed.
func (m *member) logText() string {
	data, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// logTail returns the end of the log, without the lines about slow requests, of which a busy machine makes thousands.
func (m *member) logTail() string {
	var text strings.Builder
	for line := range strings.Lines(m.logText()) {
		if !strings.Contains(line, "request stats") {
			text.WriteString(line)
		}
	}
	return text.String()[max(0, text.Len()-4000):]
}

// takenPorts are those that some cluster of this process has, whether its member runs or not.
var (
	takenPorts     = map[int]bool{}
	takenPortsLock sync.Mutex
)

// freePorts returns ports of the loopback interface that nobody listens on, each only once. They lie below the range that systems take ports
// of outgoing connections from, so that a port stays free while its member is down.
func freePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	takenPortsLock.Lock()
	defer takenPortsLock.Unlock()
	for range 1000 {
		port := 20000 + rand.IntN(12000)
		if takenPorts[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		l.Close()
		takenPorts[port] = true
		if ports = append(ports, port); len(ports) == n {
			return ports
		}
	}
	t.Fatal("no free ports")
	return nil
}
