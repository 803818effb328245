package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// cluster is the running processes of one contender, one a member.
type cluster struct {
	name   string
	procs  []*exec.Cmd
	exited []chan error // by member; closed after the process has ended and its error was sent
	logs   []string     // by member, the file that holds what it printed
	addrs  []string     // by member, host:port for clients
	argv   [][]string   // by member, what it was started with
	leader int          // index of the member that led when the cluster was last asked
}

// startCluster starts members processes of the server binary, with the flags that detcd and etcd share, and waits until they serve.
func startCluster(ctx context.Context, name, binary, dir string, members int, extra []string) (*cluster, error) {
	ports, err := freePorts(2 * members)
	if err != nil {
		return nil, err
	}
	url := func(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }
	var initial []string
	for i := range members {
		initial = append(initial, fmt.Sprintf("m%d=%s", i, url(ports[2*i])))
	}
	c := &cluster{name: name}
	for i := range members {
		peer, client := url(ports[2*i]), url(ports[2*i+1])
		id := fmt.Sprintf("%s-%d-%d", name, members, i)
		args := append([]string{
			"--name", fmt.Sprintf("m%d", i), "--data-dir", filepath.Join(dir, id),
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-token", name,
			"--initial-cluster-state", "new", "--quota-backend-bytes", "8589934592", "--log-level", "warn",
		}, extra...)
		if err := c.start(binary, args, filepath.Join(dir, id+".log"), client[len("http://"):]); err != nil {
			c.stop()
			return nil, err
		}
	}
	if err := c.awaitLeader(ctx); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// startCeiling starts this very program as the server that does nothing.
func startCeiling(ctx context.Context, dir string, valueBytes int) (*cluster, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", ports[0])
	c := &cluster{name: nameCeiling}
	args := []string{"-serve-ceiling", addr, "-value-bytes", fmt.Sprint(valueBytes)}
	if err := c.start(self, args, filepath.Join(dir, "ceiling.log"), addr); err != nil {
		return nil, err
	}
	if err := c.awaitLeader(ctx); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *cluster) start(binary string, args []string, log, addr string) error {
	out, err := os.Create(log)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = endWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	exited := make(chan error, 1)
	go func() {
		exited <- cmd.Wait()
		close(exited)
	}()
	c.procs = append(c.procs, cmd)
	c.exited = append(c.exited, exited)
	c.logs = append(c.logs, log)
	c.addrs = append(c.addrs, addr)
	c.argv = append(c.argv, append([]string{binary}, args...))
	return nil
}

// restart ends all members and starts them again on the data they have, and waits until they serve.
func (c *cluster) restart(ctx context.Context) error {
	c.stop()
	old := *c
	*c = cluster{name: old.name}
	for i, argv := range old.argv {
		if err := c.start(argv[0], argv[1:], old.logs[i], old.addrs[i]); err != nil {
			return err
		}
	}
	return c.awaitLeader(ctx)
}

// stop ends the processes and waits for them.
func (c *cluster) stop() {
	for _, p := range c.procs {
		p.Process.Kill()
	}
	for _, exited := range c.exited {
		<-exited
	}
}

// awaitLeader waits until every member knows a leader and notes which it is.
func (c *cluster) awaitLeader(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for i := range c.procs {
		for {
			leads, err := c.status(ctx, i)
			if err == nil {
				if leads {
					c.leader = i
				}
				break
			}
			select {
			case exit := <-c.exited[i]:
				return fmt.Errorf("%s, member %d, ended: %v\n%s", c.name, i, exit, tail(c.logs[i]))
			case <-ctx.Done():
				return fmt.Errorf("%s, member %d, does not serve: %w\n%s", c.name, i, err, tail(c.logs[i]))
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// status asks a member whether it leads; an error when it knows no leader.
func (c *cluster) status(ctx context.Context, i int) (leads bool, err error) {
	conn, err := connect(c.addrs[i])
	if err != nil {
		return false, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return false, err
	}
	if s.Leader == 0 {
		return false, errors.New("no leader")
	}
	return s.Leader == s.Header.MemberId, nil
}

// usage returns CPU time and memory of all members together.
func (c *cluster) usage() (cpu time.Duration, rss uint64, err error) {
	for _, p := range c.procs {
		memberCPU, memberRSS, err := usage(p.Process.Pid)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", c.name, err)
		}
		cpu += memberCPU
		rss += memberRSS
	}
	return cpu, rss, nil
}

// pids are the members' processes.
func (c *cluster) pids() []int {
	var pids []int
	for _, p := range c.procs {
		pids = append(pids, p.Process.Pid)
	}
	return pids
}

// freePorts returns ports of 127.0.0.1 that nobody listens on now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all are held until all are chosen, so that none is chosen twice
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// tail returns the end of a log.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}
