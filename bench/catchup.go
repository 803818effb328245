package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// catchUpLoad stops a follower of a large state for a while, and lets it go on, while writes go on at a steady rate. What it is about is
// how long the follower takes to be level again, how often it needs the whole state for that, and what memory.
type catchUpLoad struct {
	keys, valueBytes int
	rate             int // puts a second
	away             time.Duration
}

const (
	// catchUpBound is how long a follower may take, after which the run has failed.
	catchUpBound = 2 * time.Minute
	// catchUpSlack is how long ago what the follower has may have been new on the leader, for it to count as level.
	catchUpSlack = 500 * time.Millisecond
	catchUpPoll  = 50 * time.Millisecond
	// catchUpWriters put in turn, so that one slow answer delays no others.
	catchUpWriters = 50
)

func (catchUpLoad) kind() string             { return "catchup" }
func (catchUpLoad) offered(members int) bool { return members == 3 }
func (l catchUpLoad) lasts() time.Duration   { return l.away + 5*time.Second }
func (catchUpLoad) alone() bool              { return true }
func (l catchUpLoad) load() string {
	return fmt.Sprintf("%d keys of %d bytes, %d puts/s, away for %v", l.keys, l.valueBytes, l.rate, l.away)
}

func (l catchUpLoad) prepare(ctx context.Context, c *cluster) error {
	conn, err := connect(c.addrs[c.leader])
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	kv := pb.NewKVClient(conn)
	for i := range l.keys {
		value := make([]byte, l.valueBytes)
		fillValue(value)
		if _, err := kv.Put(ctx, &pb.PutRequest{Key: keyAt(i), Value: value}); err != nil {
			return fmt.Errorf("preload: %w", err)
		}
	}
	return nil
}

func (l catchUpLoad) run(ctx context.Context, c *cluster, started func()) ([]figure, error) {
	follower := (c.leader + 1) % len(c.procs)
	before, err := c.snapshotsSent(ctx)
	if err != nil {
		return nil, err
	}
	writeCtx, stopWrites := context.WithCancel(ctx)
	defer stopWrites()
	writes := l.startWrites(writeCtx, c.addrs[c.leader])
	started()
	sleep(ctx, time.Second)
	resume, err := c.hold(follower)
	if err != nil {
		return nil, err
	}
	defer resume()
	sleep(ctx, l.away)
	for _, i := range []int{c.leader, follower} {
		_ = forgetPeak(c.pids()[i]) // where that is not allowed, the peak is that of the whole life, on both
	}
	missed := writes.done.Load()
	resume()
	begin := time.Now()
	if err := l.awaitLevel(ctx, c, follower); err != nil {
		return nil, err
	}
	level := time.Since(begin)
	// A second transfer, or memory that is needed for what came, may follow.
	sleep(ctx, 3*time.Second)
	meanwhile := writes.done.Load() - missed
	rate := float64(meanwhile) / time.Since(begin).Seconds()
	stopWrites()
	writes.wait.Wait()
	if err := writes.failed(); err != nil {
		return nil, err
	}
	after, err := c.snapshotsSent(ctx)
	if err != nil {
		return nil, err
	}
	var peak [2]uint64
	for at, i := range []int{c.leader, follower} {
		if peak[at], err = peakMemory(c.pids()[i]); err != nil {
			return nil, err
		}
	}
	return []figure{
		timeFigure("level after", level, "time"),
		countFigure("snapshots", after-before, ""),
		countFigure("puts/s meanwhile", rate, ""),
		bytesFigure("leader RSS", peak[0], ""),
		bytesFigure("follower RSS", peak[1], "follower RSS"),
		{"follower/leader", float64(peak[1]) / float64(peak[0]), func(v float64) string { return fmt.Sprintf("%.2f", v) }, ""},
	}, nil
}

// steadyWrites are puts that begin at even intervals, whatever becomes of those before.
type steadyWrites struct {
	wait  sync.WaitGroup
	done  atomic.Int64
	first atomic.Pointer[error]
}

func (w *steadyWrites) failed() error {
	if err := w.first.Load(); err != nil {
		return *err
	}
	return nil
}

func (l catchUpLoad) startWrites(ctx context.Context, addr string) *steadyWrites {
	w := &steadyWrites{}
	begin := time.Now()
	interval := time.Second * catchUpWriters / time.Duration(l.rate)
	for n := range catchUpWriters {
		w.wait.Go(func() {
			err := l.write(ctx, addr, begin.Add(interval*time.Duration(n)/catchUpWriters), interval, &w.done)
			if err != nil && ctx.Err() == nil {
				w.first.CompareAndSwap(nil, &err)
			}
		})
	}
	return w
}

// write puts until ctx is done.
func (l catchUpLoad) write(ctx context.Context, addr string, at time.Time, interval time.Duration, done *atomic.Int64) error {
	conn, err := connect(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	kv := pb.NewKVClient(conn)
	value := make([]byte, l.valueBytes)
	fillValue(value)
	for ; ; at = at.Add(interval) {
		sleep(ctx, time.Until(at))
		if ctx.Err() != nil {
			return nil
		}
		if _, err := kv.Put(ctx, &pb.PutRequest{Key: keyAt(rand.IntN(l.keys)), Value: value}); err != nil {
			return fmt.Errorf("put: %w", err)
		}
		done.Add(1)
	}
}

// awaitLevel waits until the follower has applied what the leader had a moment ago.
func (l catchUpLoad) awaitLevel(ctx context.Context, c *cluster, follower int) error {
	type mark struct {
		at    time.Time
		index uint64
	}
	var marks []mark // what the leader had applied, newest last
	for end := time.Now().Add(catchUpBound); time.Now().Before(end); sleep(ctx, catchUpPoll) {
		asked := time.Now()
		theirs, err := c.applied(ctx, c.leader)
		if err != nil {
			return err
		}
		marks = append(marks, mark{asked, theirs})
		own, err := c.applied(ctx, follower)
		if err != nil {
			continue // it comes back
		}
		for _, m := range marks {
			if time.Since(m.at) <= catchUpSlack && own >= m.index {
				return nil
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("the follower is not level after %v", catchUpBound)
}

// applied asks a member for the log index that it has applied.
func (c *cluster) applied(ctx context.Context, i int) (uint64, error) {
	conn, err := connect(c.addrs[i])
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
	return s.GetRaftAppliedIndex(), err
}

// snapshotsSent sums up what the leader's metrics say of snapshots sent to others.
func (c *cluster) snapshotsSent(ctx context.Context) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.addrs[c.leader]+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return 0, err
	}
	sum := 0.0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "etcd_network_snapshot_send_success{") {
			fields := strings.Fields(line)
			n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				return 0, fmt.Errorf("%q: %w", line, err)
			}
			sum += n
		}
	}
	return sum, nil
}
