package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// replayLoad is one watcher that begins at the first of many revisions, when all of them have happened: a client that was away. It is done
// when it has every event; then the next one begins. No writes go on meanwhile, so what is measured is the catching up alone.
type replayLoad struct {
	revisions  int
	keys       int // of the range; the writes take them one after the other
	valueBytes int
	measure    time.Duration
	scratch    *[]byte // where messages are put together, kept between runs
}

const (
	// replaysMin is how many watchers catch up in a run, however long that takes.
	replaysMin = 5
	// replayMax bounds the time of one watcher.
	replayMax = time.Minute
	// Those who write the revisions: clients, and the connections they share.
	replayWriters, replayWriterConns = 200, 10
)

func (replayLoad) kind() string             { return "replay" }
func (replayLoad) offered(members int) bool { return members == 1 }
func (r replayLoad) lasts() time.Duration   { return r.measure }
func (r replayLoad) ceilingValueBytes() int { return r.valueBytes }
func (r replayLoad) load() string {
	return fmt.Sprintf("%d revisions of %d keys, values of %d bytes", r.revisions, r.keys, r.valueBytes)
}

// prepare makes the revisions, each by one put.
func (r replayLoad) prepare(ctx context.Context, c *cluster) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var next atomic.Int64
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range replayWriterConns {
		conn, err := dialRaw(ctx, c.addrs[c.leader], replayWriters/replayWriterConns)
		if err != nil {
			return err
		}
		defer conn.close()
		for client := range replayWriters / replayWriterConns {
			all.Go(func() {
				request, key, _ := watchedPut(r.valueBytes)
				for n := next.Add(1) - 1; n < int64(r.revisions); n = next.Add(1) - 1 {
					copy(key, fmt.Sprintf("%08d", n%int64(r.keys)))
					if _, err := conn.call(ctx, client, methodPut, request); err != nil {
						mu.Lock()
						failed = errors.Join(failed, err)
						mu.Unlock()
						return
					}
				}
			})
		}
	}
	all.Wait()
	return failed
}

func (r replayLoad) run(ctx context.Context, c *cluster, started func()) ([]figure, error) {
	return r.runOn(ctx, c.addrs[c.leader], c, started)
}

func (r replayLoad) runOn(ctx context.Context, addr string, m meter, started func()) ([]figure, error) {
	head, err := settledRevision(ctx, []string{addr})
	if err != nil {
		return nil, err
	}
	started()
	peak := startPeak(m)
	defer peak.stop()
	server0, client0, err := cpuOf(m)
	if err != nil {
		return nil, err
	}
	var times []time.Duration
	messages := 0
	for begin := time.Now(); len(times) < replaysMin || time.Since(begin) < r.measure; {
		took, n, err := r.replay(ctx, addr, head)
		if err != nil {
			return nil, err
		}
		times, messages = append(times, took), messages+n
	}
	server1, client1, err := cpuOf(m)
	if err != nil {
		return nil, err
	}
	rss, err := peak.stop()
	if err != nil {
		return nil, err
	}
	slices.Sort(times)
	n := len(times)
	events := uint64(n * r.revisions)
	return []figure{
		countFigure("events/s", float64(r.revisions)/times[n/2].Seconds(), "events/s"),
		timeFigure("time p50", times[n/2], ""),
		timeFigure("slowest", times[n-1], ""),
		countFigure("responses", float64(messages)/float64(n), ""),
		cpuFigure("server CPU/event", server1-server0, events, "CPU/event"),
		cpuFigure("client CPU/event", client1-client0, events, ""),
		bytesFigure("peak RSS", rss, "RSS"),
	}, nil
}

// replay has a watcher catch up to the revision head, and checks that it gets each revision once and in order. The time is from the request
// to the last event.
func (r replayLoad) replay(ctx context.Context, addr string, head int64) (took time.Duration, messages int, err error) {
	ctx, cancel := context.WithTimeout(ctx, replayMax)
	defer cancel()
	first := head - int64(r.revisions) + 1
	at := first - 1
	done := errors.New("all events came")
	take := func(message []byte) error {
		a, err := scanWatch(message)
		switch {
		case err != nil:
			return err
		case a.canceled:
			return fmt.Errorf("the watcher was cancelled: %s", a.reason)
		case a.created:
			return nil
		}
		messages++
		for events := a.events; len(events) > 0; at++ {
			var revision int64
			if revision, _, events, err = nextEvent(events); err != nil {
				return err
			}
			if revision != at+1 {
				return fmt.Errorf("an event of revision %d came after one of %d", revision, at)
			}
		}
		if at == head {
			return done
		}
		return nil
	}
	create := &pb.WatchCreateRequest{Key: watchedFirst, RangeEnd: watchedEnd, StartRevision: first}
	request, err := proto.Marshal(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}})
	if err != nil {
		return 0, 0, err
	}
	s, err := dialStream(ctx, addr, methodWatch, *r.scratch, take)
	if err != nil {
		return 0, 0, err
	}
	defer s.close()
	begin := time.Now()
	s.send(request)
	if err := s.flush(); err != nil {
		return 0, 0, err
	}
	<-s.done
	took = time.Since(begin)
	*r.scratch = s.partial[:0]
	if !errors.Is(s.err, done) {
		return 0, 0, fmt.Errorf("the watcher had events up to revision %d of %d, then the stream ended: %v", at, head, s.err)
	}
	return took, messages, nil
}
