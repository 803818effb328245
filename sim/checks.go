package sim

import (
	"fmt"
	"io"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/statemachine"
)

// checks wires what happens to the promises of package linearizability: some are held while the run goes on, the rest when it is over.
type checks struct {
	run        *Run
	replicas   linearizability.Replicas
	durability linearizability.Durability

	// log is every committed entry's requests, in order, each batch once: as the first member to apply it saw it.
	log     []linearizability.Applied
	next    uint64               // index of the first entry that no member has applied yet
	applied map[batchName]bool   // looked up, never ranged
	newest  map[uint64]uint64    // a proposer's newest incarnation in the log; looked up, never ranged
	reached map[*resident]uint64 // what each life has applied up to; looked up, never ranged
	picture func(io.Writer) error
}

type batchName struct{ proposer, incarnation, sequence uint64 }

func newChecks(r *Run) *checks {
	return &checks{run: r, next: 1, applied: make(map[batchName]bool), newest: make(map[uint64]uint64),
		reached: make(map[*resident]uint64)}
}

// committed sees an entry that a member is about to apply.
func (c *checks) committed(r *resident, index, term uint64, data []byte) {
	c.run.failFor(c.durability.Committed(uint64(r.seat.peer.ID), index, term, xxhash.Sum64(data)))
	if index != c.next {
		return
	}
	c.next++
	b, err := statemachine.DecodeBatch(data)
	if err != nil {
		return // raft's own, or a change of members
	}
	name := batchName{b.Proposer, b.Incarnation, b.Sequence}
	if c.applied[name] || b.Incarnation < c.newest[b.Proposer] {
		// Its naive twin of what the state machine does: a batch counts once, and none of a proposer's earlier lives counts
		// after one of a later.
		c.run.counts.Duplicates++
		return
	}
	c.applied[name], c.newest[b.Proposer] = true, b.Incarnation
	for i, req := range b.Requests {
		c.log = append(c.log, linearizability.Applied{Index: index, Position: uint32(i), Request: req})
	}
}

// state sees the hash of a member's state at an index.
func (c *checks) state(r *resident, index, hash uint64, installed bool) {
	if last := c.reached[r]; index <= last || !installed && last != 0 && index != last+1 {
		c.run.fail(&Failure{Promise: "order of application",
			Story: fmt.Sprintf("%s applies entry %d after %d", r.seat.name, index, last)})
	}
	c.reached[r] = index
	c.run.failFor(c.replicas.Observe(uint64(r.seat.peer.ID), index, hash))
}

// leads sees a member become leader.
func (c *checks) leads(r *resident, term uint64) {
	c.run.failFor(c.durability.Leader(uint64(r.seat.peer.ID), term))
}

// porcupineWithin bounds porcupine's search in a run. What it can't decide by then is counted, and the witness has judged it anyway.
const porcupineWithin = 2 * time.Second

// judge holds the whole history to what was promised.
func (c *checks) judge() {
	r := c.run
	r.failFor(linearizability.CheckWitness(c.log, r.history))
	if r.failure == nil {
		r.failFor(linearizability.CheckRevisions(r.history))
	}
	// Also where the witness has found something: a picture helps.
	report, v := linearizability.CheckPorcupine(linearizability.Settle(c.log, r.history), func(i int) string { return r.groups[i] }, porcupineWithin)
	r.failFor(v)
	r.counts.Judged, r.counts.Undecided = uint64(report.Judged), uint64(report.Undecided)
	c.picture = report.Picture
}
