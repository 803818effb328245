// Package sim runs a whole cluster in a simulated world: members as production has them, clients, faults, and checks of every
// promise. One seed picks the set-up and everything that happens; the same seed gives the same run to the byte, on every platform.
//
// This package decides what happens, and when. What a fault does to a host is in package world; what is right is in package
// linearizability and its folders. DESIGN.md is the tour.
//
// Concurrency: a run takes place on the caller's goroutine. It replaces crypto/rand.Reader while it lasts, as raft draws election
// timeouts from there, so there can be only one run at a time in a process; parallel runs are processes.
package sim

import (
	"crypto/rand"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/linearizability/leases"
	"github.com/detcd/detcd/linearizability/locks"
	"github.com/detcd/detcd/linearizability/watches"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/sim/world"
)

// Options say what to run.
type Options struct {
	Seed uint64
	// Trace, if not nil, gets a line for each event (see world.Tracer).
	Trace io.Writer
	// Mixed has the run begin with members of two builds, also where the seed does not say so.
	Mixed bool
	// Story asks for a readable account of the run; it costs a lot.
	Story bool
}

// Run is one run.
type Run struct {
	setup   Setup
	world   *world.World
	seats   []*seat
	clients []*client
	faults  []*fault
	checks  *checks
	story   story
	counts  Counts

	gate *call.Gate

	history linearizability.History
	groups  []string // of each operation in the history
	stamps  uint64

	watchers  []*watcher
	sessions  []*session
	onlookers []*onlooker
	watches   []*watches.Record
	leases    []*leases.Record
	locks     []*locks.Record
	elections []*locks.ElectionRecord
	observed  []*locks.ObserveRecord

	lagging *lag // a follower that is away, or was a moment ago; nil: none

	// onLeader, if not nil, is told of each member that comes to lead.
	onLeader func(*resident)
	lostVote *lostVote // a member that is to crash as it asks for votes; nil: none

	lull    int64 // until this time clients make no requests
	mixed   bool  // members of two builds
	forced  bool  // Options.Mixed
	healed  bool  // trouble is over
	quiet   bool  // clients make no more requests
	failure *Failure
}

// Failure says which promise was broken, and how.
type Failure struct {
	Promise string
	Story   string
	Ops     []int // indices of the operations in question, if any
}

// Counts tell what a run reached.
type Counts struct {
	Answered, Refused, Unknown uint64 // requests by outcome
	Partitions, Stops, Failed  uint64
	Damaged                    uint64 // starts refused for damage that was put there
	AtRest                     uint64 // those of Damaged whose member was at rest when it lost its power
	Stood                      uint64 // starts with damage that was put there and took nothing from the member
	Leaders, Installed         uint64 // times a member became leader; snapshots taken over from another
	SnapshotsSent, LogsSent    uint64 // followers that were sent a snapshot, or old entries of the log, as they lagged
	Lags, LagSnapshots         uint64 // members that were away under steady load; those that needed a snapshot then
	Duplicates                 uint64 // batches that were in the log twice
	Removals                   uint64 // compactions that were carried out on a member to their end
	Told, Overtaken            uint64 // events that watchers were told of; watches that a compaction overtook
	// Packs are watch responses with several revisions. PackFragments are fragments of such. OvertakenWithin are watches that a compaction
	// overtook after they had told of a part of what they had missed.
	Packs, PackFragments, OvertakenWithin uint64
	Renewed, Locked, Elected              uint64 // acknowledged renewals of leases, locks and elections
	Late, Wiped                           uint64 // members that started late; disks that were lost
	Barred, LetIn                         uint64 // members that did not start after that; members that began anew, as nobody knew them
	Aged, FoundOut                        uint64 // old copies put in the place of a member's disks; runs that ended as they found that out
	VotesLost                             uint64 // members that were crashed as they asked for votes, or had just got them
	// Upgraded and SteppedBack are members that were started with a newer or an older build; TooOld of the latter found that their cluster had gone on.
	Upgraded, SteppedBack, TooOld uint64
	Judged, Undecided             uint64 // requests that porcupine judged, or could not in time
}

// Result is what came of a run.
type Result struct {
	Seed        uint64
	Fingerprint uint64
	Members     int
	Mixed       bool // as Options.Mixed
	Simulated   time.Duration
	Events      uint64
	Ops         int
	World       world.Counts
	Counts      Counts
	Failure     *Failure
	// Story is the account of the run, if it was asked for.
	Story string
	// Picture draws the history that porcupine found wrong; nil if there is none.
	Picture func(io.Writer) error `json:"-"`
}

// Simulate runs one seed.
func Simulate(o Options) Result {
	reader := rand.Reader
	defer func() { rand.Reader = reader }()
	var tracer *world.Tracer
	if o.Trace != nil {
		tracer = world.NewTracer(o.Trace)
	}
	r := newRun(o.Seed, tracer)
	r.story.telling, r.forced = o.Story, o.Mixed
	r.guarded(r.live)
	fingerprint := r.world.Fingerprint()
	if r.failure == nil {
		r.guarded(r.checks.judge)
	}
	if tracer != nil {
		if err := tracer.Flush(); err != nil {
			r.fail(&Failure{Promise: "trace", Story: "the trace can't be written: " + err.Error()})
		}
	}
	return Result{Seed: o.Seed, Fingerprint: fingerprint, Members: len(r.seats), Mixed: r.forced, Simulated: r.world.Now(), Events: r.world.Count(),
		Ops: len(r.history), World: r.world.Counts, Counts: r.counts, Failure: r.failure, Story: r.account(), Picture: r.checks.picture}
}

// newRun prepares the run of a seed.
func newRun(seed uint64, tracer *world.Tracer) *Run { return newRunOf(pickSetup(seed), tracer) }

// newRunOf prepares a run, and takes over the source from which raft draws.
func newRunOf(setup Setup, tracer *world.Tracer) *Run {
	r := &Run{setup: setup, world: world.New(setup.Seed, tracer), gate: &call.Gate{Limits: call.DefaultLimits()}}
	r.gate.Limits.MinLeaseTTL = call.MinLeaseTTL(r.setup.Node.TickInterval, r.setup.Node.ElectionTicks)
	rand.Reader = r.world.Stream("raft")
	r.story = story{world: r.world, tracer: tracer}
	r.checks = newChecks(r)
	return r
}

// guarded turns a panic into a failure of the run: a member that panics has a bug.
func (r *Run) guarded(fn func()) {
	defer func() {
		if p := recover(); p != nil {
			r.failure = nil
			r.fail(&Failure{Promise: "no panic", Story: fmt.Sprintf("panic: %v\n%s", p, debug.Stack())})
		}
	}()
	fn()
}

// fail ends the run: the first failure counts.
func (r *Run) fail(f *Failure) {
	if r.failure == nil {
		r.failure = f
		r.story.say("FAILURE of %s", f.Promise)
	}
}

func (r *Run) failFor(v *linearizability.Violation) {
	if v != nil {
		r.fail(&Failure{Promise: v.Promise, Story: v.Story, Ops: v.Ops})
	}
}

// stamp numbers calls and returns, in the order in which they happen.
func (r *Run) stamp() uint64 {
	r.stamps++
	return r.stamps
}

// now is the true time, in nanoseconds.
func (r *Run) now() int64 { return int64(r.world.Now()) }

// live is the course of a run: trouble, recovery, and recovery once more from nothing but what the disks hold.
func (r *Run) live() {
	r.addSeats()
	r.pickMixed(r.forced)
	r.pickLate()
	for _, s := range r.seats {
		r.faultAfter(s.boots.Duration(0, time.Second)+s.late, func() {
			if s.lives == 0 {
				s.boot(false)
			}
		})
	}
	for range r.setup.Clients {
		r.addClient().think()
	}
	r.addWatchers()
	r.addHolders()
	r.addLockers()
	r.addCandidates()
	r.addGuessers()
	r.crashes()
	r.usurpers()
	r.blackouts()
	r.restarts()
	r.pauses()
	r.partitions()
	r.storms()
	r.slowDisks()
	r.badDisks()
	r.damages()
	r.deposals()
	r.wipes()
	r.oldCopies()
	r.upgrades()
	r.lostVotes()
	r.advance(r.setup.Trouble, nil)
	r.heal()
	if len(r.present()) < len(r.seats) {
		r.recovers("after the faults end, without those who stay down")
		for _, s := range r.seats {
			s.absent = false
		}
		r.bootAll()
	}
	r.recovers("after the faults end")
	if r.failure != nil {
		return
	}
	r.lags()
	if r.failure != nil {
		return
	}
	r.story.say("power is lost everywhere at once")
	for _, s := range r.seats {
		s.crash(true)
		s.bootSoon()
	}
	r.recovers("after a loss of power of all members")
}

// advance lets the world go on until a time, or until a condition holds or the run has failed. It says whether the condition came
// to hold.
func (r *Run) advance(until time.Duration, cond func() bool) bool {
	for r.failure == nil {
		if cond != nil && cond() {
			return true
		}
		if r.world.Count() > eventsMost {
			r.fail(&Failure{Promise: "liveness", Story: fmt.Sprintf("more than %d events in %v: the members keep each other busy",
				uint64(eventsMost), r.world.Now())})
			return false
		}
		if !r.world.Step(until) {
			return false
		}
	}
	return false
}

// eventsMost bounds a run; the longest have some hundred thousand.
const eventsMost = 10_000_000
