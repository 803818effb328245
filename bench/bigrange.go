package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// rangeLoad reads all of many keys at once, again and again, with one client, as one answer or as a stream of them. What it is about is how
// much memory that takes: each round begins with servers that were just started on the data they have, so that neither what filled them nor
// an earlier round has left them memory in which an answer fits.
type rangeLoad struct {
	keys, valueBytes int
	streamed         bool
	measure          time.Duration
	scratch          *[]byte // where answers are put together, kept between runs
}

const (
	methodRangeStream = "/etcdserverpb.KV/RangeStream"
	// rangesMin is how many ranges a run makes, however long they take.
	rangesMin = 3
)

func (rangeLoad) kind() string             { return "bigrange" }
func (rangeLoad) offered(members int) bool { return members == 1 }
func (r rangeLoad) lasts() time.Duration   { return r.measure }
func (r rangeLoad) load() string {
	how := "Range"
	if r.streamed {
		how = "RangeStream"
	}
	return fmt.Sprintf("%s of %d keys of %d bytes", how, r.keys, r.valueBytes)
}

func (r rangeLoad) prepare(ctx context.Context, c *cluster) error {
	return c.preload(ctx, keys{space: r.keys, valueBytes: r.valueBytes})
}

func (r rangeLoad) run(ctx context.Context, c *cluster, started func()) ([]figure, error) {
	if err := c.restart(ctx); err != nil {
		return nil, err
	}
	return r.runOn(ctx, c.addrs[0], c, started)
}

func (r rangeLoad) runOn(ctx context.Context, addr string, m meter, started func()) ([]figure, error) {
	ctx, cancel := context.WithTimeout(ctx, r.measure+time.Minute)
	defer cancel()
	// One key is read first: a server that has just begun may still have to find its place.
	if _, err := settledRevision(ctx, []string{addr}); err != nil {
		return nil, err
	}
	idle, err := settledMemory(ctx, m)
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
	bytes, chunks := 0, 0
	begin := time.Now()
	for len(times) < rangesMin || time.Since(begin) < r.measure {
		a, err := r.ask(ctx, addr)
		if err != nil {
			return nil, err
		}
		times, bytes, chunks = append(times, a.took), bytes+a.bytes, chunks+a.messages
	}
	elapsed := time.Since(begin)
	server1, client1, err := cpuOf(m)
	if err != nil {
		return nil, err
	}
	most, err := peak.stop()
	if err != nil {
		return nil, err
	}
	slices.Sort(times)
	n := uint64(len(times))
	return []figure{
		timeFigure("p50", times[n/2], "latency"),
		timeFigure("slowest", times[n-1], ""),
		{"MB/s", float64(bytes) / 1e6 / elapsed.Seconds(), func(v float64) string { return fmt.Sprintf("%.0f", v) }, ""},
		countFigure("messages/range", float64(chunks)/float64(n), ""),
		cpuFigure("server CPU/range", server1-server0, n, "CPU/range"),
		cpuFigure("client CPU/range", client1-client0, n, ""),
		bytesFigure("idle RSS", idle, ""),
		bytesFigure("peak RSS", most, "peak RSS"),
		bytesFigure("growth", max(most, idle)-idle, "growth"),
	}, nil
}

// rangeAnswer is what came for one range.
type rangeAnswer struct {
	took     time.Duration
	bytes    int
	messages int
}

// ask reads all keys, and checks that all came. The time is from the request to the end of the call.
func (r rangeLoad) ask(ctx context.Context, addr string) (a rangeAnswer, err error) {
	got, count, more := 0, int64(0), false
	take := func(message []byte) error {
		a.bytes += len(message)
		a.messages++
		if r.streamed {
			f, rest, err := nextField(message)
			if err != nil || f.number != 1 || len(rest) > 0 {
				return errors.Join(err, errors.New("a chunk that is not a range response"))
			}
			message = f.bytes
		}
		kvs, total, left, err := scanRange(message)
		if err != nil {
			return err
		}
		got += kvs
		count = max(count, total)
		more = more || left
		return nil
	}
	method := methodRange
	if r.streamed {
		method = methodRangeStream
	}
	request, err := proto.Marshal(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	if err != nil {
		return a, err
	}
	s, err := dialStream(ctx, addr, method, *r.scratch, take)
	if err != nil {
		return a, err
	}
	defer s.close()
	begin := time.Now()
	s.send(request)
	if err := s.flush(); err != nil {
		return a, err
	}
	if err := s.closeSend(); err != nil {
		return a, err
	}
	<-s.done
	a.took = time.Since(begin)
	*r.scratch = s.partial
	if s.err != nil {
		return a, s.err
	}
	if got != r.keys || count != int64(r.keys) || more || a.bytes < r.keys*r.valueBytes {
		return a, fmt.Errorf("%d keys in %d bytes came of %d keys; the server counts %d, more: %v", got, a.bytes, r.keys, count, more)
	}
	return a, nil
}
