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
	dir           string
	client        string
	members       string
	clients       string
	ops           string
	rounds        int
	measure, warm time.Duration
	keys          keys
	serverFlags   string
	report        string
	profile       string
	short         bool
	serveCeiling  string
}

func parse() options {
	var o options
	flag.StringVar(&o.detcd, "detcd", "", "detcd binary (default: built from the folder above)")
	flag.StringVar(&o.etcd, "etcd", "", "stock etcd binary (default: built from etcd.mod)")
	flag.StringVar(&o.dir, "dir", "", "directory for data, on a real disk (default: ../tmp)")
	flag.StringVar(&o.client, "client", "raw", "load generator: raw (frames written by hand) or grpc (the stock gRPC client)")
	flag.StringVar(&o.members, "members", "1,3", "cluster sizes")
	flag.StringVar(&o.clients, "clients", "1/1,1000/100", "clients/connections of each load")
	flag.StringVar(&o.ops, "ops", "put,lrange,srange", "kinds of requests: put, lrange (linearizable), srange (serializable)")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each load is put on each contender, taking turns; medians are reported")
	flag.DurationVar(&o.measure, "measure", 2*time.Second, "length of one measurement")
	flag.DurationVar(&o.warm, "warm", 500*time.Millisecond, "load before each measurement that does not count")
	flag.IntVar(&o.keys.space, "key-space", 10000, "number of different keys")
	flag.BoolVar(&o.keys.sequential, "sequential", false, "take keys one after the other, not at random")
	flag.IntVar(&o.keys.valueBytes, "value-bytes", 256, "size of values")
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
		o.rounds, o.measure, o.warm = 2, time.Second, 300*time.Millisecond
	}
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
	about := describe(ctx, o, load)
	fmt.Printf("%s, load average before: %s, commit %s\n\n", about.machine, about.load, about.commit)
	writeTable(os.Stdout, rows)
	if o.report != "" {
		if err := writeReport(o.report, about, rows); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if r.errors > 0 {
			return fmt.Errorf("%d requests failed, the first with: %s", r.errors, r.firstErr)
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
	if o.etcd == "" {
		o.etcd = filepath.Join(dir, "etcd")
		if err := goBuild(o.etcd, ".", "-modfile=etcd.mod", "go.etcd.io/etcd/server/v3"); err != nil {
			return err
		}
	}
	return nil
}
