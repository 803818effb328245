package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// op is one kind of request.
type op string

const (
	opPut          op = "put"
	opLinearizable op = "range (linearizable)"
	opSerializable op = "range (serializable)"
)

const (
	methodPut   = "/etcdserverpb.KV/Put"
	methodRange = "/etcdserverpb.KV/Range"
)

func (o op) method() string {
	if o == opPut {
		return methodPut
	}
	return methodRange
}

// keys says which keys a load touches.
type keys struct {
	space      int  // number of different keys
	sequential bool // one after the other, else at random
	valueBytes int
}

// keyBytes is the length of every key, as in etcd's own benchmark.
const keyBytes = 8

func keyAt(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

// load is what one run does.
type load struct {
	op      op
	clients int
	conns   int
	keys    keys
	warmUp  time.Duration
	measure time.Duration
}

// result is what one run measured.
type result struct {
	requests  uint64
	elapsed   time.Duration
	p50, p99  time.Duration
	errors    uint64
	firstErr  string
	serverCPU time.Duration // all members, within elapsed
	clientCPU time.Duration // this process, within elapsed
	rss       uint64        // bytes, all members, at the end
}

func (r result) perSecond() float64 { return float64(r.requests) / r.elapsed.Seconds() }

func (r result) cpuPerRequest() time.Duration {
	if r.requests == 0 {
		return 0
	}
	return r.serverCPU / time.Duration(r.requests)
}

func (r result) cpuNanos() float64 { return float64(r.cpuPerRequest()) }

// caller makes unary calls on one connection for a fixed number of clients. A client makes one call at a time.
type caller interface {
	// call sends request (an encoded message) and returns the length of the encoded answer.
	call(ctx context.Context, client int, method string, request []byte) (int, error)
	close()
}

type dialer func(ctx context.Context, addr string, clients int) (caller, error)

// phases of a run.
const (
	warming int32 = iota
	measuring
	stopping
)

// sampler reads the resources used so far: CPU time of the servers and of this process, memory of the servers.
type sampler func() (server, client time.Duration, rss uint64, err error)

// run puts l on the servers at addrs, connections spread evenly, and measures.
func (l load) run(ctx context.Context, dial dialer, addrs []string, sample sampler) (result, error) {
	conns := make([]caller, l.conns)
	perConn := l.clients / l.conns
	for i := range conns {
		c, err := dial(ctx, addrs[i%len(addrs)], perConn)
		if err != nil {
			return result{}, fmt.Errorf("dial: %w", err)
		}
		defer c.close()
		conns[i] = c
	}
	callCtx, cancel := context.WithTimeout(ctx, l.warmUp+l.measure+20*time.Second)
	defer cancel()

	var (
		phase    atomic.Int32
		next     atomic.Uint64
		errCount atomic.Uint64
		firstErr atomic.Pointer[string]
		wg       sync.WaitGroup
	)
	hists := make([]histogram, len(conns))
	for i, c := range conns {
		for j := range perConn {
			wg.Go(func() {
				request := l.newRequests(&next)
				begin := time.Now()
				for phase.Load() != stopping {
					n, err := c.call(callCtx, j, l.op.method(), request())
					if err == nil && l.op != opPut && n < l.keys.valueBytes {
						err = fmt.Errorf("an answer of %d bytes holds no value", n)
					}
					if err != nil {
						text := err.Error()
						firstErr.CompareAndSwap(nil, &text)
						errCount.Add(1)
						if callCtx.Err() != nil || errCount.Load() > 10000 {
							return
						}
					}
					end := time.Now()
					if err == nil && phase.Load() == measuring {
						hists[i].record(end.Sub(begin))
					}
					begin = end
				}
			})
		}
	}
	sleep(callCtx, l.warmUp)
	server0, client0, _, err := sample()
	if err != nil {
		return result{}, err
	}
	begin := time.Now()
	phase.Store(measuring)
	sleep(callCtx, l.measure)
	phase.Store(stopping)
	elapsed := time.Since(begin)
	server1, client1, rss, err := sample()
	if err != nil {
		return result{}, err
	}
	wg.Wait()

	var all histogram
	for i := range hists {
		all.add(&hists[i])
	}
	r := result{
		requests: all.total(), elapsed: elapsed, p50: all.quantile(0.5), p99: all.quantile(0.99),
		errors: errCount.Load(), serverCPU: server1 - server0, clientCPU: client1 - client0, rss: rss,
	}
	if text := firstErr.Load(); text != nil {
		r.firstErr = *text
	}
	return r, ctx.Err()
}

// newRequests returns a function that encodes one client's next request. What it returns is overwritten by the next call.
func (l load) newRequests(next *atomic.Uint64) func() []byte {
	// One request is encoded by the library, and afterwards only the key within it is replaced: keys have one length.
	key := keyAt(0)
	for i := range key {
		key[i] = 0xA5 ^ byte(i)
	}
	var m proto.Message
	switch l.op {
	case opPut:
		m = &pb.PutRequest{Key: key, Value: make([]byte, l.keys.valueBytes)}
	default:
		m = &pb.RangeRequest{Key: key, Serializable: l.op == opSerializable}
	}
	request, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	// Field 1, the key, comes first: one byte of tag, one of length.
	slot := request[2 : 2+keyBytes]
	if string(slot) != string(key) {
		panic("bench: the key is not where it was expected in the encoded request")
	}
	if l.op == opPut {
		fillValue(request[len(request)-l.keys.valueBytes:])
	}
	return func() []byte {
		i := uint64(0)
		if l.keys.sequential {
			i = next.Add(1) % uint64(l.keys.space)
		} else {
			i = rand.Uint64N(uint64(l.keys.space))
		}
		binary.BigEndian.PutUint64(slot, i)
		return request
	}
}

// fillValue makes a value that does not compress.
func fillValue(value []byte) {
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
}

// preload writes every key once, many in a transaction.
func preload(ctx context.Context, kv pb.KVClient, k keys) error {
	const opsPerTxn = 100 // etcd's default limit is 128
	for first := 0; first < k.space; first += opsPerTxn {
		txn := &pb.TxnRequest{}
		for i := first; i < min(first+opsPerTxn, k.space); i++ {
			value := make([]byte, k.valueBytes)
			fillValue(value)
			put := &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: keyAt(i), Value: value}}
			txn.Success = append(txn.Success, &pb.RequestOp{Request: put})
		}
		if _, err := kv.Txn(ctx, txn); err != nil {
			return fmt.Errorf("preload: %w", err)
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
