package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// plan is everything that is to be run: each load and each workload on each cluster size.
type plan struct {
	members []int
	loads   []load
	works   []workload
	dial    dialer
}

// row is what came out for one contender under one load: medians over the rounds.
type row struct {
	members   int
	load      load
	contender string
	perSecond float64
	p50, p99  time.Duration
	serverCPU time.Duration // per request
	clientCPU time.Duration // per request
	rss       uint64
	errors    uint64
	firstErr  string
	// spread is the lowest and the highest requests/s of all rounds.
	spread [2]float64
	rounds []result
}

// loadOps are the simple loads by their names in -ops.
var loadOps = map[string]op{"put": opPut, "lrange": opLinearizable, "srange": opSerializable}

func (o options) plan() (plan, error) {
	var p plan
	switch o.client {
	case "raw":
		p.dial = dialRaw
	case "grpc":
		p.dial = dialGRPC
	default:
		return p, fmt.Errorf("-client=%s: want raw or grpc", o.client)
	}
	if o.rounds < 1 || o.keys.space < 1 || o.keys.valueBytes < 1 || o.measure <= 0 || o.warm < 0 {
		return p, fmt.Errorf("-rounds, -key-space, -value-bytes and -measure must be positive")
	}
	for text := range strings.SplitSeq(o.members, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return p, fmt.Errorf("-members: %q", text)
		}
		p.members = append(p.members, n)
	}
	works, others, err := o.workloads()
	if err != nil {
		return p, err
	}
	p.works = works
	for _, name := range others {
		kind, ok := loadOps[name]
		if !ok {
			return p, fmt.Errorf("-ops: %q", name)
		}
		for text := range strings.SplitSeq(o.clients, ",") {
			clientText, connText, _ := strings.Cut(text, "/")
			clients, err1 := strconv.Atoi(clientText)
			conns, err2 := strconv.Atoi(connText)
			if err1 != nil || err2 != nil || conns < 1 || clients < conns || clients%conns != 0 {
				return p, fmt.Errorf("-clients: %q: want clients/connections, the first a multiple of the second", text)
			}
			p.loads = append(p.loads, load{op: kind, clients: clients, conns: conns, keys: o.keys, warmUp: o.warm, measure: o.measure})
		}
	}
	return p, nil
}

// run runs the simple loads.
func (p plan) run(ctx context.Context, o options, dir string) ([]row, error) {
	var rows []row
	if len(p.loads) == 0 {
		return nil, nil
	}
	for _, members := range p.members {
		more, err := p.runSize(ctx, o, dir, members)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// runSize runs all loads on clusters of one size.
func (p plan) runSize(ctx context.Context, o options, dir string, members int) ([]row, error) {
	contenders, stop, err := startContenders(ctx, o, dir, members)
	defer func() { stop() }()
	if err != nil {
		return nil, err
	}
	c, err := startCeiling(ctx, dir, o.keys.valueBytes)
	if err != nil {
		return nil, err
	}
	stopOthers := stop
	stop = func() { stopOthers(); c.stop() }
	contenders = append(contenders, c)
	for _, c := range contenders {
		if err := c.preload(ctx, o.keys); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}

	var rows []row
	for _, l := range p.loads {
		results := map[*cluster][]result{}
		for round := range o.rounds {
			for _, c := range inTurn(contenders, round) {
				if err := c.awaitLeader(ctx); err != nil {
					return nil, err
				}
				saved := c.profile(ctx, o, fmt.Sprintf("%dm-%s-%dc", members, l.op, l.clients), o.warm+o.measure, round)
				r, err := l.run(ctx, p.dial, c.targets(l), sampleOf(c))
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", c.name, l.op, err)
				}
				if err := <-saved; err != nil {
					return nil, fmt.Errorf("%s: profile: %w", c.name, err)
				}
				results[c] = append(results[c], r)
				fmt.Fprintf(os.Stderr, "%d member(s), %s, %d client(s), round %d, %s: %.0f requests/s\n",
					members, l.op, l.clients, round+1, c.name, r.perSecond())
			}
		}
		for _, c := range contenders {
			rows = append(rows, newRow(members, l, c.name, results[c]))
		}
	}
	return rows, nil
}

// startContenders starts all contenders with the same flags. stop ends them, also after an error.
func startContenders(ctx context.Context, o options, dir string, members int) (contenders []*cluster, stop func(), err error) {
	stop = func() {
		for _, c := range contenders {
			c.stop()
		}
	}
	extra := strings.Fields(o.serverFlags)
	if o.profile != "" {
		extra = append(extra, "--enable-pprof")
	}
	for _, s := range o.contenders() {
		c, err := startCluster(ctx, s.name, s.binary, dir, members, extra)
		if err != nil {
			return contenders, stop, err
		}
		contenders = append(contenders, c)
	}
	return contenders, stop, nil
}

// inTurn is the order in which a round goes through the contenders: whatever drifts during a round helps neither.
func inTurn(contenders []*cluster, round int) []*cluster {
	order := slices.Clone(contenders)
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

// targets are the members that l talks to: a single connection goes to the leader, more are spread over all.
func (c *cluster) targets(l load) []string {
	if l.conns == 1 {
		return c.addrs[c.leader : c.leader+1]
	}
	return c.addrs
}

func (c *cluster) preload(ctx context.Context, k keys) error {
	conn, err := connect(c.addrs[c.leader])
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return preload(ctx, pb.NewKVClient(conn), k)
}

func sampleOf(c *cluster) sampler {
	return func() (server, client time.Duration, rss uint64, err error) {
		if server, rss, err = c.usage(); err != nil {
			return
		}
		client, _, err = usage(os.Getpid())
		return
	}
}

// profile saves a CPU profile of the leader for the time that a load lasts, if asked to and if it is the first round. The returned channel
// gives one value when that is done.
func (c *cluster) profile(ctx context.Context, o options, load string, lasts time.Duration, round int) <-chan error {
	done := make(chan error, 1)
	if o.profile == "" || round > 0 || c.name == nameCeiling {
		done <- nil
		return done
	}
	name := c.name + "-" + strings.NewReplacer(" ", "-", "(", "", ")", "", ",", "", "/", "-").Replace(load) + ".pprof"
	seconds := max(int(lasts/time.Second), 1)
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", c.addrs[c.leader], seconds)
	go func() { done <- download(ctx, url, filepath.Join(o.profile, name)) }()
	return done
}

func download(ctx context.Context, url, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, answer.Body); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

func newRow(members int, l load, contender string, results []result) row {
	r := row{members: members, load: l, contender: contender, rounds: results}
	r.perSecond = median(results, result.perSecond)
	r.p50 = median(results, func(r result) time.Duration { return r.p50 })
	r.p99 = median(results, func(r result) time.Duration { return r.p99 })
	r.serverCPU = median(results, result.cpuPerRequest)
	r.clientCPU = median(results, func(r result) time.Duration { return r.clientCPU / time.Duration(max(r.requests, 1)) })
	r.rss = results[len(results)-1].rss
	for i, one := range results {
		r.errors += one.errors
		if r.firstErr == "" {
			r.firstErr = one.firstErr
		}
		if x := one.perSecond(); i == 0 {
			r.spread = [2]float64{x, x}
		} else {
			r.spread = [2]float64{min(r.spread[0], x), max(r.spread[1], x)}
		}
	}
	return r
}

// median returns the middle value that get gives over the results; of two in the middle, their mean.
func median[R any, T float64 | time.Duration](results []R, get func(R) T) T {
	var values []T
	for _, r := range results {
		values = append(values, get(r))
	}
	return middle(values)
}
