package sim

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/sim/world"
)

// Line is the one line that a run is reported as.
func (r *Result) Line() string {
	result := "ok"
	if r.Failure != nil {
		result = "FAILED(" + strings.ReplaceAll(r.Failure.Promise, " ", "-") + ")"
	}
	return fmt.Sprintf("seed=%d fingerprint=%016x members=%d simulated=%ds events=%d ops=%d crashes=%d partitions=%d result=%s",
		r.Seed, r.Fingerprint, r.Members, int64(r.Simulated.Seconds()), r.Events, r.Ops, r.World.Crashes, r.Counts.Partitions, result)
}

// Explain tells what a failed run was about: it runs the seed again to hear the story. Where porcupine found the history wrong, it
// is drawn as a page of HTML into the file that create makes.
func Explain(r Result, create func(name string) (path string, file io.WriteCloser, err error)) string {
	told := Simulate(Options{Seed: r.Seed, Story: true, Mixed: r.Mixed})
	var b strings.Builder
	again := fmt.Sprintf("go test ./sim -seed=%d", r.Seed)
	if r.Mixed {
		again = fmt.Sprintf("go run ./cmd/detcd-sim -seed=%d -mixed", r.Seed)
	}
	fmt.Fprintf(&b, "seed %d broke the promise of %s\n%s\nreplay it with: %s\n", r.Seed, r.Failure.Promise, r.Failure.Story, again)
	if told.Fingerprint != r.Fingerprint {
		fmt.Fprintf(&b, "and it is not deterministic: run again, its fingerprint is %016x, not %016x\n", told.Fingerprint, r.Fingerprint)
	}
	b.WriteString(told.Story)
	if r.Picture != nil {
		path, err := draw(r, create)
		if err != nil {
			fmt.Fprintf(&b, "the history can't be drawn: %v\n", err)
		} else {
			fmt.Fprintf(&b, "history drawn in %s\n", path)
		}
	}
	return b.String()
}

func draw(r Result, create func(name string) (string, io.WriteCloser, error)) (string, error) {
	path, file, err := create(fmt.Sprintf("detcd-seed-%d.html", r.Seed))
	if err != nil {
		return "", err
	}
	return path, errors.Join(r.Picture(file), file.Close())
}

// account is the story of the run: its end, and the operations that the failure is about.
func (r *Run) account() string {
	if !r.story.telling {
		return ""
	}
	var b strings.Builder
	c := &r.setup
	fmt.Fprintf(&b, "%d members, clocks off by %v ppm, %d clients, trouble for %v, faults each %+v\n", c.Members, c.Drift, c.Clients, c.Trouble, c.Faults)
	if r.failure != nil && len(r.failure.Ops) > 0 {
		b.WriteString("operations in question:\n")
		for _, i := range r.failure.Ops {
			if i >= len(r.history) {
				continue // one that a member made by itself: it stands in the log only
			}
			o := &r.history[i]
			fmt.Fprintf(&b, "  op %d: client %d at %x, called at %d, returned at %s, entry %d.%d: %v -> ", i, o.Client, o.Member, o.Call,
				returned(o.Return), o.Index, o.Position, told{o.Request})
			switch {
			case o.Response != nil:
				fmt.Fprintf(&b, "%v\n", told{o.Response})
			default:
				fmt.Fprintf(&b, "%v %v\n", o.Outcome, o.Err)
			}
		}
	}
	b.WriteString("what happened:\n")
	b.WriteString(r.story.tail(120))
	return b.String()
}

func returned(at uint64) string {
	if at == linearizability.Never {
		return "no time"
	}
	return fmt.Sprint(at)
}

// Totals add up what many runs reached.
type Totals struct {
	Runs, Failed                                                         uint64
	WithCrashes, WithPartitions, WithTornWrites, WithInstalled, WithFull uint64 // runs that had any
	Events, Ops                                                          uint64
	SimulatedSeconds                                                     uint64
	World                                                                world.Counts
	Counts                                                               Counts
}

// Add adds one run.
func (t *Totals) Add(r Result) {
	t.Runs++
	if r.Failure != nil {
		t.Failed++
	}
	for _, had := range []struct {
		n  uint64
		to *uint64
	}{
		{r.World.Crashes, &t.WithCrashes}, {r.Counts.Partitions, &t.WithPartitions}, {r.World.TornWrites, &t.WithTornWrites},
		{r.Counts.Installed, &t.WithInstalled}, {r.World.DiskFull, &t.WithFull},
	} {
		if had.n > 0 {
			*had.to++
		}
	}
	t.Events += r.Events
	t.Ops += uint64(r.Ops)
	t.SimulatedSeconds += uint64(r.Simulated.Seconds())
	t.World.Add(r.World)
	t.Counts.add(r.Counts)
}

func (c *Counts) add(o Counts) {
	c.Answered += o.Answered
	c.Refused += o.Refused
	c.Unknown += o.Unknown
	c.Partitions += o.Partitions
	c.Stops += o.Stops
	c.Failed += o.Failed
	c.Damaged += o.Damaged
	c.AtRest += o.AtRest
	c.Stood += o.Stood
	c.Leaders += o.Leaders
	c.Installed += o.Installed
	c.SnapshotsSent += o.SnapshotsSent
	c.LogsSent += o.LogsSent
	c.Lags += o.Lags
	c.LagSnapshots += o.LagSnapshots
	c.Duplicates += o.Duplicates
	c.Removals += o.Removals
	c.Told += o.Told
	c.Overtaken += o.Overtaken
	c.Packs += o.Packs
	c.PackFragments += o.PackFragments
	c.OvertakenWithin += o.OvertakenWithin
	c.Renewed += o.Renewed
	c.Locked += o.Locked
	c.Elected += o.Elected
	c.Late += o.Late
	c.Wiped += o.Wiped
	c.Barred += o.Barred
	c.LetIn += o.LetIn
	c.Aged += o.Aged
	c.FoundOut += o.FoundOut
	c.VotesLost += o.VotesLost
	c.Upgraded += o.Upgraded
	c.SteppedBack += o.SteppedBack
	c.TooOld += o.TooOld
	c.Judged += o.Judged
	c.Undecided += o.Undecided
}

// FirstDifference compares two traces. It returns the number of the first line, not counting remarks, in which they part, with the
// two lines (empty: that trace has ended); 0 if they are equal.
func FirstDifference(a, b io.Reader) (at int, lineA, lineB string, err error) {
	sa, sb := bufio.NewScanner(a), bufio.NewScanner(b)
	next := func(s *bufio.Scanner) (string, bool) {
		for s.Scan() {
			if l := s.Text(); !strings.HasPrefix(l, "#") {
				return l, true
			}
		}
		return "", false
	}
	for n := 1; ; n++ {
		la, oka := next(sa)
		lb, okb := next(sb)
		switch {
		case sa.Err() != nil:
			return 0, "", "", sa.Err()
		case sb.Err() != nil:
			return 0, "", "", sb.Err()
		case !oka && !okb:
			return 0, "", "", nil
		case la != lb:
			return n, la, lb, nil
		}
	}
}
