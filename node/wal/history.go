package wal

import (
	"errors"
	"fmt"
	"math"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
)

// Segments that a restart does not need are kept for a while as history: a member that lags is sent the entries in them. A start does not read
// history. So history makes no start slower, and damage in it makes no start fail. Whoever reads entries back checks what it reads.

// Span is one segment, as readers of old entries see it.
type Span struct {
	seq uint64
	// Before is the last index of the log when the segment began. Every valid entry after that index is in this segment or in a later one.
	Before uint64
	// Bytes is the size of the file.
	Bytes int64
}

// Spans returns the segments there are, oldest first. Any goroutine may call it; the slice is not to be changed.
func (l *Log) Spans() []Span { return *l.spans.Load() }

func (l *Log) publishSpans() {
	spans := make([]Span, len(l.segments))
	for i, s := range l.segments {
		spans[i] = Span{seq: s.seq, Before: s.before, Bytes: s.size}
	}
	l.spans.Store(&spans)
}

// history parts the segments that a restart needs from the older ones. The header of the newest segment names a snapshot. The restart has to begin
// in the newest segment that began at or before the index of that snapshot. If a header can't be read, all segments are needed: then replay finds out
// what is wrong, if it matters. id is whose log it is; nil: any.
func history(d port.Disk, id *Identity, segments []segment) (old, needed []segment) {
	n := len(segments)
	if n < 2 {
		return nil, segments
	}
	newest, _, ok := peek(d, id, segments[n-1].seq)
	if !ok || !newest.state.hasMark {
		return nil, segments
	}
	first := n - 1
	for h := newest; h.state.last > newest.state.mark.Index; {
		if first--; first < 0 {
			return nil, segments
		}
		if h, _, ok = peek(d, id, segments[first].seq); !ok {
			return nil, segments
		}
	}
	old = make([]segment, first)
	for i := range old {
		h, size, ok := peek(d, id, segments[i].seq)
		old[i] = segment{seq: segments[i].seq, size: size}
		if ok {
			old[i].before, old[i].beforeTerm = h.state.last, h.state.lastTerm
		}
	}
	return old, segments[first:]
}

// reachesBack returns an index: the segments have all entries after it up to the mark's index, and these are of the mark's term. The headers alone
// tell that. Terms never fall along a log, so all entries between two of one term are of that term. Entries of earlier terms are left out.
func reachesBack(segments []segment, mark *SnapshotMark) uint64 {
	index := mark.Index
	for i := len(segments) - 1; i >= 0; i-- {
		if s := &segments[i]; s.before < index && s.beforeTerm == mark.Term {
			index = s.before
		} else if s.before < index {
			break
		}
	}
	return index
}

// peek reads a segment's header. ok is false where there is none that is intact, or another log's.
func peek(d port.Disk, id *Identity, seq uint64) (h header, size int64, ok bool) {
	r, err := openSegment(d, seq)
	if err != nil {
		return h, 0, false
	}
	defer r.file.Close() // it was opened for reading, so an error of Close loses nothing
	rec, ok, err := r.record(0)
	if err != nil || !ok || rec.kind != kindHeader {
		return h, r.size, false
	}
	h, reason, err := parseHeader(rec.payload)
	return h, r.size, err == nil && reason == "" && h.seq == seq && (id == nil || h.id == *id)
}

func openSegment(d port.Disk, seq uint64) (*reader, error) {
	name := segmentName(seq)
	f, err := d.Open(name)
	if err != nil {
		return nil, fmt.Errorf("wal: open %s: %w", name, err)
	}
	size, err := f.Size()
	if err != nil {
		_ = f.Close() // the first error is the one that matters
		return nil, fmt.Errorf("wal: size of %s: %w", name, err)
	}
	return &reader{file: f, name: name, seq: seq, size: size}, nil
}

// ErrGone is returned by EntryReader.Read when no segment has the entries any more.
var ErrGone = errors.New("wal: the entries are no longer in the log's segments")

// EntryReader reads entries back from the segments of an open Log, while the Log is being written. It reads forward, and remembers where
// it is. It is for one caller at a time, who may be another than the Log's.
type EntryReader struct {
	log *Log
	// Where the record after the last entry read begins, and the CRC of the record before it; seq 0: nowhere yet.
	seq    uint64
	offset int64
	chain  uint32
	next   uint64 // index of the entry after the last one read
}

// NewEntryReader returns a reader of the log's entries. It opens a file only while it reads.
func NewEntryReader(l *Log) *EntryReader { return &EntryReader{log: l} }

// Read returns the entries from lo on, up to last, without gaps. It returns at least one, and not more than limit bytes of data if there are more.
// All of them must be durable and committed. term tells the term of each; a record of the same index and another term was replaced later, and is
// passed over. Read fails with ErrGone, a CorruptError, or an error of the disk.
func (r *EntryReader) Read(lo, last uint64, limit int64, term func(index uint64) uint64) ([]*raftpb.Entry, error) {
	if r.seq == 0 || r.next != lo {
		r.seek(lo)
	}
	s := scan{want: lo, last: last, limit: limit, term: term}
	for _, span := range r.log.Spans() {
		if span.seq < r.seq || s.full {
			continue
		}
		if span.seq > r.seq {
			r.seq, r.offset = span.seq, 0
		}
		if err := r.segment(&s); err != nil {
			r.seq = 0
			if len(s.entries) == 0 {
				return nil, err
			}
			break // the entries before this error are good; the next Read meets the error again
		}
	}
	r.next = s.want
	if len(s.entries) == 0 {
		r.seq = 0
		return nil, fmt.Errorf("%w: entry %d (term %d)", ErrGone, lo, term(lo))
	}
	return s.entries, nil
}

// seek goes to the segment in which the entry may be: the newest one that began before the entry. No earlier segment has a valid entry from lo on.
func (r *EntryReader) seek(lo uint64) {
	r.seq, r.offset = math.MaxUint64, 0
	spans := r.log.Spans()
	for i := len(spans) - 1; i >= 0; i-- {
		if spans[i].Before < lo {
			r.seq = spans[i].seq
			return
		}
	}
}

// segment scans the segment that the reader is in, from where it is.
func (r *EntryReader) segment(s *scan) error {
	in, err := openSegment(r.log.disk, r.seq)
	if errors.Is(err, port.ErrNotExist) {
		return fmt.Errorf("%w: entry %d: %w", ErrGone, s.want, err)
	}
	if err != nil {
		return err
	}
	defer in.file.Close() // it was opened for reading, so an error of Close loses nothing
	for !s.full {
		rec, ok, err := in.record(r.offset)
		if err != nil || !ok {
			return err // the end of the segment, or damage; after damage the next entry is found nowhere, and Read fails with ErrGone
		}
		if !r.follows(&rec) {
			return &CorruptError{File: in.name, Offset: r.offset, Reason: "an intact record that is not of this log, or out of its order"}
		}
		if !s.take(&rec) {
			break
		}
		r.offset, r.chain = r.offset+recordBytes(len(rec.payload)), rec.crc
	}
	return nil
}

// follows says whether a record belongs where the reader is. No start has checked history, so the file may even be another log's.
func (r *EntryReader) follows(rec *record) bool {
	if r.offset > 0 {
		return rec.kind != kindHeader && rec.chain == r.chain
	}
	if rec.kind != kindHeader {
		return false
	}
	h, reason, err := parseHeader(rec.payload)
	return err == nil && reason == "" && h.seq == r.seq && h.id == r.log.id
}

// scan is what one Read looks for.
type scan struct {
	want, last uint64
	limit      int64
	term       func(uint64) uint64
	entries    []*raftpb.Entry
	bytes      int64
	full       bool
}

// take looks at one record. It returns false when the record is to be read again the next time.
func (s *scan) take(rec *record) bool {
	if rec.kind != kindEntry {
		return true
	}
	index, term := order.Uint64(rec.payload), order.Uint64(rec.payload[8:])
	if index != s.want || term != s.term(index) {
		return true
	}
	data := rec.payload[entryFixedBytes:]
	if len(s.entries) > 0 && s.bytes+int64(len(data)) > s.limit {
		s.full = true
		return false
	}
	kind := raftpb.EntryType(rec.sub)
	e := &raftpb.Entry{Index: &index, Term: &term, Type: &kind}
	if len(data) > 0 {
		e.Data = data
	}
	s.entries, s.bytes = append(s.entries, e), s.bytes+int64(len(data))
	s.want++
	s.full = s.want > s.last || s.bytes >= s.limit
	return true
}
