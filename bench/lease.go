package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// leaseLoad is many leases, granted once, and streams that renew them, each stream its own leases one after the other, over and over.
// A stream has some renewals under way at a time, as clients do: the stock one sends those of all its leases without waiting for answers.
type leaseLoad struct {
	leases, streams int
	pipeline        int
	warmUp, measure time.Duration
	idle            time.Duration
	granted         map[*cluster]grants
}

// grants is what granting the leases of a cluster showed.
type grants struct {
	perSecond float64
	cpu       time.Duration // of the servers
	rss       uint64        // how much the servers grew
}

const (
	methodLeaseGrant     = "/etcdserverpb.Lease/LeaseGrant"
	methodLeaseKeepAlive = "/etcdserverpb.Lease/LeaseKeepAlive"
	// leaseTTL is so long that no lease ends while bench runs.
	leaseTTL = 7200
	// leaseFirst is the id of the first lease.
	leaseFirst = int64(1) << 40
	// The load that grants leases: as many clients and connections as the larger one of the simple loads.
	grantClients, grantConns = 1000, 100
	// quietBefore is a pause before the idle time, for what an earlier load has left to do.
	quietBefore = 500 * time.Millisecond
)

func (leaseLoad) kind() string             { return "lease" }
func (leaseLoad) offered(members int) bool { return true }
func (l leaseLoad) lasts() time.Duration   { return l.warmUp + l.measure }
func (l leaseLoad) load() string {
	return fmt.Sprintf("%d leases/%d streams, %d under way on each", l.leases, l.streams, l.pipeline)
}

func (l leaseLoad) prepare(ctx context.Context, c *cluster) error {
	g, err := l.grant(ctx, c.addrs, c)
	if err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	l.granted[c] = g
	return nil
}

// grant grants all leases, with many clients at once.
func (l leaseLoad) grant(ctx context.Context, addrs []string, m meter) (g grants, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	conns := min(grantConns, l.leases)
	perConn := min(grantClients/conns, (l.leases+conns-1)/conns)
	cpu0, rss0, err := m.usage()
	if err != nil {
		return g, err
	}
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, conns*perConn)
	begin := time.Now()
	for i := range conns {
		conn, err := dialRaw(ctx, addrs[i%len(addrs)], perConn)
		if err != nil {
			return g, err
		}
		defer conn.close()
		for client := range perConn {
			all.Go(func() {
				for n := next.Add(1) - 1; n < int64(l.leases); n = next.Add(1) - 1 {
					request, err := proto.Marshal(&pb.LeaseGrantRequest{ID: leaseFirst + n, TTL: leaseTTL})
					if err == nil {
						_, err = conn.call(ctx, client, methodLeaseGrant, request)
					}
					if err != nil {
						failed <- err
						return
					}
				}
			})
		}
	}
	all.Wait()
	elapsed := time.Since(begin)
	select {
	case err := <-failed:
		return g, err
	default:
	}
	cpu1, rss1, err := m.usage()
	if rss1 > rss0 {
		g.rss = rss1 - rss0
	}
	g.perSecond, g.cpu = float64(l.leases)/elapsed.Seconds(), cpu1-cpu0
	return g, err
}

func (l leaseLoad) run(ctx context.Context, c *cluster, started func()) ([]figure, error) {
	return l.runOn(ctx, c.addrs, c, l.granted[c], started)
}

func (l leaseLoad) runOn(ctx context.Context, addrs []string, m meter, g grants, started func()) ([]figure, error) {
	sleep(ctx, quietBefore)
	idle0, _, err := m.usage()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	sleep(ctx, l.idle)
	idle1, _, err := m.usage()
	if err != nil {
		return nil, err
	}
	idle := time.Since(begin)

	peak := startPeak(m)
	defer peak.stop()
	ctx, cancel := context.WithTimeout(ctx, l.lasts()+20*time.Second)
	defer cancel()
	started()
	var phase atomic.Int32
	var streams []*renewStream
	defer func() {
		for _, s := range streams {
			s.raw.close()
		}
	}()
	perStream := l.leases / l.streams
	for i := range l.streams {
		s := &renewStream{phase: &phase, first: leaseFirst + int64(i*perStream), sent: make([]time.Time, perStream)}
		if err := s.open(ctx, addrs[i%len(addrs)], l.pipeline); err != nil {
			return nil, err
		}
		streams = append(streams, s)
	}
	sleep(ctx, l.warmUp)
	server0, client0, err := cpuOf(m)
	if err != nil {
		return nil, err
	}
	begin = time.Now()
	phase.Store(measuring)
	sleep(ctx, l.measure)
	phase.Store(stopping)
	elapsed := time.Since(begin)
	server1, client1, err := cpuOf(m)
	if err != nil {
		return nil, err
	}
	var times histogram
	for _, s := range streams {
		if <-s.raw.done; s.err() != nil {
			return nil, fmt.Errorf("keep alive: %w", s.err())
		}
		times.add(&s.times)
	}
	rss, err := peak.stop()
	if err != nil {
		return nil, err
	}
	n := times.total()
	if n == 0 {
		return nil, fmt.Errorf("no renewal within %v", l.measure)
	}
	return []figure{
		countFigure("keepalives/s", float64(n)/elapsed.Seconds(), "keepalives/s"),
		timeFigure("p50", times.quantile(0.5), ""),
		timeFigure("p99", times.quantile(0.99), ""),
		cpuFigure("server CPU/keepalive", server1-server0, n, "CPU/keepalive"),
		cpuFigure("client CPU/keepalive", client1-client0, n, ""),
		countFigure("grants/s", g.perSecond, "grants/s"),
		cpuFigure("server CPU/grant", g.cpu, uint64(l.leases), ""),
		bytesFigure("RSS grown by leases", g.rss, ""),
		bytesFigure("peak RSS", rss, "RSS"),
		percentFigure("idle CPU of a core", idle1-idle0, idle, "idle CPU"),
	}, nil
}

// renewStream renews its leases in turn. Each answer is checked: it is for a lease whose renewal is under way, and the lease lives.
type renewStream struct {
	raw   *rawStream
	phase *atomic.Int32
	first int64 // id of the first lease; the others follow

	mu   sync.Mutex  // held by open until all is set up
	sent []time.Time // by lease; zero: no renewal is under way
	next int
	away int // renewals under way
	// request is where a request is encoded.
	request []byte
	times   histogram
	broken  error
}

func (s *renewStream) open(ctx context.Context, addr string, pipeline int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, err := dialStream(ctx, addr, methodLeaseKeepAlive, nil, s.take)
	if err != nil {
		return err
	}
	s.raw = raw
	for range pipeline {
		s.renew(time.Now())
	}
	return raw.flush()
}

// renew sends the next lease's renewal. Caller holds mu.
func (s *renewStream) renew(now time.Time) {
	id := s.first + int64(s.next)
	s.sent[s.next] = now
	s.next = (s.next + 1) % len(s.sent)
	s.away++
	s.request = appendKeepAlive(s.request[:0], id)
	s.raw.send(s.request)
}

func (s *renewStream) take(message []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(message); err != nil {
		s.broken = err
		return err
	}
	return nil
}

func (s *renewStream) check(message []byte) error {
	id, ttl, err := scanKeepAlive(message)
	if err != nil {
		return err
	}
	i := id - s.first
	if i < 0 || i >= int64(len(s.sent)) || s.sent[i].IsZero() {
		return fmt.Errorf("an answer for lease %x, whose renewal is not under way", id)
	}
	if ttl != leaseTTL {
		return fmt.Errorf("lease %x has %d seconds after its renewal, not %d", id, ttl, leaseTTL)
	}
	now := time.Now()
	phase := s.phase.Load()
	if phase == measuring {
		s.times.record(now.Sub(s.sent[i]))
	}
	s.sent[i] = time.Time{}
	s.away--
	if phase != stopping {
		s.renew(now)
		return nil
	}
	if s.away == 0 {
		return s.raw.closeSend() // the server ends the stream, with status OK
	}
	return nil
}

// err says what went wrong on a stream that has ended.
func (s *renewStream) err() error {
	if s.broken != nil {
		return s.broken
	}
	if s.raw.err == nil && s.away > 0 {
		return errors.New("the server ended the stream before all answers")
	}
	return s.raw.err
}
