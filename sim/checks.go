package sim

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/cespare/xxhash/v2"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/linearizability/leases"
	"github.com/detcd/detcd/linearizability/locks"
	"github.com/detcd/detcd/linearizability/replicas"
	"github.com/detcd/detcd/linearizability/requests"
	"github.com/detcd/detcd/linearizability/watches"
	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
)

// checks joins a run to the promises in linearizability: some are held while the run goes on, the others when it is over.
type checks struct {
	run        *Run
	replicas   replicas.Equality
	durability replicas.Durability

	// log is all committed requests in order, each batch once, as seen by the first member to apply it.
	log     []linearizability.Applied
	next    uint64                       // index of the first entry that no member has applied yet
	format  format.Version               // the cluster's, before that entry
	applied map[statemachine.Origin]bool // looked up, never ranged
	newest  map[uint64]uint64            // a proposer's newest incarnation in the log; looked up, never ranged
	reached map[*resident]uint64         // what each life has applied up to; looked up, never ranged
	// first says when the first member applied each entry, from index 1 on, and tenures when a leader applied entries of its own term.
	first   []linearizability.Moment
	tenures []leases.Tenure
	term    uint64 // of the last tenure
	picture func(io.Writer) error
}

func newChecks(r *Run) *checks {
	return &checks{run: r, next: 1, format: format.Oldest, applied: make(map[statemachine.Origin]bool), newest: make(map[uint64]uint64),
		reached: make(map[*resident]uint64)}
}

// committed sees an entry that a member is about to apply.
func (c *checks) committed(r *resident, e node.LogEntry) {
	c.run.failFor(c.durability.Committed(uint64(r.seat.peer.ID), e.Index, e.Term, xxhash.Sum64(e.Data)))
	if r.role == node.Leader && e.Term == r.term {
		c.noteTenure(e.Term)
	}
	if e.Index != c.next {
		return
	}
	c.next++
	c.first = append(c.first, linearizability.Moment{Stamp: c.run.stamp(), Time: c.run.now()})
	b, err := statemachine.Decode(e.Data, format.Newest)
	if err != nil {
		return // raft's own, or a change of members
	}
	if needs := statemachine.Needs(e.Data); b.Raise == 0 && needs > c.format {
		c.run.fail(&Failure{Promise: "the format version is raised before it is used",
			Story: fmt.Sprintf("entry %d is written in format version %d, and the cluster's is %d", e.Index, needs, c.format)})
	}
	name := b.Origin
	if c.applied[name] || b.Incarnation < c.newest[b.Proposer] {
		// The state machine's rule, made anew and naively: a batch counts once, and a batch of a proposer's earlier life does not count after one
		// of a later life.
		c.run.counts.Duplicates++
		return
	}
	c.applied[name], c.newest[b.Proposer] = true, b.Incarnation
	c.format = max(c.format, b.Raise)
	for i, req := range b.Requests {
		c.log = append(c.log, linearizability.Applied{Index: e.Index, Position: uint32(i), Request: req})
	}
}

// state sees which state a member has come to, by an entry or by a snapshot that it installed.
func (c *checks) state(r *resident, s node.StateMark, installed bool) {
	if last := c.reached[r]; s.Index <= last || !installed && last != 0 && s.Index != last+1 {
		c.run.fail(&Failure{Promise: "order of application",
			Story: fmt.Sprintf("%s applies entry %d after %d", r.seat.name, s.Index, last)})
	}
	c.reached[r] = s.Index
	c.run.failFor(c.replicas.Observe(uint64(r.seat.peer.ID), s.Index, s.Hash))
}

// removed sees a member that has finished removing what a compaction made unreachable, at the end of that turn.
func (c *checks) removed(r *resident) {
	published, stored := r.member.Sizes()
	c.run.counts.Removals++
	if published != stored {
		c.run.fail(&Failure{Promise: "published figures are true",
			Story: fmt.Sprintf("%s says that it stores %d bytes, and stores %d", r.seat.name, published, stored)})
	}
}

// leads sees a member become leader.
func (c *checks) leads(r *resident, term uint64) {
	c.run.failFor(c.durability.Leader(uint64(r.seat.peer.ID), uint64(r.seat.host.Epoch()), term))
}

// porcupineWithin bounds porcupine's search in a run. What it has not decided by then is counted; the witness has judged it in any case.
const porcupineWithin = 2 * time.Second

// tenureGap is how long nothing may be applied by a leader for it still to count as one that can commit.
const tenureGap = int64(time.Second)

// noteTenure notes that a leader applies an entry of its own term, which is a sign that it can do its work. That the entry is committed would be no
// such sign: where the leader's disk is slow, the others commit it without the leader, and it knows of a lease only later.
func (c *checks) noteTenure(term uint64) {
	now := c.run.now()
	if term < c.term {
		return // its successor is at work
	}
	if n := len(c.tenures); n > 0 && term == c.term && now-c.tenures[n-1].To <= tenureGap {
		c.tenures[n-1].To = now
		return
	}
	c.term = term
	c.tenures = append(c.tenures, leases.Tenure{From: now, To: now})
}

// judge holds the whole history to what was promised.
func (c *checks) judge() {
	r := c.run
	r.failFor(requests.CheckWitnessServing(c.log, r.history, served))
	if r.failure == nil {
		r.failFor(requests.CheckRevisions(r.history))
	}
	truth := linearizability.NewTruth(c.log, func(index uint64) linearizability.Moment { return c.first[index-1] })
	for _, promise := range []func() *linearizability.Violation{
		func() *linearizability.Violation { return watches.Check(truth, r.watches) },
		func() *linearizability.Violation {
			return watches.CheckCaughtUp(truth, r.watches, truth.Revision())
		},
		func() *linearizability.Violation {
			return leases.Check(truth, r.leases, c.leaseBounds())
		},
		func() *linearizability.Violation { return locks.Check(truth, r.locks, c.leaseBounds()) },
		func() *linearizability.Violation {
			return locks.CheckElections(truth, r.elections, r.observed)
		},
		func() *linearizability.Violation { return locks.CheckObserversCaughtUp(truth, r.observed) },
	} {
		if r.failure == nil {
			r.failFor(promise())
		}
	}
	// Also where the witness has found something: a picture helps.
	history := requests.Settle(c.log, requests.WithServed(truth, r.history))
	report, v := requests.CheckPorcupine(history, func(i int) string {
		if i < len(r.groups) {
			return r.groups[i]
		}
		return groupServed(history[i].Request)
	}, porcupineWithin)
	r.failFor(v)
	r.counts.Judged, r.counts.Undecided = uint64(report.Judged), uint64(report.Undecided)
	c.picture = report.Picture
}

// leaseSlack is how long a leader that can commit may take to learn of a lease and to have its end, or a checkpoint, applied: some ticks and a commit.
// With slow disks a commit takes several times as long as the pause between two entries: it waits for the write under way and for its own, on
// the leader and on a follower.
const leaseSlack = 6 * tenureGap

func (c *checks) leaseBounds() leases.Bounds {
	n := &c.run.setup.Node
	return leases.Bounds{Drift: driftMost, Tenures: c.tenures, Checkpoint: int64(n.LeaseCheckpointInterval),
		Promotion: int64(n.TickInterval) * int64(n.ElectionTicks), Slack: leaseSlack, Now: c.run.now()}
}

// served says whether a request in the log may be one that a member makes on behalf of a call of the lock or election service.
func served(r *pb.InternalRaftRequest) bool {
	switch {
	case r.GetLeaseRevoke() != nil: // leases end by themselves
		return true
	case r.GetTxn() != nil:
		return inQueue(r.GetTxn().GetCompare())
	case r.GetDeleteRange() != nil:
		return isQueueKey(r.GetDeleteRange().GetKey())
	}
	return false
}

func inQueue(compares []*pb.Compare) bool {
	return len(compares) == 1 && isQueueKey(compares[0].GetKey())
}

// isQueueKey says whether a key is one of the lock's or the election's queue.
func isQueueKey(key []byte) bool {
	return bytes.HasPrefix(key, lockName) || bytes.HasPrefix(key, electionName)
}

// groupServed is the group of the keys of a request that a member has made.
func groupServed(m proto.Message) string {
	key := []byte(nil)
	switch r := m.(type) {
	case *pb.TxnRequest:
		if len(r.GetCompare()) == 0 {
			return "" // none of theirs: the run has failed already
		}
		key = r.GetCompare()[0].GetKey()
	case *pb.DeleteRangeRequest:
		key = r.GetKey()
	default:
		return "" // the end of a lease
	}
	if bytes.HasPrefix(key, lockName) {
		return lockGroup
	}
	return electionGroup
}
