package wal

import (
	"fmt"
	"math"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
)

// replay reads a WAL from its first segment to its last and changes nothing on disk.
type replay struct {
	disk  port.Disk
	id    *Identity            // nil: any
	visit func(r Record) error // nil: none
	reach *Reach               // nil: nothing is known of the log but itself
	early int64                // least size of a segment whose header does not tell its size; 0: unknown

	segments    []segment
	header      header // of the last segment
	state       state
	entries     []*raftpb.Entry // Invariant: consecutive, the last one is state.last
	incarnation uint64
	firstBatch  uint64 // number of the last batch before the first segment
	batch       uint64 // number of the last complete batch
	synced      uint32 // CRC of its last record
	sinceMark   int64
	pending     []record // records of the batch after it
	reached     bool     // the place that reach names was passed
	body        int64    // where the segment's header ends
	slab        []slot

	// Of the last segment, once all is read:
	file  port.File // open
	end   int64     // where the next record goes
	chain uint32    // CRC of the record before end
	dirty int64     // from end up to here there are bytes that must be zeroed
}

// slot is an entry with the numbers it points to, so that 64 entries cost one allocation.
type slot struct {
	entry       raftpb.Entry
	index, term uint64
	kind        raftpb.EntryType
}

// list finds the segments, and the temporary files left over from making one.
func list(d port.Disk) (segments []segment, temps []string, err error) {
	names, err := d.List()
	if err != nil {
		return nil, nil, fmt.Errorf("wal: list: %w", err)
	}
	for _, name := range names { // sorted, hence in order of seq
		seq, temp, ok := parseName(name)
		switch {
		case !ok:
		case temp:
			temps = append(temps, name)
		default:
			if n := len(segments); n > 0 && segments[n-1].seq+1 != seq {
				missing := segmentName(segments[n-1].seq + 1)
				return nil, nil, &CorruptError{File: missing, Reason: "segment is missing, though " + name + " is there"}
			}
			segments = append(segments, segment{seq: seq})
		}
	}
	return segments, temps, nil
}

// run replays all segments. Without an error, file is left open.
func (p *replay) run() (err error) {
	var stopped int64 // where reading the segment before stopped
	for i := range p.segments {
		s := &p.segments[i]
		r, err := p.open(s)
		if err != nil {
			return err
		}
		off, err := p.readHeader(r, i, stopped)
		if err == nil {
			stopped, err = p.records(r, s, off)
		}
		if err == nil && i == len(p.segments)-1 {
			p.file = r.file
			if err = p.judgeEnd(r, stopped); err == nil {
				err = p.checkBeginning()
			}
			if err == nil {
				err = p.checkReached(r, stopped)
			}
		}
		if err != nil || r.file != p.file {
			p.file = nil
			if e := r.file.Close(); e != nil && err == nil {
				err = fmt.Errorf("wal: close %s: %w", r.name, e)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *replay) open(s *segment) (*reader, error) {
	f, err := p.disk.Open(s.name())
	if err != nil {
		return nil, fmt.Errorf("wal: open %s: %w", s.name(), err)
	}
	if s.size, err = f.Size(); err != nil {
		_ = f.Close() // the first error is the one that matters
		return nil, fmt.Errorf("wal: size of %s: %w", s.name(), err)
	}
	return &reader{file: f, name: s.name(), seq: s.seq, size: s.size}, nil
}

// readHeader reads segment i's header, and checks that it continues the segments before it. Reading of the segment before ended at stopped.
func (p *replay) readHeader(r *reader, i int, stopped int64) (next int64, err error) {
	bad := func(reason string) (int64, error) {
		return 0, &CorruptError{File: r.name, Reason: reason}
	}
	rec, ok, err := r.record(0)
	if err != nil {
		return 0, err
	}
	// A segment gets its name only when its header is durable. So this is no torn write, not even in the last segment.
	if !ok || rec.kind != kindHeader || rec.flags != flagLast {
		return bad("no intact segment header")
	}
	h, reason, err := parseHeader(rec.payload)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", r.name, err)
	}
	if reason != "" || h.seq != r.seq {
		return bad(reason + " (or of another segment)")
	}
	if p.id != nil && h.id != *p.id {
		return 0, fmt.Errorf("%w: %s is of cluster %x member %x, not cluster %x member %x", ErrIdentity, r.name,
			h.id.Cluster, h.id.Member, p.id.Cluster, p.id.Member)
	}
	if i == 0 {
		p.state, p.incarnation, p.batch, p.firstBatch = h.state, h.incarnation, rec.batch, rec.batch
	} else {
		if rec.chain != p.synced || rec.batch != p.batch {
			// The header tells of batches that are not there: the segment before it ends too early.
			return 0, &CorruptError{File: p.segments[i-1].name(), Offset: stopped,
				Reason: fmt.Sprintf("no intact record, but %s says that more follows (batches up to %d, read up to %d)", r.name, rec.batch, p.batch)}
		}
		if !p.state.same(&h.state) || h.incarnation < p.incarnation || h.id != p.header.id {
			return bad("segment header contradicts the segments before")
		}
		p.incarnation = h.incarnation
	}
	made := h.size
	if made == 0 {
		made = p.early
	}
	if r.size < made {
		return 0, &CorruptError{File: r.name, Offset: r.size, Reason: fmt.Sprintf("the file ends here, though it was made with %d bytes", made)}
	}
	p.segments[i].before, p.segments[i].beforeTerm = h.state.last, h.state.lastTerm
	p.header, p.synced, p.pending = h, rec.crc, p.pending[:0]
	next = recordBytes(len(rec.payload))
	p.sinceMark += next
	p.body = next
	if err := p.compare(r, 0); err != nil {
		return 0, err
	}
	return next, p.tell(r, &rec)
}

// compare looks whether the reading has just come to the place that the reach names. If so, what was read there must be what the reach says. It was a
// header or a complete batch, and begins at off.
func (p *replay) compare(r *reader, off int64) error {
	k := p.reach
	if k == nil || r.seq != k.Seq || p.batch != k.Batch {
		return nil
	}
	if p.synced != k.CRC {
		return &CorruptError{File: r.name, Offset: off, Reason: fmt.Sprintf("batch %d is not the one that this member wrote: the log is another's, or of another time", k.Batch)}
	}
	p.reached = true
	return nil
}

// records replays a segment from off up to where no intact record of it stands.
func (p *replay) records(r *reader, s *segment, off int64) (stopped int64, err error) {
	chain := p.synced
	for {
		rec, ok, err := r.record(off)
		if err != nil || !ok {
			return off, err
		}
		if rec.chain != chain || rec.batch != p.batch+1 || rec.kind == kindHeader {
			// A crash does not leave an intact record in the wrong place: whatever stood there was zeroed before anything else was written.
			return 0, &CorruptError{File: r.name, Offset: off, Reason: fmt.Sprintf("record of batch %d out of order after batch %d", rec.batch, p.batch)}
		}
		if err := p.tell(r, &rec); err != nil {
			return 0, err
		}
		p.pending = append(p.pending, rec)
		chain = rec.crc
		off += recordBytes(len(rec.payload))
		if rec.flags&flagLast == 0 {
			continue
		}
		for i := range p.pending {
			if broken := p.apply(s, &p.pending[i]); broken != "" {
				return 0, &CorruptError{File: r.name, Offset: p.pending[i].offset, Reason: broken}
			}
		}
		began := p.pending[0].offset
		clear(p.pending)
		p.pending, p.batch, p.synced = p.pending[:0], rec.batch, chain
		if err := p.compare(r, began); err != nil {
			return 0, err
		}
	}
}

// apply takes in one record of a complete batch, or says what is wrong with it.
func (p *replay) apply(s *segment, rec *record) (broken string) {
	b := rec.payload
	p.sinceMark += recordBytes(len(b))
	switch rec.kind {
	case kindEntry:
		index, term := order.Uint64(b), order.Uint64(b[8:])
		if broken = p.state.addEntry(index, term); broken != "" {
			return broken
		}
		keep := 0
		if len(p.entries) > 0 && index > p.entries[0].GetIndex() {
			keep = int(index - p.entries[0].GetIndex())
		}
		p.entries = append(p.entries[:keep], p.entry(index, term, raftpb.EntryType(rec.sub), b[entryFixedBytes:]))
	case kindSnapshot:
		m := &SnapshotMark{Index: order.Uint64(b), Term: order.Uint64(b[8:]), ConfState: b[markFixedBytes:]}
		if broken = p.state.setMark(m, rec.sub&subReset != 0); broken != "" {
			return broken
		}
		p.drop(m.Index, rec.sub&subReset != 0)
		p.sinceMark = recordBytes(len(b))
	case kindHardState:
		return p.state.setHard(order.Uint64(b), order.Uint64(b[8:]), order.Uint64(b[16:]))
	case kindStart:
		n := order.Uint64(b)
		if n <= p.incarnation {
			return fmt.Sprintf("incarnation %d after %d", n, p.incarnation)
		}
		p.incarnation = n
	}
	return ""
}

// drop forgets the entries up to index, or all.
func (p *replay) drop(index uint64, all bool) {
	n := 0
	for n < len(p.entries) && (all || p.entries[n].GetIndex() <= index) {
		n++
	}
	kept := copy(p.entries, p.entries[n:])
	clear(p.entries[kept:]) // else these entries would keep their read buffers in memory
	p.entries = p.entries[:kept]
}

func (p *replay) entry(index, term uint64, kind raftpb.EntryType, data []byte) *raftpb.Entry {
	if len(p.slab) == 0 {
		p.slab = make([]slot, 64)
	}
	s := &p.slab[0]
	p.slab = p.slab[1:]
	s.index, s.term, s.kind = index, term, kind
	s.entry.Index, s.entry.Term, s.entry.Type = &s.index, &s.term, &s.kind
	if len(data) > 0 {
		s.entry.Data = data
	}
	return &s.entry
}

// judgeEnd decides what the end of the last segment is: a clean end, a torn tail, or corruption.
func (p *replay) judgeEnd(r *reader, stopped int64) error {
	end, chain := stopped, p.synced
	for i := range p.pending {
		if p.pending[i].kind != kindSettled {
			end = p.pending[i].offset
			break
		}
		chain = p.pending[i].crc // a Settle mark counts by itself, though the batch that it begins was never written
	}
	dirty, later, err := r.tail(stopped, p.batch+1)
	if err != nil {
		return err
	}
	if later {
		return &CorruptError{File: r.name, Offset: stopped, Reason: fmt.Sprintf("no intact record of batch %d, though a later batch follows", p.batch+1)}
	}
	if most := p.tornMost(end); dirty-end > most {
		return &CorruptError{File: r.name, Offset: stopped, Reason: fmt.Sprintf("no intact record, and %d bytes that are not zero, more than one write can leave (%d)",
			dirty-end, most)}
	}
	p.end, p.chain, p.dirty = end, chain, dirty
	return nil
}

// tornMost is the most bytes that one unfinished write can have left in the last segment, from end on: one batch, and the Settle mark before it.
func (p *replay) tornMost(end int64) int64 {
	h := &p.header
	if h.size == 0 {
		return math.MaxInt64 // a segment of detcd 0.1.0
	}
	most := h.size / largeShare
	if end == p.body {
		most = max(most, h.first)
	}
	return most + frameBytes
}

// checkReached checks that the log leads as far as the reach says. Reading ended in the last segment, at stopped.
func (p *replay) checkReached(r *reader, stopped int64) error {
	k := p.reach
	if k == nil || p.reached || k.Seq == 0 || len(p.segments) == 0 {
		return nil
	}
	if p.segments[0].seq > k.Seq && p.firstBatch >= k.Batch {
		return nil // what the reach names has been released since
	}
	if r.seq < k.Seq {
		return &CorruptError{File: segmentName(k.Seq), Offset: 0, Reason: fmt.Sprintf("segment is missing: this member's log went on to batch %d at offset %d of it (entry %d), but ends with batch %d in %s",
			k.Batch, k.Offset, k.Last, p.batch, r.name)}
	}
	return &CorruptError{File: r.name, Offset: stopped, Reason: fmt.Sprintf("the log ends here, with batch %d (entry %d), but this member wrote and synced it up to batch %d at offset %d of %s (entry %d): it was cut short or damaged, or is an old copy",
		p.batch, p.state.last, k.Batch, k.Offset, segmentName(k.Seq), k.Last)}
}

// checkBeginning checks that no entries are missing between the snapshot and the first entry.
func (p *replay) checkBeginning() error {
	have := p.state.last + 1
	if len(p.entries) > 0 {
		have = p.entries[0].GetIndex()
	}
	if have > p.state.mark.Index+1 {
		return &CorruptError{File: p.segments[0].name(), Reason: fmt.Sprintf("the log begins at entry %d, its snapshot ends at %d", have, p.state.mark.Index)}
	}
	return nil
}

// tell hands a record to the visitor.
func (p *replay) tell(r *reader, rec *record) error {
	if p.visit == nil {
		return nil
	}
	return p.visit(describe(r.name, rec))
}
