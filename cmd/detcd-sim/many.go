package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/detcd/detcd/sim"
)

// batchSeeds is how many seeds a process runs: enough to be worth its start.
const batchSeeds = 20

// runMany spreads the seeds over processes of this program.
func runMany(f flags, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	m := &many{flags: f, self: self, out: out, next: f.from}
	start := time.Now()
	var wg sync.WaitGroup
	for range max(1, f.procs) {
		wg.Go(m.work)
	}
	wg.Wait()
	m.sum.Seconds = time.Since(start).Seconds()
	if err := m.summary(); err != nil {
		return err
	}
	if m.err != nil {
		return m.err
	}
	if m.sum.Totals.Failed > 0 || m.sum.Hung > 0 {
		return errFailed
	}
	return nil
}

// summary is what all seeds came to, as -json prints it.
type summary struct {
	Totals  sim.Totals
	Hung    uint64 // processes that died or took too long for a seed
	CPU     time.Duration
	Seconds float64 // of wall-clock time
	// PerCPUSecond is how many seconds are simulated in a second of a processor, for all seeds and for those of three members.
	PerCPUSecond, PerCPUSecondOfThree float64
}

type many struct {
	flags flags
	self  string
	out   io.Writer

	mu       sync.Mutex
	next     uint64
	stop     bool
	err      error
	sum      summary
	threeCPU time.Duration
	threeSim time.Duration
}

func (m *many) work() {
	for {
		m.mu.Lock()
		from, n := m.next, min(batchSeeds, m.flags.from+m.flags.seeds-m.next)
		m.next += n
		stop := m.stop
		m.mu.Unlock()
		if n == 0 || stop {
			return
		}
		for n > 0 && !m.stopped() {
			done, err := m.batch(from, n)
			from, n = from+done, n-done
			if err != nil {
				m.lost(from, err)
				from, n = from+1, max(n, 1)-1
			}
		}
	}
}

func (m *many) stopped() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stop
}

// batch has a process run seeds. It returns how many were reported; the process is killed when one takes too long.
func (m *many) batch(from, n uint64) (done uint64, err error) {
	cmd := exec.Command(m.self, "-batch", fmt.Sprintf("-from=%d", from), fmt.Sprintf("-seeds=%d", n), "-pictures="+m.flags.pictures, fmt.Sprintf("-mixed=%v", m.flags.mixed))
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	var hung bool
	watchdog := time.AfterFunc(m.flags.limit, func() {
		hung = true
		_ = cmd.Process.Kill() // it may have ended just now
	})
	dec := json.NewDecoder(bufio.NewReader(pipe))
	for done < n {
		var r report
		if err = dec.Decode(&r); err != nil {
			break
		}
		watchdog.Reset(m.flags.limit)
		done++
		m.take(r)
	}
	if watchdog.Stop() && done == n {
		return done, cmd.Wait()
	}
	waited := cmd.Wait()
	if hung {
		return done, fmt.Errorf("took more than %v", m.flags.limit)
	}
	return done, errors.Join(err, waited)
}

// take adds up one seed's report.
func (m *many) take(r report) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum.Totals.Add(r.Result)
	m.sum.CPU += r.CPU
	if r.Result.Members == 3 {
		m.threeCPU += r.CPU
		m.threeSim += r.Result.Simulated
	}
	if r.Result.Failure != nil {
		fmt.Fprintf(os.Stderr, "%s\n%s\n", r.Line, r.Story)
		m.stop = m.stop || !m.flags.keepGoing
	}
}

// lost notes a seed of which there is no report.
func (m *many) lost(seed uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintf(os.Stderr, "seed=%d result=FAILED: its process gave no result: %v\nreplay it with: go test ./sim -seed=%d\n", seed, err, seed)
	m.sum.Hung++
	m.stop = m.stop || !m.flags.keepGoing
}

func (m *many) summary() error {
	s := &m.sum
	if s.CPU > 0 {
		s.PerCPUSecond = float64(s.Totals.SimulatedSeconds) / s.CPU.Seconds()
	}
	if m.threeCPU > 0 {
		s.PerCPUSecondOfThree = m.threeSim.Seconds() / m.threeCPU.Seconds()
	}
	if m.flags.asJSON {
		enc := json.NewEncoder(m.out)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	}
	t, w, c := &s.Totals, &s.Totals.World, &s.Totals.Counts
	_, err := fmt.Fprintf(m.out, `seeds        %d ok, %d failed, %d without a result
seeds with   crashes %d, partitions %d, torn writes %d, snapshots installed %d, full disks %d
faults       %d crashes (%d with loss of power, %d in the middle of disk work), %d partitions, %d pauses, %d graceful stops
damage       %d starts refused for it (%d where power went while at rest), %d in spite of it with nothing lost
disks        %d torn writes, %d lost writes, %d names undone, %d times full, %d failed syncs, %d members stopped by them
network      %d messages: %d lost, %d blocked, %d repeated
members      %d changes of leader, %d snapshots installed, %d batches twice in the log, %d compactions carried out
empty disks  %d members started late; %d lost their disks: %d times one was refused, %d began anew as nobody knew them
old copies   %d put back while all members were down; %d times the member found it out
two builds   %d members upgraded, %d stepped back, %d of them after their cluster had gone on
lost votes   %d times a member crashed as it asked for votes, or had just got them
catching up  %d snapshots and %d times old entries of the log sent; %d members away under load, %d of them level by a snapshot
requests     %d: %d answered, %d refused, %d unknown; porcupine judged %d, could not decide %d
services     %d watch events told, %d watches overtaken by compactions; %d renewals of leases, %d locks, %d elections won
events       %d
speed        %d simulated seconds in %.1f CPU seconds, %.1f s of wall clock
             %.0f simulated seconds per CPU second, %.0f with 3 members
`,
		t.Runs-t.Failed, t.Failed, s.Hung,
		t.WithCrashes, t.WithPartitions, t.WithTornWrites, t.WithInstalled, t.WithFull,
		w.Crashes, w.PowerLosses, w.CrashedInDiskWork, c.Partitions, w.Pauses, c.Stops,
		c.Damaged, c.AtRest, c.Stood,
		w.TornWrites, w.LostWrites, w.UndoneNames, w.DiskFull, w.FailedSyncs, c.Failed,
		w.Messages, w.Lost, w.Blocked, w.Repeated,
		c.Leaders, c.Installed, c.Duplicates, c.Removals,
		c.Late, c.Wiped, c.Barred, c.LetIn,
		c.Aged, c.FoundOut,
		c.Upgraded, c.SteppedBack, c.TooOld,
		c.VotesLost,
		c.SnapshotsSent, c.LogsSent, c.Lags, c.LagSnapshots,
		t.Ops, c.Answered, c.Refused, c.Unknown, c.Judged, c.Undecided,
		c.Told, c.Overtaken, c.Renewed, c.Locked, c.Elected,
		t.Events,
		t.SimulatedSeconds, s.CPU.Seconds(), s.Seconds, s.PerCPUSecond, s.PerCPUSecondOfThree)
	return err
}
