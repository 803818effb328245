package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// checkFlags are the flags of both checks.
type checkFlags struct {
	load, prefix            string
	autoCompact, autoDefrag bool
}

func (f *checkFlags) register(fs *pflag.FlagSet, prefix string) {
	fs.StringVar(&f.load, "load", "s", "how much: s(mall), m(edium), l(arge) or xl(arge)")
	fs.StringVar(&f.prefix, "prefix", prefix, "what the keys begin with; there must be none yet, and they are deleted afterwards")
	fs.BoolVar(&f.autoCompact, "auto-compact", false, "compact afterwards")
	fs.BoolVar(&f.autoDefrag, "auto-defrag", false, "defragment afterwards")
}

// loadSizes are the names of the four loads, small to large.
var loadSizes = [][]string{{"s", "small"}, {"m", "medium"}, {"l", "large"}, {"xl", "xLarge"}}

// size is 0 for small to 3.
func (f *checkFlags) size() (int, error) {
	i := slices.IndexFunc(loadSizes, func(names []string) bool { return slices.Contains(names, f.load) })
	if i < 0 {
		return 0, fail(exitBadFeature, "unknown load option %v", f.load)
	}
	return i, nil
}

const (
	// perfLasts is how long check perf puts.
	perfLasts = time.Minute
	// slowestPut and widestPut are what check perf lets pass, for one put and for the standard deviation.
	slowestPut = 500 * time.Millisecond
	widestPut  = 100 * time.Millisecond
	// leastRate is the part of the asked rate that must be reached.
	leastRate = 0.9
	// cleaning is how long deleting the keys, compacting and defragmenting may take, each.
	cleaning = 30 * time.Second
)

func (a *app) checkCommand() *cobra.Command {
	var perf, scale checkFlags
	perfCommand := &cobra.Command{
		Use:   "perf [options]",
		Short: "See whether the cluster keeps up with a minute of puts",
		RunE: func(cmd *cobra.Command, _ []string) error {
			size, err := perf.size()
			if err != nil {
				return err
			}
			l := load{
				prefix: perf.prefix, keySize: 256, valueSize: 1024,
				clients: []int{50, 200, 500, 1000}[size], perSecond: []int{150, 1000, 8000, 15000}[size],
			}
			return a.checkPerf(cmd, l, perfLasts, &perf)
		},
	}
	scaleCommand := &cobra.Command{
		Use:   "datascale [options]",
		Short: "See how much memory the first endpoint needs to hold many keys",
		RunE: func(cmd *cobra.Command, _ []string) error {
			size, err := scale.size()
			if err != nil {
				return err
			}
			l := load{
				prefix: scale.prefix, keySize: 512, valueSize: 512,
				clients: []int{50, 200, 500, 1000}[size], puts: []int{10_000, 100_000, 1_000_000, 3_000_000}[size],
			}
			return a.checkDataScale(cmd, l, &scale)
		},
	}
	perf.register(perfCommand.Flags(), "/etcdctl-check-perf/")
	scale.register(scaleCommand.Flags(), "/etcdctl-check-datascale/")
	return parent("check <subcommand>", "See what a cluster can do", perfCommand, scaleCommand)
}

// loadClients connects, and sees that there are no keys yet where the load's go. The clients, which are as many as it got, are the caller's to
// close.
func (a *app) loadClients(cmd *cobra.Command, l load) (clients []*clientv3.Client, err error) {
	if err := a.begin(cmd, false); err != nil {
		return nil, err
	}
	config, err := a.config()
	if err != nil {
		return nil, err
	}
	for range l.clients {
		c, err := dial(config)
		if err != nil {
			return clients, err
		}
		clients = append(clients, c)
	}
	ctx, cancel := a.limited()
	defer cancel()
	found, err := clients[0].Get(ctx, l.prefix, clientv3.WithPrefix(), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	if err != nil {
		return clients, failure{exitError, err}
	}
	if len(found.Kvs) > 0 {
		return clients, fail(exitInvalidInput, "prefix %q has keys. Delete with '%s del --prefix %s' first", l.prefix, a.name, l.prefix)
	}
	return clients, nil
}

func closeAll(clients []*clientv3.Client) {
	for _, c := range clients {
		c.Close()
	}
}

func (a *app) checkPerf(cmd *cobra.Command, l load, lasts time.Duration, f *checkFlags) error {
	clients, err := a.loadClients(cmd, l)
	defer closeAll(clients)
	if err != nil {
		return err
	}
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(interrupted, lasts)
	defer cancel()
	r := a.runLoad(ctx, l, clients)
	if err := a.cleanUp(clients[0], l.prefix, f); err != nil {
		fmt.Fprintf(a.stdout, "FAIL: Cleanup failed during key deletion: ERROR(%v)\n", err)
	}
	if !a.verdict(r, l) {
		fmt.Fprintln(a.stdout, "FAIL")
		return failure{code: exitError}
	}
	fmt.Fprintln(a.stdout, "PASS")
	return nil
}

// verdict prints a line for each thing that is measured.
func (a *app) verdict(r loadResult, l load) bool {
	ok := a.noFailures(r)
	rate := int(r.rate()) + 1
	if r.rate()/float64(l.perSecond) <= leastRate {
		ok = false
		fmt.Fprintf(a.stdout, "FAIL: Throughput too low: %d writes/s\n", rate)
	} else {
		fmt.Fprintf(a.stdout, "PASS: Throughput is %d writes/s\n", rate)
	}
	if s := r.slowest(); s > slowestPut {
		ok = false
		fmt.Fprintf(a.stdout, "Slowest request took too long: %fs\n", s.Seconds())
	} else {
		fmt.Fprintf(a.stdout, "PASS: Slowest request took %fs\n", s.Seconds())
	}
	if d := r.deviation(); d > widestPut {
		ok = false
		fmt.Fprintf(a.stdout, "Stddev too high: %fs\n", d.Seconds())
	} else {
		fmt.Fprintf(a.stdout, "PASS: Stddev is %fs\n", d.Seconds())
	}
	return ok
}

func (a *app) noFailures(r loadResult) bool {
	if len(r.failures) == 0 {
		return true
	}
	fmt.Fprintln(a.stdout, "FAIL: too many errors")
	for text, n := range r.failures {
		fmt.Fprintf(a.stdout, "FAIL: ERROR(%s) -> %d\n", text, n)
	}
	return false
}

func (a *app) runLoad(ctx context.Context, l load, clients []*clientv3.Client) loadResult {
	var puts atomic.Int64
	progress := a.progress(func() string { return fmt.Sprintf("%d puts", puts.Load()) })
	defer progress.stop()
	return l.run(ctx, clients, func() { puts.Add(1) })
}

// cleanUp deletes the keys. Its error is of that; the rest is said.
func (a *app) cleanUp(c *clientv3.Client, prefix string, f *checkFlags) error {
	within := func(do func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(context.Background(), cleaning)
		defer cancel()
		return do(ctx)
	}
	var revision int64
	err := within(func(ctx context.Context) error {
		r, err := c.Delete(ctx, prefix, clientv3.WithPrefix())
		if err == nil {
			revision = r.Header.GetRevision()
		}
		return err
	})
	if err != nil {
		return err
	}
	if f.autoCompact {
		fmt.Fprintf(a.stdout, "Compacting with revision %d\n", revision)
		err := within(func(ctx context.Context) error {
			_, err := c.Compact(ctx, revision, clientv3.WithCompactPhysical())
			return err
		})
		if err != nil {
			return failure{exitError, err}
		}
		fmt.Fprintf(a.stdout, "Compacted with revision %d\n", revision)
	}
	for _, endpoint := range c.Endpoints() {
		if !f.autoDefrag {
			break
		}
		fmt.Fprintf(a.stdout, "Defragmenting %q\n", endpoint)
		err := within(func(ctx context.Context) error {
			_, err := c.Defragment(ctx, endpoint)
			return err
		})
		if err != nil {
			return failure{exitError, err}
		}
		fmt.Fprintf(a.stdout, "Defragmented %q\n", endpoint)
	}
	return nil
}

func (a *app) checkDataScale(cmd *cobra.Command, l load, f *checkFlags) error {
	clients, err := a.loadClients(cmd, l)
	defer closeAll(clients)
	if err != nil {
		return err
	}
	before, err := a.residentMemory(clients[0].Endpoints()[0])
	if err != nil {
		return a.memoryUnknown("before", err)
	}
	fmt.Fprintf(a.stdout, "Start data scale check for work load [%v key-value pairs, %v bytes per key-value, %v concurrent clients].\n",
		l.puts, l.keySize+l.valueSize, l.clients)
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := a.runLoad(interrupted, l, clients)
	after, memoryErr := a.residentMemory(clients[0].Endpoints()[0])
	if err := a.cleanUp(clients[0], l.prefix, f); err != nil {
		return orFailure(err, exitError)
	}
	if memoryErr != nil {
		return a.memoryUnknown("after", memoryErr)
	}
	if !a.noFailures(r) {
		return failure{code: exitError}
	}
	fmt.Fprintf(a.stdout, "PASS: Approximate system memory used : %.2f MB.\n", (after-before)/(1<<20))
	return nil
}

func (a *app) memoryUnknown(when string, err error) error {
	fmt.Fprintln(a.stderr, err)
	fmt.Fprintf(a.stdout, "FAIL: Could not read process_resident_memory_bytes %s the put operations.\n", when)
	return failure{code: exitError}
}

// residentMemory asks an endpoint's metrics for the memory of its process, in bytes.
func (a *app) residentMemory(endpoint string) (float64, error) {
	config, err := a.config()
	if err != nil {
		return 0, err
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: config.TLS}, Timeout: a.global.commandTimeout}
	response, err := client.Get(endpoint + "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), "process_resident_memory_bytes "); found {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("%s/metrics has no process_resident_memory_bytes", endpoint)
}
