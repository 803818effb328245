package node

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
)

// catchUps bring the entries that followers lag behind by back from the log's segments, where memory has them no more. Raft does the
// sending, as always: it probes where the logs part, keeps messages under way and moves on with the answers. It only finds that the
// storage has nothing for it at times; then a reader fetches what comes next, off the turns, and raft is asked to look again.
type catchUps struct {
	*core
	idle
	entries *entries
	writer  *writer
	// readers are those of the followers that lag, in the order of their ids.
	readers []*pastReader
	// missed: raft wanted entries that are not in memory and were not read yet.
	missed bool
	// begun counts the followers that were found to lag behind what is in memory, since this member was opened.
	begun uint64
}

// pastReader reads ahead of what one follower is sent.
type pastReader struct {
	to     port.MemberID
	reader *wal.EntryReader // touched by the lane only
	// entries are those read that the follower is not known to have. What was sent stays until it is acknowledged: so the window bounds
	// what is under way to the follower, and raft can go back.
	entries []*raftpb.Entry
	bytes   int64
	next    uint64 // index of the entry to read next
	reading bool
}

// What a reader fetches at once, and has fetched at most beyond what the follower has, in pieces of Config.ChunkBytes. It bounds what a
// follower costs the leader in memory.
const (
	pastReadChunks   = 16
	pastWindowChunks = 64
)

// past implements entries.past.
func (c *catchUps) past(lo, hi, maxSize uint64) []*raftpb.Entry {
	for _, r := range c.readers {
		if first := r.next - uint64(len(r.entries)); first <= lo && lo < r.next {
			return firstOf(r.entries[lo-first:min(hi, r.next)-first], maxSize)
		}
	}
	c.missed = true
	return nil
}

// applied reads on for the followers that lag.
func (c *catchUps) applied(uint64) {
	if c.role != Leader || c.stopping {
		c.readers, c.missed = nil, false
		return
	}
	if !c.missed && len(c.readers) == 0 {
		return
	}
	c.missed = false
	var readers []*pastReader
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if port.MemberID(id) == c.config.ID || pr.State == tracker.StateSnapshot || pr.Next <= c.entries.floor || pr.Next > c.entries.base.index {
			return
		}
		r := c.reader(port.MemberID(id))
		if r == nil {
			if !pr.RecentActive {
				return
			}
			r = &pastReader{to: port.MemberID(id), reader: wal.NewEntryReader(c.writer.log), next: pr.Next}
			c.begun++
			c.ports.Observer.CatchingUp(r.to, false)
			c.log(port.Info, "sending a follower what it lacks from the log on the disk", "to", r.to, "from-index", pr.Next, "last-index", c.entries.last())
		}
		r.move(&pr)
		readers = append(readers, r)
	})
	c.readers = readers
	for _, r := range readers {
		c.readOn(r)
	}
}

// reader returns the reader for a follower, nil if it has none.
func (c *catchUps) reader(to port.MemberID) *pastReader {
	for _, r := range c.readers {
		if r.to == to {
			return r
		}
	}
	return nil
}

// move drops what the follower has, and goes elsewhere when raft does.
func (r *pastReader) move(pr *tracker.Progress) {
	from := pr.Match + 1
	if pr.State == tracker.StateProbe {
		from = pr.Next
	}
	if first := r.next - uint64(len(r.entries)); from < first || from > r.next {
		r.entries, r.bytes, r.next = nil, 0, from
		return
	}
	n := 0
	for n < len(r.entries) && r.entries[n].GetIndex() < from {
		r.bytes -= entryBytes(r.entries[n])
		n++
	}
	r.entries = r.entries[n:]
}

// readOn has a lane read more, if there is room for it.
func (c *catchUps) readOn(r *pastReader) {
	window := int64(pastWindowChunks * c.config.ChunkBytes)
	if r.reading || r.next > c.entries.base.index || r.bytes > window/2 {
		return
	}
	r.reading = true
	lo, last, limit := r.next, c.entries.base.index, int64(pastReadChunks*c.config.ChunkBytes)
	reader, known := r.reader, slices.Clone(c.entries.terms)
	var es []*raftpb.Entry
	var err error
	c.ports.HistoryLane.Run(func() { es, err = reader.Read(lo, last, limit, known.of) }, func() {
		r.reading = false
		if c.failed != nil || c.reader(r.to) != r || r.next != lo {
			return
		}
		if err != nil {
			c.lose(r, err)
			return
		}
		for _, e := range es {
			r.bytes += entryBytes(e)
		}
		r.entries, r.next = append(r.entries, es...), lo+uint64(len(es))
		c.nudge(r.to)
	})
}

// lose gives up an entry that can't be had from the segments, and all before it. A follower that wants them gets a snapshot. What comes
// after may be there for others: those who are further on, and those whom a snapshot is on its way to.
func (c *catchUps) lose(r *pastReader, err error) {
	c.entries.forget(c.writer.log.Spans()[0].Before)
	c.entries.forget(r.next)
	c.log(port.Warn, "can't read entries back from the log on the disk; a follower that lacks them is sent a snapshot instead",
		"to", r.to, "from-index", r.next, "error", err)
}

// nudge has raft look again whether there is something to send to a follower. To raft it looks like the answer to a heartbeat, which it
// is told only of a follower that it has heard of lately.
func (c *catchUps) nudge(to port.MemberID) {
	for {
		before, ok := c.sendable(to)
		if !ok {
			return
		}
		c.step(&raftpb.Message{Type: raftpb.MsgHeartbeatResp.Enum(), From: new(uint64(to)), To: new(uint64(c.config.ID))})
		if after, _ := c.sendable(to); after == before {
			return
		}
	}
}

// sendable returns the index of the entry to send to a follower next, if it is past what is in memory, read, and may be sent now.
func (c *catchUps) sendable(to port.MemberID) (next uint64, ok bool) {
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if port.MemberID(id) == to {
			r := c.reader(to)
			next, ok = pr.Next, pr.RecentActive && !pr.IsPaused() && r != nil && pr.Next < r.next && pr.Next+uint64(len(r.entries)) >= r.next
		}
	})
	return next, ok
}
