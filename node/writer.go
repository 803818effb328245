package node

import (
	"errors"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
)

// writer is the way of raft's storage messages into the log. One write is under way at a time; all that comes meanwhile shares the
// next one, and its sync. Answers that depend on a write leave when it is durable.
type writer struct {
	log *wal.Log // touched by the lane only, once the member is open
	// queue waits for the write under way.
	queue []appendRequest
	busy  bool
	// hardState is the newest one that was put into the queue: nothing in it is ahead of the entries there.
	hardState *raftpb.HardState
	// durable is the newest one whose write is done.
	durable *raftpb.HardState
	// lastIndex and lastTerm are those of the last entry that was put into the queue, or is in the log.
	lastIndex, lastTerm uint64
	// unsettled: there was a write since the log was last marked as settled; wroteAt is when the last one was done.
	unsettled bool
	wroteAt   port.Instant
	closing   bool
	closed    bool
}

type appendRequest struct {
	batch     wal.Batch
	responses []*raftpb.Message
	// install is the state that a received snapshot holds, to take the place of the present one.
	install *arrived
	// done, if not nil, is called when the batch is durable.
	done func()
}

// add takes one MsgStorageAppend.
func (w *writer) add(m *Member, msg *raftpb.Message) {
	r := appendRequest{responses: msg.GetResponses()}
	r.batch.Entries = msg.GetEntries()
	w.note(r.batch.Entries)
	if msg.Term != nil {
		r.batch.HardState = &raftpb.HardState{Term: msg.Term, Vote: msg.Vote, Commit: msg.Commit}
		w.hardState = r.batch.HardState
	}
	if msg.GetSnapshot() != nil {
		r.batch.Snapshot = &wal.SnapshotMark{
			Index:     msg.GetSnapshot().GetMetadata().GetIndex(),
			Term:      msg.GetSnapshot().GetMetadata().GetTerm(),
			ConfState: encodeConfState(msg.GetSnapshot().GetMetadata().GetConfState()),
		}
		w.lastIndex, w.lastTerm = r.batch.Snapshot.Index, r.batch.Snapshot.Term
		r.install = m.takeArrived(r.batch.Snapshot.Index, r.batch.Snapshot.Term)
	}
	if len(r.batch.Entries) == 0 && r.batch.Snapshot == nil && w.idle() {
		// What the answers speak of is durable already. A follower that hears no more than that the commit index moved would else sync
		// its disk a second time for each entry.
		m.deliver(r.responses)
		r.responses = nil
	}
	w.queue = append(w.queue, r)
}

// note takes in which entry is the last of the log once these are in it.
func (w *writer) note(entries []*raftpb.Entry) {
	if n := len(entries); n > 0 {
		w.lastIndex, w.lastTerm = entries[n-1].GetIndex(), entries[n-1].GetTerm()
	}
}

// idle says that all that matters of what was given to the writer is durable: entries, snapshots, and the term and vote in which the
// member speaks, even where nothing else waits for these.
func (w *writer) idle() bool {
	if w.busy || w.hardState.GetTerm() != w.durable.GetTerm() || w.hardState.GetVote() != w.durable.GetVote() {
		return false
	}
	for i := range w.queue {
		if !w.queue[i].lazy() {
			return false
		}
	}
	return true
}

// lazy says that nothing waits for this request to be durable: only a commit index moved. It is written with the next that matters.
func (r *appendRequest) lazy() bool {
	return len(r.responses) == 0 && len(r.batch.Entries) == 0 && r.batch.Snapshot == nil && r.done == nil
}

// start begins a write of all that waits, unless one is under way or there is nothing that matters.
func (w *writer) start(m *Member) {
	if w.busy || w.closed || m.failed != nil {
		return
	}
	matters := false
	for i := range w.queue {
		if matters = !w.queue[i].lazy(); matters {
			break
		}
	}
	if !matters {
		// Keep the newest commit index only.
		if n := len(w.queue); n > 1 {
			w.queue = append(w.queue[:0], w.queue[n-1])
		}
		w.maybeClose(m)
		return
	}
	w.unsettled = true
	w.write(m, false)
}

// write begins a write of all that waits. With settle, the log is then marked as synced up to its end.
func (w *writer) write(m *Member, settle bool) {
	requests := w.queue
	w.queue, w.busy = nil, true
	batches := make([]wal.Batch, len(requests))
	marked := false
	for i := range requests {
		batches[i] = requests[i].batch
		marked = marked || batches[i].Snapshot != nil
	}
	log, file, slot := w.log, m.reach.file, m.reach.next()
	var err error
	var at wal.Reach
	m.ports.WALLane.Run(func() {
		err = log.Write(batches...)
		if err == nil && settle {
			err = log.Settle()
		}
		if err == nil {
			at = log.Reach()
			err = file.Put(slot, at)
		}
	}, func() {
		w.busy = false
		if m.failed != nil {
			return
		}
		if err != nil {
			m.fail(err)
			return
		}
		w.wroteAt = m.now()
		m.noteReach(at, marked, settle)
		m.written(requests)
	})
}

// written goes on with what waited for these requests to be durable, in their order.
func (m *Member) written(requests []appendRequest) {
	for i := range requests {
		r := &requests[i]
		if r.install != nil {
			if m.install(r.install); m.failed != nil {
				return
			}
		}
		m.entries.append(r.batch.Entries)
		if r.batch.HardState != nil {
			m.writer.durable = r.batch.HardState
		}
		m.deliver(r.responses)
		if r.done != nil {
			r.done()
		}
	}
}

// settleAfter is how long nothing was written until the member is at rest.
const settleAfter = 500 * time.Millisecond

// settle writes what nothing waits for when the member is at rest, and marks the log as synced up to its end, in the log and beside it, so that
// damage to it is told from a torn tail.
func (w *writer) settle(m *Member) {
	if w.busy || w.closed || !w.unsettled || m.failed != nil || m.now().Sub(w.wroteAt) < settleAfter {
		return
	}
	for i := range w.queue {
		if !w.queue[i].lazy() {
			return
		}
	}
	w.unsettled = false
	w.write(m, true)
}

// maybeClose closes the log when the member stops and nothing is left to write.
func (w *writer) maybeClose(m *Member) {
	if !w.closing || w.busy || w.closed {
		return
	}
	w.closed = true
	log, file := w.log, m.reach.file
	m.ports.WALLane.Run(func() { _ = log.Close() }, func() {
		// Errors matter no more: all was synced that was acknowledged.
		m.ports.ReachLane.Run(func() { _ = errors.Join(file.Sync(), file.Close()) }, m.stopDone)
	})
}
