package node

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
)

// writer is the way of raft's storage messages into the log. One write is under way at a time; all that comes meanwhile shares the
// next one, and its sync. Answers that depend on a write leave when it is durable.
type writer struct {
	*core
	entries *entries
	log     *wal.Log // touched by the lane only, once the member is open
	reach   reach
	// marked is the newest snapshot that the log points at: a restart begins from it.
	marked savedSnapshot
	// deliver passes on raft's answers, once what they speak of is durable.
	deliver func([]*raftpb.Message)
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
	// closing: the log is closed as soon as nothing is left to write, and whenClosed is called then.
	closing    bool
	whenClosed func()
	closed     bool
}

type appendRequest struct {
	batch     wal.Batch
	responses []*raftpb.Message
	// install, if not nil, is called when the batch is durable, before the answers leave: it puts a received state in the present one's place.
	install func()
	// done, if not nil, is called when the batch is durable and the answers have left.
	done func()
}

// savedSnapshot is a snapshot on this member's disk.
type savedSnapshot struct {
	index uint64
	bytes int64
}

// add takes one MsgStorageAppend. install is what to do with the snapshot that it holds, nil if there is none.
func (w *writer) add(msg *raftpb.Message, install func()) {
	r := appendRequest{responses: msg.GetResponses(), install: install}
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
	}
	if len(r.batch.Entries) == 0 && r.batch.Snapshot == nil && w.idle() {
		// What the answers speak of is durable already. A follower that hears no more than that the commit index moved would else sync
		// its disk a second time for each entry.
		w.deliver(r.responses)
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
func (w *writer) start() {
	if w.busy || w.closed || w.failed != nil {
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
		w.maybeClose()
		return
	}
	w.unsettled = true
	w.write(false)
}

// write begins a write of all that waits. With settle, the log is then marked as synced up to its end.
func (w *writer) write(settle bool) {
	requests := w.queue
	w.queue, w.busy = nil, true
	batches := make([]wal.Batch, len(requests))
	marked := false
	for i := range requests {
		batches[i] = requests[i].batch
		marked = marked || batches[i].Snapshot != nil
	}
	log, file, slot := w.log, w.reach.file, w.reach.next()
	var err error
	var at wal.Reach
	w.ports.WALLane.Run(func() {
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
		if w.failed != nil {
			return
		}
		if err != nil {
			w.fail(err)
			return
		}
		w.wroteAt = w.now()
		w.noteReach(at, marked, settle)
		w.written(requests)
	})
}

// mark has the log point at a snapshot that is durable, and then calls done.
func (w *writer) mark(mark wal.SnapshotMark, size int64, done func()) {
	w.queue = append(w.queue, appendRequest{
		batch: wal.Batch{Snapshot: &mark, HardState: w.hardState},
		done: func() {
			if mark.Index > w.marked.index {
				w.marked = savedSnapshot{mark.Index, size}
			}
			done()
		},
	})
}

// written goes on with what waited for these requests to be durable, in their order.
func (w *writer) written(requests []appendRequest) {
	for i := range requests {
		r := &requests[i]
		if r.install != nil {
			if r.install(); w.failed != nil {
				return
			}
		}
		w.entries.append(r.batch.Entries)
		if r.batch.HardState != nil {
			w.durable = r.batch.HardState
		}
		w.deliver(r.responses)
		if r.done != nil {
			r.done()
		}
	}
}

// settleAfter is how long nothing was written until the member is at rest.
const settleAfter = 500 * time.Millisecond

// settle writes what nothing waits for when the member is at rest, and marks the log as synced up to its end, in the log and beside it, so that
// damage to it is told from a torn tail.
func (w *writer) settle() {
	if w.busy || w.closed || !w.unsettled || w.failed != nil || w.now().Sub(w.wroteAt) < settleAfter {
		return
	}
	for i := range w.queue {
		if !w.queue[i].lazy() {
			return
		}
	}
	w.unsettled = false
	w.write(true)
}

// maybeClose closes the log when the member stops and nothing is left to write.
func (w *writer) maybeClose() {
	if !w.closing || w.busy || w.closed {
		return
	}
	w.closed = true
	log, file := w.log, w.reach.file
	w.ports.WALLane.Run(func() { _ = log.Close() }, func() {
		// Errors matter no more: all was synced that was acknowledged.
		w.ports.ReachLane.Run(func() { _ = errors.Join(file.Sync(), file.Close()) }, w.whenClosed)
	})
}

// onLog has the log's lane do something, and then calls done in a turn. An error ends the member.
func (w *writer) onLog(what string, work func() error, done func()) {
	var err error
	w.ports.WALLane.Run(func() { err = work() }, func() {
		if w.failed != nil {
			return
		}
		if err != nil {
			w.fail(fmt.Errorf("%s: %w", what, err))
			return
		}
		done()
	})
}
