package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	detcd, etcd   string // binaries; empty: build them
	baseline      string // another build of detcd; empty: none
	dir           string
	client        string
	members       string
	clients       string
	ops           string
	rounds        int
	measure, warm time.Duration
	keys          keys
	watch         watchLoad
	watchAhead    string
	lease         leaseLoad
	bigRange      rangeLoad
	replay        replayLoad
	replayKeys    string
	catchUp       catchUpLoad
	only          string // the name of the only contender; empty: all
	serverFlags   string
	report        string
	profile       string
	short         bool
	serveCeiling  string
}

func parse() options {
	var o options
	flag.StringVar(&o.detcd, "detcd", "", "detcd binary (default: built from the folder above)")
	flag.StringVar(&o.etcd, "etcd", "", "stock etcd binary (default: built from etcd.mod); none: leave it out")
	flag.StringVar(&o.baseline, "baseline", "", "another detcd binary that runs beside, to compare with: what did a change bring?")
	flag.StringVar(&o.dir, "dir", "", "directory for data, on a real disk (default: ../tmp)")
	flag.StringVar(&o.client, "client", "raw", "load generator: raw (frames written by hand) or grpc (the stock gRPC client)")
	flag.StringVar(&o.members, "members", "1,3", "cluster sizes")
	flag.StringVar(&o.clients, "clients", "1/1,1000/100", "clients/connections of each load")
	flag.StringVar(&o.ops, "ops", "put,lrange,srange,watch,replay,lease,bigrange,catchup",
		"kinds of load: put, lrange (linearizable), srange (serializable); workloads with servers of their own: watch, replay, lease, bigrange, catchup")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each load is put on each contender, taking turns; workloads half as often; medians are reported")
	flag.DurationVar(&o.measure, "measure", 2*time.Second, "length of one measurement")
	flag.DurationVar(&o.warm, "warm", 500*time.Millisecond, "load before each measurement that does not count")
	flag.IntVar(&o.keys.space, "key-space", 10000, "number of different keys")
	flag.BoolVar(&o.keys.sequential, "sequential", false, "take keys one after the other, not at random")
	flag.IntVar(&o.keys.valueBytes, "value-bytes", 256, "size of values")
	flag.IntVar(&o.watch.watchers, "watchers", 10000, "watch: number of watchers, all of one key range")
	flag.IntVar(&o.watch.streams, "watch-streams", 100, "watch: gRPC streams that the watchers are spread over, each on a connection of its own")
	flag.IntVar(&o.watch.writers, "watch-writers", 16, "watch: clients that put into the range")
	flag.StringVar(&o.watchAhead, "watch-ahead", "16,1000", "watch: how many puts the writers may be ahead of what the average watcher has; a load for each")
	flag.IntVar(&o.replay.revisions, "replay-revisions", 100000, "replay: number of revisions that a watcher catches up on")
	flag.StringVar(&o.replayKeys, "replay-keys", "100,10000", "replay: number of keys that the revisions are of; a load for each")
	flag.IntVar(&o.lease.leases, "leases", 100000, "lease: number of leases")
	flag.IntVar(&o.lease.streams, "lease-streams", 100, "lease: streams that renew them, each on a connection of its own")
	flag.IntVar(&o.lease.pipeline, "lease-pipeline", 16, "lease: renewals that each stream has under way at a time")
	flag.DurationVar(&o.lease.idle, "idle", 2500*time.Millisecond, "lease: how long a server that only holds leases is looked at")
	flag.IntVar(&o.bigRange.keys, "range-keys", 100000, "bigrange: number of keys")
	flag.IntVar(&o.bigRange.valueBytes, "range-value-bytes", 1024, "bigrange: size of values")
	flag.IntVar(&o.catchUp.keys, "catchup-keys", 12000, "catchup: number of keys")
	flag.IntVar(&o.catchUp.valueBytes, "catchup-value-bytes", 100000, "catchup: size of values")
	flag.IntVar(&o.catchUp.rate, "catchup-rate", 150, "catchup: puts a second")
	flag.DurationVar(&o.catchUp.away, "catchup-away", 12*time.Second, "catchup: how long a follower is stopped")
	flag.StringVar(&o.serverFlags, "server-flags", "", "further flags for both servers, separated by spaces")
	flag.StringVar(&o.report, "report", "", "also write the figures to this Markdown file")
	flag.StringVar(&o.profile, "profile", "", "save a CPU profile of each contender's first member in each load to this directory")
	flag.BoolVar(&o.short, "short", false, "2 rounds of 1 s: a look, not a result")
	flag.StringVar(&o.serveCeiling, "serve-ceiling", "", "be the server that does nothing, at this address (bench starts itself so)")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bench: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if o.short {
		o.rounds, o.measure, o.warm, o.lease.idle = 2, time.Second, 300*time.Millisecond, time.Second
		o.catchUp.keys, o.catchUp.away = o.catchUp.keys/10, o.catchUp.away/3
	}
	o.watch.valueBytes, o.watch.warmUp, o.watch.measure = o.keys.valueBytes, o.warm, o.measure
	o.replay.valueBytes, o.replay.measure, o.replay.scratch = o.keys.valueBytes, o.measure, new([]byte)
	o.lease.warmUp, o.lease.measure = o.warm, o.measure
	o.lease.granted = map[*cluster]grants{}
	o.bigRange.measure, o.bigRange.scratch = o.measure, new([]byte)
	return o
}

func main() {
	o := parse()
	if o.serveCeiling != "" {
		fail(serveCeiling(o.serveCeiling, o.keys.valueBytes))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A bound for the whole, far above what the flags ask for: a server that hangs must not hang bench.
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	fail(bench(ctx, o))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, o options) error {
	p, err := o.plan()
	if err != nil {
		return err
	}
	base := o.dir
	if base == "" {
		base = filepath.Join("..", "tmp")
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(base, "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := o.build(ctx, dir); err != nil {
		return err
	}
	load := loadBefore()
	rows, err := p.run(ctx, o, dir)
	if err != nil {
		return err
	}
	outs, err := p.runWorkloads(ctx, o, dir)
	if err != nil {
		return err
	}
	tables := allTables(rows, outs)
	if len(tables) == 0 {
		return fmt.Errorf("no load of -ops=%s is for clusters of -members=%s", o.ops, o.members)
	}
	about := describe(ctx, o, load)
	fmt.Printf("%s, load average before: %s, commit %s\n\n", about.machine, about.load, about.commit)
	writeTables(os.Stdout, tables)
	if o.report != "" {
		if err := writeReport(o.report, about, tables); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if r.errors > 0 {
			return fmt.Errorf("%d requests failed, the first with: %s", r.errors, r.firstErr)
		}
	}
	for _, out := range outs {
		if out.failed != "" {
			return fmt.Errorf("%s, %s, %d member(s): %s", out.contender, out.work.load(), out.members, out.failed)
		}
	}
	return nil
}

// build makes the binaries that no flag names.
func (o *options) build(ctx context.Context, dir string) error {
	goBuild := func(out, in string, args ...string) error {
		cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-o", out}, args...)...)
		cmd.Dir = in
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", strings.Join(args, " "), err, text)
		}
		return nil
	}
	if o.detcd == "" {
		o.detcd = filepath.Join(dir, "detcd")
		if err := goBuild(o.detcd, "..", "./cmd/detcd"); err != nil {
			return err
		}
	}
	if o.baseline != "" {
		if _, err := os.Stat(o.baseline); err != nil {
			return fmt.Errorf("-baseline: %w: name a detcd binary", err)
		}
	}
	if o.etcd == "" {
		o.etcd = filepath.Join(dir, "etcd")
		if err := goBuild(o.etcd, ".", "-modfile=etcd.mod", "go.etcd.io/etcd/server/v3"); err != nil {
			return err
		}
	}
	return nil
}
