package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// workload is a load that is more than unary calls in a loop: it has a state of its own on the server, and figures of its own.
type workload interface {
	// kind is its name in -ops; the rows of one kind share a table.
	kind() string
	// load says what is run, in a table's cell.
	load() string
	// offered says whether it is run on clusters of that many members.
	offered(members int) bool
	// prepare fills a fresh cluster.
	prepare(ctx context.Context, c *cluster) error
	// run puts the load on a cluster that was prepared, once, and measures. started is called when the load begins. The figures are
	// the same ones in the same order each time; the first is the one whose lowest and highest are shown.
	run(ctx context.Context, c *cluster, started func()) ([]figure, error)
	// lasts is about how long the load within run lasts.
	lasts() time.Duration
}

// figure is one thing measured.
type figure struct {
	name  string
	value float64
	text  func(float64) string
	// ratio names the column that compares it with etcd's; empty: it is not compared.
	ratio string
}

func countFigure(name string, value float64, ratio string) figure {
	return figure{name, value, func(v float64) string { return fmt.Sprintf("%.0f", v) }, ratio}
}

func timeFigure(name string, d time.Duration, ratio string) figure {
	return figure{name, float64(d), func(v float64) string { return short(time.Duration(v)) }, ratio}
}

// cpuFigure shows the CPU time that each of n things took.
func cpuFigure(name string, cpu time.Duration, n uint64, ratio string) figure {
	return timeFigure(name, cpu/time.Duration(max(n, 1)), ratio)
}

func bytesFigure(name string, n uint64, ratio string) figure {
	return figure{name, float64(n), func(v float64) string { return fmt.Sprintf("%.0f MiB", v/(1<<20)) }, ratio}
}

// percentFigure shows CPU time used within a time, as a share of one core.
func percentFigure(name string, cpu, elapsed time.Duration, ratio string) figure {
	return figure{name, 100 * cpu.Seconds() / elapsed.Seconds(), func(v float64) string { return fmt.Sprintf("%.1f %%", v) }, ratio}
}

// outcome is what one contender made of a workload: medians over the rounds.
type outcome struct {
	members   int
	work      workload
	contender string
	figures   []figure // none if no round went well
	spread    [2]float64
	rounds    [][]figure // by round; nil where that failed
	failed    string     // why a round failed, the first that did
}

func newOutcome(members int, w workload, contender string, rounds [][]figure, failed string) outcome {
	out := outcome{members: members, work: w, contender: contender, rounds: rounds, failed: failed}
	good := slices.DeleteFunc(slices.Clone(rounds), func(r []figure) bool { return r == nil })
	if len(good) == 0 {
		return out
	}
	out.figures = slices.Clone(good[0])
	for i := range out.figures {
		out.figures[i].value = median(good, func(r []figure) float64 { return r[i].value })
	}
	out.spread = [2]float64{good[0][0].value, good[0][0].value}
	for _, r := range good {
		out.spread = [2]float64{min(out.spread[0], r[0].value), max(out.spread[1], r[0].value)}
	}
	return out
}

// workloadRounds is how many rounds a workload gets: they are longer than those of simple loads, so about half as many.
func (o options) workloadRounds() int { return (o.rounds + 1) / 2 }

// workloads makes those that -ops names, in its order, and returns the names that are none.
func (o options) workloads() (works []workload, others []string, err error) {
	for name := range strings.SplitSeq(o.ops, ",") {
		switch name {
		case "watch":
			for text := range strings.SplitSeq(o.watchAhead, ",") {
				w := o.watch
				if w.ahead, err = strconv.Atoi(text); err != nil || w.ahead < 1 {
					return nil, nil, fmt.Errorf("-watch-ahead: %q", text)
				}
				works = append(works, w)
			}
		case "replay":
			for text := range strings.SplitSeq(o.replayKeys, ",") {
				r := o.replay
				if r.keys, err = strconv.Atoi(text); err != nil || r.keys < 1 {
					return nil, nil, fmt.Errorf("-replay-keys: %q", text)
				}
				works = append(works, r)
			}
		case "catchup":
			works = append(works, o.catchUp)
		case "lease":
			works = append(works, o.lease)
		case "bigrange":
			unary, stream := o.bigRange, o.bigRange
			stream.streamed = true
			works = append(works, unary, stream)
		default:
			others = append(others, name)
		}
	}
	for name, ok := range map[string]bool{
		"-watch-writers must be positive":                                        o.watch.writers > 0,
		"-watchers: want a multiple of -watch-streams":                           o.watch.streams > 0 && o.watch.watchers > 0 && o.watch.watchers%o.watch.streams == 0,
		"-leases: want a multiple of -lease-streams":                             o.lease.streams > 0 && o.lease.leases > 0 && o.lease.leases%o.lease.streams == 0,
		"-lease-pipeline: want a number from 1 to the leases a stream":           o.lease.pipeline > 0 && o.lease.pipeline <= o.lease.leases/max(o.lease.streams, 1),
		"-range-keys and -range-value-bytes must be positive":                    o.bigRange.keys > 0 && o.bigRange.valueBytes > 0,
		"-replay-revisions must be positive":                                     o.replay.revisions > 0,
		"-catchup-keys, -catchup-value-bytes and -catchup-rate must be positive": o.catchUp.keys > 0 && o.catchUp.valueBytes > 0 && o.catchUp.rate > 0,
	} {
		if !ok {
			err = errors.Join(err, errors.New(name))
		}
	}
	return works, others, err
}

// runWorkloads runs all of p's workloads on all cluster sizes.
func (p plan) runWorkloads(ctx context.Context, o options, dir string) ([]outcome, error) {
	var outs []outcome
	for i, w := range p.works {
		for _, members := range p.members {
			if !w.offered(members) {
				continue
			}
			// Fresh servers for each: what one load leaves behind would show in the next one's memory.
			own := filepath.Join(dir, fmt.Sprintf("%s-%d-%d", w.kind(), i, members))
			more, err := p.runWorkload(ctx, o, own, members, w)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.load(), err)
			}
			outs = append(outs, more...)
		}
	}
	return outs, nil
}

// alone is a workload that takes so much memory that each contender is run by itself, and once.
type alone interface{ alone() bool }

// ceilinged is a workload that the server which does nothing can serve. It needs no preparation there.
type ceilinged interface{ ceilingValueBytes() int }

// ceilingFor says whether that server takes part, and how large its values are.
func (o options) ceilingFor(w workload) (valueBytes int, ok bool) {
	c, ok := w.(ceilinged)
	if !ok || o.only != "" {
		return 0, false
	}
	return c.ceilingValueBytes(), true
}

func (p plan) runWorkload(ctx context.Context, o options, dir string, members int, w workload) ([]outcome, error) {
	if _, ok := w.(alone); !ok {
		return p.runTogether(ctx, o, dir, members, w)
	}
	var outs []outcome
	for _, c := range o.contenders() {
		o.only, o.rounds = c.name, 1
		one, err := p.runTogether(ctx, o, dir, members, w)
		if err != nil {
			return nil, err
		}
		outs = append(outs, one...)
	}
	return outs, nil
}

func (p plan) runTogether(ctx context.Context, o options, dir string, members int, w workload) ([]outcome, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // after the servers have ended
	contenders, stop, err := startContenders(ctx, o, dir, members)
	defer stop()
	if err != nil {
		return nil, err
	}
	for _, c := range contenders {
		if err := w.prepare(ctx, c); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	if valueBytes, ok := o.ceilingFor(w); ok {
		c, err := startCeiling(ctx, dir, valueBytes)
		if err != nil {
			return nil, err
		}
		defer c.stop()
		contenders = append(contenders, c)
	}
	rounds, failed := map[*cluster][][]figure{}, map[*cluster]string{}
	for round := range o.workloadRounds() {
		for _, c := range inTurn(contenders, round) {
			figures, err := p.runOnce(ctx, o, members, w, c, round)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			progress := fmt.Sprintf("%d member(s), %s, %s, round %d, %s: ", members, w.kind(), w.load(), round+1, c.name)
			if err != nil {
				// The other rounds and contenders are still worth having; bench says so at its end.
				fmt.Fprintln(os.Stderr, progress+err.Error())
				if failed[c] == "" {
					failed[c] = err.Error()
				}
				rounds[c] = append(rounds[c], nil)
				continue
			}
			rounds[c] = append(rounds[c], figures)
			fmt.Fprintf(os.Stderr, "%s%s %s\n", progress, figures[0].text(figures[0].value), figures[0].name)
		}
	}
	var outs []outcome
	for _, c := range contenders {
		outs = append(outs, newOutcome(members, w, c.name, rounds[c], failed[c]))
	}
	return outs, nil
}

// runOnce runs w on c, with a profile if one was asked for.
func (p plan) runOnce(ctx context.Context, o options, members int, w workload, c *cluster, round int) ([]figure, error) {
	if err := c.awaitLeader(ctx); err != nil {
		return nil, err
	}
	var saved <-chan error
	figures, err := w.run(ctx, c, func() {
		saved = c.profile(ctx, o, fmt.Sprintf("%dm-%s-%s", members, w.kind(), w.load()), w.lasts(), round)
	})
	if saved != nil {
		if saveErr := <-saved; saveErr != nil {
			err = errors.Join(err, fmt.Errorf("profile: %w", saveErr))
		}
	}
	return figures, err
}

// workloadTitles and workloadAbouts head the tables of the kinds of workload.
var (
	workloadTitles = map[string]string{
		"watch": "Watch", "replay": "Watch from the past", "lease": "Leases", "bigrange": "Large ranges", "catchup": "A follower that missed something",
	}
	workloadAbouts = map[string]string{
		"watch": `All watchers watch one key range; each stream has a connection of its own, streams and writers are spread over the members evenly. The writers put
as fast as they are answered, but no more than so many puts ahead of the average watcher: delivery, not writing, is what is measured,
and the delays are those of a server at its limit. An event counts once for each watcher that gets it; responses are not counted. Every run checks that each
watcher got every event exactly once and in order. Server CPU includes the puts'. RSS is the sum of the members' peaks.`,
		"replay": `One watcher begins at the first of many revisions when all of them have happened, and is done when it has every event; then the next one begins.
Nothing is written meanwhile. Every run checks that each event came once and in order. Responses are those of one watcher. RSS is the peak. The ceiling is a server
that sends answers of the same size, which were encoded before: what gRPC, the kernel and the load generator take by themselves.`,
		"catchup": `A follower's process is stopped (SIGSTOP) and goes on (SIGCONT) while puts of random keys begin at even intervals. It is level when it has
applied what the leader had applied half a second ago at most. Snapshots are those that the leader has sent by three seconds later. RSS are the peaks from where the
process goes on until then. Each contender runs by itself, once.`,
		"lease": `Leases are granted once, by 1000 clients on 100 connections; then each stream, on a connection of its own, renews its leases one after the other,
over and over, and every answer is checked. Streams are spread over the members evenly. Idle CPU is that of all members while they hold the leases and
nobody asks for anything, as a share of one core. RSS is the sum of the members' peaks.`,
		"bigrange": `One client reads all keys, again and again. Servers are started anew on their data before each round; idle RSS is what they hold then, when it no longer
changes; growth is the peak above that, by the kernel's account (VmHWM). etcd's RSS includes the pages of its database file that it has mapped.`,
	}
)
