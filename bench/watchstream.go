package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// watchStream is a stream of watchers that hold the server to its word. Every write of the load makes one revision, so each watcher must
// see revision after revision, with none left out and none twice. Responses are not counted, only events: servers are free to batch.
type watchStream struct {
	raw   *rawStream
	epoch time.Time
	// sampled is the watcher whose delays are measured. It is another one on each stream, as a stream may serve its watchers in order.
	sampled   int
	created   chan struct{} // closed when all watchers are
	delivered atomic.Uint64 // events to all watchers
	lowest    atomic.Int64  // the revision that all watchers have reached
	measuring atomic.Bool

	// Touched only by the goroutine that reads; by others when it has ended.
	last    []int64 // by watcher, the revision of its last event
	missing int     // watchers not yet created
	atFront int     // watchers whose last is greater than lowest
	delays  histogram
	broken  error
}

// openWatchers opens a stream and asks for watchers of the whole range. base is the revision the cluster is at.
func openWatchers(ctx context.Context, addr string, watchers, index int, base int64, epoch time.Time) (*watchStream, error) {
	s := &watchStream{
		epoch: epoch, sampled: index % watchers, created: make(chan struct{}),
		last: slices.Repeat([]int64{base}, watchers), missing: watchers,
	}
	s.lowest.Store(base)
	raw, err := dialStream(ctx, addr, methodWatch, nil, s.take)
	if err != nil {
		return nil, err
	}
	s.raw = raw
	for i := range watchers {
		// Ids are chosen, from 1 on: 0 would leave the choice to the server.
		create := &pb.WatchCreateRequest{Key: watchedFirst, RangeEnd: watchedEnd, WatchId: int64(i + 1)}
		request, err := proto.Marshal(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}})
		if err != nil {
			return nil, err
		}
		raw.send(request)
	}
	return s, raw.flush()
}

func (s *watchStream) awaitCreated(ctx context.Context) error {
	select {
	case <-s.created:
		return nil
	case <-s.raw.done:
		return fmt.Errorf("watch: %w", s.failure())
	case <-ctx.Done():
		return fmt.Errorf("watchers are not created: %w", ctx.Err())
	}
}

// failure says why the stream ended. The stream must have ended.
func (s *watchStream) failure() error {
	if s.raw.err == nil {
		return errors.New("the server ended the stream")
	}
	return s.raw.err
}

// take checks one response.
func (s *watchStream) take(message []byte) error {
	if err := s.check(message); err != nil {
		s.broken = err
		return err
	}
	return nil
}

func (s *watchStream) check(message []byte) error {
	a, err := scanWatch(message)
	if err != nil {
		return err
	}
	i := int(a.id - 1)
	switch {
	case a.canceled:
		return fmt.Errorf("watcher %d was cancelled: %s", a.id, a.reason)
	case i < 0 || i >= len(s.last):
		return fmt.Errorf("a response for watcher %d, which was not asked for", a.id)
	case a.created:
		if s.missing--; s.missing == 0 {
			close(s.created)
		}
		if a.revision != s.last[i] {
			return fmt.Errorf("watcher %d was created at revision %d, the cluster was at %d", a.id, a.revision, s.last[i])
		}
		return nil
	}
	before, stamped := s.last[i], s.measuring.Load() && i == s.sampled
	at := s.last[i]
	for events := a.events; len(events) > 0; {
		var revision int64
		var value []byte
		if revision, value, events, err = nextEvent(events); err != nil {
			return err
		}
		if revision != at+1 {
			return fmt.Errorf("watcher %d got an event of revision %d after one of %d", a.id, revision, at)
		}
		at = revision
		if stamped && len(value) >= stampBytes {
			s.delays.record(time.Since(s.epoch) - time.Duration(binary.LittleEndian.Uint64(value)))
		}
	}
	s.last[i] = at
	s.delivered.Add(uint64(at - before))
	s.advance(before, at)
	return nil
}

// advance keeps lowest: only when the last watcher leaves it are all looked at.
func (s *watchStream) advance(before, at int64) {
	if low := s.lowest.Load(); before == low && at > low {
		if s.atFront++; s.atFront == len(s.last) {
			low = slices.Min(s.last)
			s.lowest.Store(low)
			s.atFront = 0
			for _, last := range s.last {
				if last > low {
					s.atFront++
				}
			}
		}
	}
}
