package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// watchLoad is many watchers of one key range, into which some writers put as fast as the server answers, until they are ahead of the
// watchers by a bound; then they wait for those. Without that bound a server would be measured that falls further behind with every second,
// and nobody could wait until every watcher has everything. That they have is part of each run: exactly once, in order.
type watchLoad struct {
	watchers, streams int
	writers           int
	ahead             int // how many puts may be on their way to the average watcher
	valueBytes        int
	warmUp, measure   time.Duration
}

const (
	methodWatch = "/etcdserverpb.Watch/Watch"
	// watchedKeys is how many keys of the range the writers put, one after the other.
	watchedKeys = 100
	// drainMax bounds the wait for what the watchers still miss when the writers have stopped.
	drainMax = 60 * time.Second
	// stampBytes is how much of each value says when it was put.
	stampBytes = 8
)

var (
	watchedFirst = []byte("watched/")
	watchedEnd   = []byte("watched0")
)

func (watchLoad) kind() string             { return "watch" }
func (watchLoad) offered(members int) bool { return true }
func (w watchLoad) lasts() time.Duration   { return w.warmUp + w.measure }
func (w watchLoad) load() string {
	return fmt.Sprintf("%d watchers/%d streams, %d writers %d ahead", w.watchers, w.streams, w.writers, w.ahead)
}

func (watchLoad) prepare(context.Context, *cluster) error { return nil }

func (w watchLoad) run(ctx context.Context, c *cluster, started func()) ([]figure, error) {
	return w.runOn(ctx, c.addrs, c, started)
}

// runOn puts the load on the servers at addrs; m measures them.
func (w watchLoad) runOn(ctx context.Context, addrs []string, m meter, started func()) ([]figure, error) {
	ctx, cancel := context.WithTimeout(ctx, w.lasts()+drainMax+20*time.Second)
	defer cancel()
	// Every member must have applied everything before: watchers begin at the revision that their own member has.
	base, err := settledRevision(ctx, addrs)
	if err != nil {
		return nil, err
	}
	peak := startPeak(m)
	defer peak.stop()
	epoch := time.Now()
	var streams []*watchStream
	defer func() {
		for _, s := range streams {
			s.raw.close()
		}
	}()
	for i := range w.streams {
		s, err := openWatchers(ctx, addrs[i%len(addrs)], w.watchers/w.streams, i, base, epoch)
		if err != nil {
			return nil, err
		}
		streams = append(streams, s)
	}
	for _, s := range streams {
		if err := s.awaitCreated(ctx); err != nil {
			return nil, err
		}
	}

	started()
	puts, err := w.startWriters(ctx, addrs, streams, epoch)
	if err != nil {
		return nil, err
	}
	sleep(ctx, w.warmUp)
	for _, s := range streams {
		s.measuring.Store(true)
	}
	before, err := w.sample(m, streams, puts)
	if err != nil {
		return nil, err
	}
	sleep(ctx, w.measure)
	after, err := w.sample(m, streams, puts)
	if err != nil {
		return nil, err
	}
	for _, s := range streams {
		s.measuring.Store(false)
	}
	if err := puts.stop(); err != nil {
		return nil, err
	}
	if err := w.verify(ctx, addrs, streams, base+int64(puts.answered.Load())); err != nil {
		return nil, err
	}
	rss, err := peak.stop()
	if err != nil {
		return nil, err
	}

	events := after.events - before.events
	if events == 0 {
		return nil, fmt.Errorf("no event within %v", w.measure)
	}
	var delays histogram
	for _, s := range streams {
		delays.add(&s.delays)
	}
	seconds := after.at.Sub(before.at).Seconds()
	return []figure{
		countFigure("events/s", float64(events)/seconds, "events/s"),
		timeFigure("put-to-delivery p50", delays.quantile(0.5), ""),
		timeFigure("p99", delays.quantile(0.99), ""),
		cpuFigure("server CPU/event", after.server-before.server, events, "CPU/event"),
		cpuFigure("client CPU/event", after.client-before.client, events, ""),
		countFigure("puts/s", float64(after.puts-before.puts)/seconds, ""),
		bytesFigure("peak RSS", rss, "RSS"),
	}, nil
}

// watchSample is how far a run is.
type watchSample struct {
	at             time.Time
	events, puts   uint64
	server, client time.Duration
}

func (w watchLoad) sample(m meter, streams []*watchStream, puts *watchWriters) (s watchSample, err error) {
	s.server, s.client, err = cpuOf(m)
	s.at, s.events, s.puts = time.Now(), deliveredTo(streams), puts.answered.Load()
	return s, err
}

func deliveredTo(streams []*watchStream) (n uint64) {
	for _, s := range streams {
		n += s.delivered.Load()
	}
	return n
}

// verify waits until every watcher has every event up to the revision head, and asks every member whether that is the end. That none came
// twice or out of order, the streams see to.
func (w watchLoad) verify(ctx context.Context, addrs []string, streams []*watchStream, head int64) error {
	revision, err := settledRevision(ctx, addrs)
	if err != nil {
		return err
	}
	if revision != head {
		return fmt.Errorf("the puts that were answered lead to revision %d, the server is at %d", head, revision)
	}
	ctx, cancel := context.WithTimeout(ctx, drainMax)
	defer cancel()
	for _, s := range streams {
		for s.lowest.Load() < head {
			select {
			case <-s.raw.done:
				return fmt.Errorf("a watch stream ended: %w", s.failure())
			case <-ctx.Done():
				return fmt.Errorf("a watcher has events up to revision %d of %d: %w", s.lowest.Load(), head, ctx.Err())
			case <-time.After(time.Millisecond):
			}
		}
	}
	for _, s := range streams {
		// Only now may the watchers be looked at: their goroutine has ended.
		s.raw.close()
		if s.broken != nil {
			return s.broken
		}
		for i, last := range s.last {
			if last != head {
				return fmt.Errorf("a watcher (%d of its stream) has an event of revision %d, the server is at %d", i+1, last, head)
			}
		}
	}
	return nil
}

// watchWriters put into the range until they are stopped.
type watchWriters struct {
	answered atomic.Uint64
	tokens   chan struct{} // one for each put that may be begun
	quit     chan struct{}
	all      sync.WaitGroup
	conns    []caller
	once     sync.Once
	mu       sync.Mutex
	failed   error
}

func (w watchLoad) startWriters(ctx context.Context, addrs []string, streams []*watchStream, epoch time.Time) (*watchWriters, error) {
	p := &watchWriters{tokens: make(chan struct{}, w.ahead), quit: make(chan struct{})}
	for i := range w.writers {
		conn, err := dialRaw(ctx, addrs[i%len(addrs)], 1)
		if err != nil {
			p.stop()
			return nil, err
		}
		p.conns = append(p.conns, conn)
	}
	p.all.Go(func() { p.allow(w, streams) })
	var next atomic.Uint64
	for _, conn := range p.conns {
		request, key, stamp := watchedPut(w.valueBytes)
		p.all.Go(func() {
			for {
				select {
				case <-p.quit:
					return
				case <-p.tokens:
				}
				copy(key, fmt.Sprintf("%08d", next.Add(1)%watchedKeys))
				binary.LittleEndian.PutUint64(stamp, uint64(time.Since(epoch)))
				if _, err := conn.call(ctx, 0, methodPut, request); err != nil {
					p.mu.Lock()
					p.failed = fmt.Errorf("put: %w", err)
					p.mu.Unlock()
					return
				}
				p.answered.Add(1)
			}
		})
	}
	return p, nil
}

// allow hands out tokens so that no more than w.ahead puts are begun and not yet with the average watcher.
func (p *watchWriters) allow(w watchLoad, streams []*watchStream) {
	for begun := uint64(0); ; {
		for limit := deliveredTo(streams)/uint64(w.watchers) + uint64(w.ahead); begun < limit; begun++ {
			select {
			case p.tokens <- struct{}{}:
			case <-p.quit:
				return
			}
		}
		select {
		case <-p.quit:
			return
		case <-time.After(500 * time.Microsecond):
		}
	}
}

// stop ends the writers when their puts are answered.
func (p *watchWriters) stop() error {
	p.once.Do(func() { close(p.quit) })
	p.all.Wait()
	for _, c := range p.conns {
		c.close()
	}
	return p.failed
}

// watchedPut encodes a put into the watched range; key and stamp are where the key's digits and the value's stamp are in it.
func watchedPut(valueBytes int) (request, key, stamp []byte) {
	name := append([]byte(nil), watchedFirst...)
	name = fmt.Appendf(name, "%08d", 0)
	valueBytes = max(valueBytes, stampBytes)
	request, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.PutRequest{Key: name, Value: make([]byte, valueBytes)})
	if err != nil {
		panic(err)
	}
	// Field 1, the key, comes first: a tag, a length and the key. Field 2, the value, ends the message.
	value := request[len(request)-valueBytes:]
	fillValue(value)
	return request, request[2+len(watchedFirst) : 2+len(name)], value[:stampBytes]
}
