// Command detcd-sim runs many seeds of the simulator on all cores, each batch of seeds in a process of its own, and adds up what they
// reached.
//
//	detcd-sim                     1,000 seeds from 1 on
//	detcd-sim -from=1 -seeds=50   these
//	detcd-sim -seed=42             one seed, in this process; the line, and on failure the story
//	detcd-sim -seed=42 -trace=f    the same, with a line for each event in the file f
//	detcd-sim diff A B            the first event in which two traces part
//
// It exits with 1 if any seed has failed.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/detcd/detcd/sim"
)

var errFailed = errors.New("a seed has failed")

func main() {
	err := run(os.Args[1:], os.Stdout)
	switch {
	case err == nil:
	case errors.Is(err, errFailed):
		os.Exit(1)
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "detcd-sim:", err)
		os.Exit(1)
	}
}

type flags struct {
	from, seeds uint64
	procs       int
	asJSON      bool
	keepGoing   bool
	limit       time.Duration
	one         uint64
	trace       string
	batch       bool
	pictures    string
	mixed       bool
}

func run(args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == "diff" {
		return diff(args[1:], out)
	}
	var f flags
	set := flag.NewFlagSet("detcd-sim", flag.ContinueOnError)
	set.Uint64Var(&f.from, "from", 1, "first `seed`")
	set.Uint64Var(&f.seeds, "seeds", 1000, "`number` of seeds")
	set.IntVar(&f.procs, "procs", runtime.NumCPU(), "`processes` at a time")
	set.BoolVar(&f.asJSON, "json", false, "print the summary as JSON")
	set.BoolVar(&f.keepGoing, "keep-going", false, "go on after a seed has failed")
	set.DurationVar(&f.limit, "limit", 2*time.Minute, "`time` that one seed may take before it counts as hung")
	set.Uint64Var(&f.one, "seed", 0, "run this `seed` only, in this process")
	set.StringVar(&f.trace, "trace", "", "with -seed: write a line for each event to this `file`")
	set.StringVar(&f.pictures, "pictures", os.TempDir(), "`directory` for pictures of histories that are wrong")
	set.BoolVar(&f.batch, "batch", false, "run seeds in this process and print results for a detcd-sim that started it")
	set.BoolVar(&f.mixed, "mixed", false, "begin each run of several members with two builds, of which the older reads one format version less")
	if err := set.Parse(args); err != nil {
		return flag.ErrHelp
	}
	given := false
	set.Visit(func(g *flag.Flag) { given = given || g.Name == "seed" })
	switch {
	case given:
		return runOne(f, out)
	case f.batch:
		return runBatch(f, out)
	}
	return runMany(f, out)
}

// runOne runs one seed here.
func runOne(f flags, out io.Writer) error {
	o := sim.Options{Seed: f.one, Mixed: f.mixed}
	if f.trace != "" {
		file, err := os.Create(f.trace)
		if err != nil {
			return err
		}
		defer file.Close()
		o.Trace = file
	}
	r := sim.Simulate(o)
	fmt.Fprintln(out, r.Line())
	if r.Failure != nil {
		fmt.Fprint(out, sim.Explain(r, picturesIn(f.pictures)))
		return errFailed
	}
	return nil
}

func picturesIn(dir string) func(string) (string, io.WriteCloser, error) {
	return func(name string) (string, io.WriteCloser, error) {
		path := filepath.Join(dir, name)
		file, err := os.Create(path)
		return path, file, err
	}
}

// report is what a batch prints of each seed, a line of JSON.
type report struct {
	Result sim.Result
	Line   string
	Story  string        // of a failure
	CPU    time.Duration // that the seed took, checks and all
}

// garbagePercent is how much garbage a batch lets lie, in percent of what is in use: the state of a run is a few megabytes, which would be
// looked through again and again.
const garbagePercent = 400

// runBatch runs seeds one after the other, and prints a report of each.
func runBatch(f flags, out io.Writer) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	enc := json.NewEncoder(out)
	for seed := f.from; seed < f.from+f.seeds; seed++ {
		before := cpuTime()
		r := sim.Simulate(sim.Options{Seed: seed, Mixed: f.mixed})
		rep := report{Result: r, Line: r.Line(), CPU: cpuTime() - before}
		if r.Failure != nil {
			rep.Story = sim.Explain(r, picturesIn(f.pictures))
		}
		rep.Result.Picture = nil
		if err := enc.Encode(rep); err != nil {
			return err
		}
	}
	return nil
}

func diff(args []string, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("diff wants two files")
	}
	a, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(args[1])
	if err != nil {
		return err
	}
	defer b.Close()
	at, lineA, lineB, err := sim.FirstDifference(a, b)
	switch {
	case err != nil:
		return err
	case at == 0:
		fmt.Fprintln(out, "the traces are equal")
		return nil
	}
	fmt.Fprintf(out, "the traces part in line %d\n%s\n%s\n", at, orEnd(lineA), orEnd(lineB))
	return errFailed
}

func orEnd(line string) string {
	if line == "" {
		return "(the trace ends here)"
	}
	return line
}
