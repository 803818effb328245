package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// meter measures the processes of one contender.
type meter interface {
	// usage is what all of them have used and hold.
	usage() (cpu time.Duration, rss uint64, err error)
	pids() []int
}

var _ meter = (*cluster)(nil)

// cpuOf returns the CPU time that the servers and this process have used so far.
func cpuOf(m meter) (server, client time.Duration, err error) {
	if server, _, err = m.usage(); err != nil {
		return 0, 0, err
	}
	client, _, err = usage(os.Getpid())
	return server, client, err
}

// peakInterval is how often memory is looked at; where the kernel keeps the peak itself, that is exact.
const peakInterval = 5 * time.Millisecond

// peakMeter finds the most memory that each process has had resident.
type peakMeter struct {
	processes []int
	kept      []bool   // whether the kernel keeps the peak from the meter's start on
	seen      []uint64 // in samples
	quit      chan struct{}
	done      chan struct{}
	once      sync.Once
}

func startPeak(m meter) *peakMeter {
	p := &peakMeter{processes: m.pids(), quit: make(chan struct{}), done: make(chan struct{})}
	p.seen = make([]uint64, len(p.processes))
	for _, pid := range p.processes {
		p.kept = append(p.kept, forgetPeak(pid) == nil)
	}
	go func() {
		defer close(p.done)
		for {
			for i, pid := range p.processes {
				if _, rss, err := usage(pid); err == nil { // one that has ended is reported by stop
					p.seen[i] = max(p.seen[i], rss)
				}
			}
			select {
			case <-p.quit:
				return
			case <-time.After(peakInterval):
			}
		}
	}()
	return p
}

// stop ends the meter and returns the sum of the processes' peaks.
func (p *peakMeter) stop() (sum uint64, err error) {
	p.once.Do(func() { close(p.quit) })
	<-p.done
	for i, pid := range p.processes {
		peak := p.seen[i]
		if p.kept[i] {
			kept, err := peakMemory(pid)
			if err != nil {
				return 0, err
			}
			peak = max(peak, kept)
		}
		sum += peak
	}
	return sum, nil
}

// settledMemory waits until the memory of the processes no longer changes, and returns it. A server that never rests is taken as it is in
// the end.
func settledMemory(ctx context.Context, m meter) (uint64, error) {
	const (
		stillFor  = time.Second
		waitMax   = 10 * time.Second
		tolerance = 1 << 20
	)
	var low, high uint64
	begin := time.Now()
	since := begin
	for {
		_, rss, err := m.usage()
		if err != nil {
			return 0, err
		}
		if low, high = min(low, rss), max(high, rss); high-low > tolerance {
			low, high, since = rss, rss, time.Now()
		}
		if now := time.Now(); now.Sub(since) >= stillFor || now.Sub(begin) >= waitMax || ctx.Err() != nil {
			return rss, ctx.Err()
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

// settledRevision asks every member for its revision after it has caught up; with no writes under way they all agree.
func settledRevision(ctx context.Context, addrs []string) (revision int64, err error) {
	for i, addr := range addrs {
		conn, err := connect(addr)
		if err != nil {
			return 0, err
		}
		r, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte{0}, CountOnly: true})
		if err = errors.Join(err, conn.Close()); err != nil {
			return 0, err
		}
		if got := r.GetHeader().GetRevision(); i == 0 {
			revision = got
		} else if got != revision {
			return 0, fmt.Errorf("members are at revisions %d and %d, though nothing writes", revision, got)
		}
	}
	return revision, nil
}
