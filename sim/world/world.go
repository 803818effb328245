// Package world is a simulated world for passive members to live in: one clock, one queue of events, and for each host a
// network, disks, lanes and a local time that implement the ports of package node/port.
//
// It knows how things break: a link is cut, a machine crashes and loses its power. When they break is decided in package sim. It knows
// nothing of what a member does.
//
// An event is a turn: it calls into one host at most, and the end of that host's turn follows. Every event goes into the fingerprint
// before it happens, so two runs of one seed can be compared. With a trace one can also find the first event in which they differ.
//
// Concurrency: none. Everything runs on the caller's goroutine.
package world

import (
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/detcd/detcd/sim/prng"
)

// Kind says what an event, or a note between events, is.
type Kind uint8

// The kinds of events and notes.
const (
	Timer     Kind = iota + 1 // a host's clock calls back
	Message                   // a message arrives at a host
	LaneWork                  // a lane's work runs
	LaneDone                  // a lane's work, done before, is reported
	Request                   // a client's request arrives at a host
	Answer                    // a host's answer arrives at a client
	Client                    // a client thinks of something to do, or its patience ends
	Fault                     // something breaks or is mended
	DiskWrite                 // note: bytes go to a disk's cache
	DiskSync                  // note: a file is made durable
	DiskNames                 // note: a disk's list of names changes
	Sent                      // note: a message is sent
	Boot                      // note: a host starts
	Crash                     // note: a host stops
	Applied                   // note: a member has applied an entry
	Judged                    // note: something else that must not differ
	TurnEnd                   // a turn that several calls share ends
	Greeting                  // a host learns how another one has greeted that does not take its messages
)

var kindNames = [...]string{"?", "timer", "message", "lane-work", "lane-done", "request", "answer", "client", "fault",
	"disk-write", "disk-sync", "disk-names", "sent", "boot", "crash", "applied", "judged", "turn-end", "greeting"}

func (k Kind) String() string { return kindNames[k] }

// World is the simulated world.
type World struct {
	now    int64 // nanoseconds since the world began
	events queue
	count  uint64

	print  fingerprint
	tracer *Tracer

	seed  uint64
	net   *Net
	hosts []*Host
	// acting is the host that was called into last; a start counts.
	acting *Host

	// Counts is what befell the hosts, for reports. No decision depends on it, but a lane reads how many bytes its work has written.
	Counts Counts
}

// Counts tells what befell the hosts.
type Counts struct {
	Messages, Lost, Repeated, Blocked uint64
	Crashes, PowerLosses, Pauses      uint64
	CrashedInDiskWork                 uint64 // crashes that cut a disk operation short
	TornWrites                        uint64 // single writes of which a crash kept a part
	LostWrites                        uint64 // single writes of which a crash kept nothing
	UndoneNames                       uint64 // changes of names that a crash undid
	DiskFull, FailedSyncs             uint64
	Syncs, BytesWritten               uint64
	Outdated                          uint64 // messages between hosts of which one does not read what the other may send
	JoinedTurns                       uint64 // calls into a turn that others had begun
}

// New returns an empty world at time zero. A tracer may be nil.
func New(seed uint64, tracer *Tracer) *World {
	w := &World{seed: seed, tracer: tracer}
	w.net = newNet(w)
	return w
}

// Stream returns the random stream of the given name under the world's seed.
func (w *World) Stream(name string) *prng.Source { return prng.New(w.seed, name) }

// Now returns the true time since the world began; no host can see it.
func (w *World) Now() time.Duration { return time.Duration(w.now) }

// Count returns the number of events so far.
func (w *World) Count() uint64 { return w.count }

// Fingerprint returns the hash of all events and notes so far.
func (w *World) Fingerprint() uint64 { return w.print.sum }

// Net returns the network between the hosts.
func (w *World) Net() *Net { return w.net }

// Acting returns the host that was called into last, to start its member or with an event: so a source that several hosts draw from can tell who
// draws. It is nil before the first start.
func (w *World) Acting() *Host { return w.acting }

// Hosts returns all hosts in the order they were added. The caller must not change the slice.
func (w *World) Hosts() []*Host { return w.hosts }

// After has fn called once d has passed, as an event of no host.
func (w *World) After(d time.Duration, kind Kind, fn func()) {
	w.schedule(w.now+int64(d), event{kind: kind, fn: fn})
}

func (w *World) schedule(at int64, e event) {
	w.events.push(max(at, w.now), e)
}

// Note puts a fact into the fingerprint and the trace that is no event by itself. host is 0 where it is about none.
func (w *World) Note(kind Kind, host uint64, a, b uint64) {
	w.print.mix(uint64(kind)<<56 ^ host)
	w.print.mix(a)
	w.print.mix(b)
	if w.tracer != nil {
		w.tracer.record(w.count, w.now, kind, host, a, b, w.print.sum)
	}
}

// Step makes the next event happen. It returns false when there is none up to the given time; the clock then shows that time.
func (w *World) Step(until time.Duration) bool {
	at, ok := w.events.next()
	if !ok || at > int64(until) {
		w.now = max(w.now, int64(until))
		return false
	}
	e := w.events.pop()
	w.now = at
	w.count++
	var id, sum uint64
	if e.host != nil {
		id = e.host.id
	}
	if e.payload != nil {
		if sum = xxhash.Sum64(e.payload); sum != e.sum {
			panic("world: a message was changed after it was given to the network")
		}
	}
	w.print.mix(uint64(at))
	w.Note(e.kind, id, e.from, sum)
	if e.host == nil {
		e.fn()
	} else {
		w.acting = e.host
		e.host.take(e)
	}
	return true
}

// Add adds another world's counts.
func (c *Counts) Add(o Counts) {
	c.Messages += o.Messages
	c.Lost += o.Lost
	c.Repeated += o.Repeated
	c.Blocked += o.Blocked
	c.Crashes += o.Crashes
	c.PowerLosses += o.PowerLosses
	c.Pauses += o.Pauses
	c.CrashedInDiskWork += o.CrashedInDiskWork
	c.TornWrites += o.TornWrites
	c.LostWrites += o.LostWrites
	c.UndoneNames += o.UndoneNames
	c.DiskFull += o.DiskFull
	c.FailedSyncs += o.FailedSyncs
	c.Syncs += o.Syncs
	c.BytesWritten += o.BytesWritten
	c.Outdated += o.Outdated
	c.JoinedTurns += o.JoinedTurns
}
