package wal

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
)

// DefaultSegmentBytes is the size segments are preallocated to when Options says nothing.
const DefaultSegmentBytes = 64 << 20

// ErrCorrupt is what errors.Is finds in the errors of Open, Verify and Dump (and of package snapshot) when bytes that a
// finished sync covered are not what was written. The disk is left as it was.
var ErrCorrupt = errors.New("data on disk is corrupt")

// ErrIdentity is returned by Open for a WAL of another cluster or another member.
var ErrIdentity = errors.New("wal: belongs to another cluster or member")

// ErrFormat is returned for a WAL whose format version this software does not know.
var ErrFormat = errors.New("wal: unknown format version")

// ErrClosed is returned by every call on a Log after Close.
var ErrClosed = errors.New("wal: closed")

// CorruptError says where corruption was found; errors.Is(err, ErrCorrupt) holds for it.
type CorruptError struct {
	File   string // name in its directory
	Offset int64  // in bytes, of the record or block that is not what it should be
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%v: %s at offset %d: %s", ErrCorrupt, e.File, e.Offset, e.Reason)
}

// Unwrap makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// Identity says whose data this is. It is written into every file, and no other's file is opened.
type Identity struct {
	Cluster, Member uint64
}

// SnapshotMark records that a durable snapshot file exists: all entries up to Index are in it.
type SnapshotMark struct {
	Index, Term uint64
	ConfState   []byte // a raftpb.ConfState, encoded; opaque here
}

// Batch is what one raft append asks to be made durable. Its parts take effect in this order: Snapshot, Entries, HardState.
type Batch struct {
	HardState *raftpb.HardState // nil: unchanged
	Entries   []*raftpb.Entry   // consecutive; an index that is there already cuts the log there and replaces what followed
	Snapshot  *SnapshotMark     // nil: none. One beyond the log, or that contradicts it, replaces the whole log
	// Incarnation, if it is higher than the present one, is the one in which this run goes on.
	Incarnation uint64
}

// Recovered is what the WAL held when it was opened.
type Recovered struct {
	// HardState is the last one written; nil if none ever was. Its Commit is at least Snapshot.Index and at most the last index.
	HardState *raftpb.HardState
	// Entries are those after Snapshot.Index, in order and without gaps. They belong to the caller; their Data share read buffers.
	Entries []*raftpb.Entry
	// Snapshot is the newest mark, nil when there is none.
	Snapshot *SnapshotMark
	// History is the index after which the segments have the entries up to the snapshot's too, all of its term; EntryReader brings them.
	// It is meaningless without a snapshot.
	History uint64
	// Incarnation counts the times this WAL was opened, this one included: 1 at creation. No two opens ever get the same.
	Incarnation uint64
	// Empty says that nothing was ever written: the member is new, or died before its first Write. None says that there is no segment at all.
	Empty, None bool
	// CutBytes is the size of the torn tail that was cut off; 0 after an orderly stop.
	CutBytes int64
}

// Options tune a Log.
type Options struct {
	// SegmentBytes is the size of a segment file; 0 means DefaultSegmentBytes. A batch larger than that gets a segment of its own size. If the
	// disk has no room for such a file, segments are smaller, down to 1/64 of this.
	SegmentBytes int64
	// Reach is what is known of the log apart from itself. A log that does not lead up to it is refused as corrupt. Nil: nothing.
	Reach *Reach
}

// A segment has at least 1/leastShare of SegmentBytes, however full the disk is.
const leastShare = 64

// Log is an open WAL. It is used by one caller at a time, except for the counters, which any goroutine may read.
type Log struct {
	disk        port.Disk
	id          Identity
	incarnation uint64
	// segmentBytes is the size of the segments to come, leastSegmentBytes what it never goes below.
	segmentBytes      atomic.Int64
	leastSegmentBytes int64

	file      port.File // the last segment
	size      int64     // of file
	offset    int64     // in file, where the next record goes
	syncedEnd int64     // where the last complete batch, or the header, ends
	segments  []segment // ascending; the last is file's

	state   state
	enc     encoder
	batch   uint64 // number of the last complete batch
	synced  uint32 // CRC of the last record of that batch
	chain   uint32 // CRC of the record before offset: synced's, or that of the Settle mark behind it
	settled bool   // a Settle mark stands behind the last batch
	err     error  // once set, every call returns it

	written, sinceMark, syncs, total atomic.Int64
	files                            atomic.Int64
	spans                            atomic.Pointer[[]Span]
}

// Write makes the batches durable. If the machine dies before Write returns, all of them are there afterwards, or none is. Write costs one write
// and one sync, and the making of a new segment when the present one is full. It keeps no reference to what it is given.
// It panics if a batch breaks raft's rules (an index gap, a term that goes back, a commit index beyond the log, a second vote in a term): that is
// a bug of the caller. After an I/O error the Log is dead: this and every later call return that error.
func (l *Log) Write(batches ...Batch) error {
	if l.err != nil {
		return l.err
	}
	most := batchBytes(batches)
	if most == 0 {
		return nil
	}
	if l.offset+most > l.size || most > l.size/largeShare {
		if err := l.rotate(most, l.incarnation); err != nil {
			return err
		}
	}
	l.enc.reset(l.seq(), l.offset, l.chain, l.batch+1)
	if marked := l.encode(batches); marked {
		l.sinceMark.Store(0)
	}
	return l.append()
}

// encode applies the batches to the state and encodes what changes. It reports whether a snapshot mark is among it.
func (l *Log) encode(batches []Batch) (marked bool) {
	var hard *raftpb.HardState
	for i := range batches {
		b := &batches[i]
		if b.Incarnation > l.incarnation {
			l.incarnation = b.Incarnation
			l.enc.start(b.Incarnation)
		}
		if m := b.Snapshot; m != nil && l.state.newer(m) {
			reset := l.state.contradicts(m)
			l.must(l.state.setMark(m, reset))
			l.enc.snapshot(m, reset)
			marked = true
		}
		for _, e := range b.Entries {
			l.must(l.state.addEntry(e.GetIndex(), e.GetTerm()))
			l.enc.entry(e)
		}
		if h := b.HardState; h != nil {
			l.must(l.state.setHard(h.GetTerm(), h.GetVote(), h.GetCommit()))
			hard = h
		}
	}
	if hard != nil {
		l.enc.hardState(l.state.term, l.state.vote, l.state.commit)
	}
	return marked
}

func (l *Log) must(broken string) {
	if broken != "" {
		panic(fmt.Sprintf("wal: cluster %x member %x was asked to write a batch that breaks raft's rules: %s", l.id.Cluster, l.id.Member, broken))
	}
}

// append writes and syncs what the encoder holds as one batch.
func (l *Log) append() error {
	data, crc := l.enc.finish()
	if len(data) == 0 {
		return nil
	}
	if _, err := l.file.WriteAt(data, l.offset); err != nil {
		return l.fail("write", err)
	}
	if err := l.file.Sync(); err != nil {
		return l.fail("sync", err)
	}
	l.offset += int64(len(data))
	l.batch++
	l.chain, l.synced, l.settled, l.syncedEnd = crc, crc, false, l.offset
	l.count(int64(len(data)))
	return nil
}

func (l *Log) count(bytes int64) {
	l.written.Add(bytes)
	l.sinceMark.Add(bytes)
	l.syncs.Add(1)
}

// Settle appends a mark, without a sync. The mark proves that everything before it was synced, so that later damage to the last batch is not
// taken for a torn write. Settle is for idle moments; a second call without a Write between them does nothing.
func (l *Log) Settle() error {
	if l.err != nil {
		return l.err
	}
	if l.settled || l.offset+frameBytes > l.size {
		return nil
	}
	// The mark is the first record of the batch to come: only that batch's sync makes it durable, and if the mark is lost in
	// a crash, so is nothing but a batch that was never acknowledged.
	l.enc.reset(l.seq(), l.offset, l.chain, l.batch+1)
	l.enc.begin(kindSettled, 0)
	data, crc := l.enc.unfinished()
	if _, err := l.file.WriteAt(data, l.offset); err != nil {
		return l.fail("write", err)
	}
	l.offset += int64(len(data))
	l.chain, l.settled = crc, true
	return nil
}

// Release removes the segments that hold no entry after index. A restart begins at the newest snapshot mark, so what comes after the mark stays, and
// the last segment always does. What stays before the mark is history, for EntryReader.
func (l *Log) Release(index uint64) error {
	if l.err != nil {
		return l.err
	}
	for l.removable(index) {
		if err := l.removeOldest(); err != nil {
			return err
		}
	}
	return nil
}

// MakeRoom removes history, oldest first, until the disk has that many bytes of room or there is no history left. History is what only other
// members may want; what this member needs comes first. A disk that can't say how much room it has counts as one with enough.
func (l *Log) MakeRoom(bytes int64) error {
	if l.err != nil {
		return l.err
	}
	for l.removable(math.MaxUint64) {
		room, err := l.disk.Room()
		if err != nil || room >= bytes {
			return nil
		}
		if err := l.removeOldest(); err != nil {
			return err
		}
	}
	return nil
}

// giveWay makes room for a new segment.
func (l *Log) giveWay(size int64) error { return l.MakeRoom(size + size/2) }

// removable says whether the oldest segment can go: it holds no entry after index, and a restart does not need it.
func (l *Log) removable(index uint64) bool {
	return len(l.segments) > 1 && l.segments[1].before <= min(index, l.state.mark.Index)
}

func (l *Log) removeOldest() error {
	s := l.segments[0]
	if err := l.disk.Remove(s.name()); err != nil {
		return l.fail("remove "+s.name(), err)
	}
	// Each removal is synced by itself, oldest first. Of several that were not synced, a crash may undo any, and a hole in the sequence of
	// segments counts as corruption.
	if err := l.disk.SyncDir(); err != nil {
		return l.fail("sync directory", err)
	}
	l.segments = l.segments[1:]
	l.total.Add(-s.size)
	l.files.Add(-1)
	l.publishSpans()
	return nil
}

// Close settles the log if it still works, and closes it.
func (l *Log) Close() error {
	if l.file == nil {
		return ErrClosed
	}
	err := l.Settle()
	if e := l.file.Close(); e != nil && err == nil {
		err = fmt.Errorf("wal: close: %w", e)
	}
	l.file, l.err = nil, ErrClosed
	return err
}

// Reach says how far the log is durable: up to the end of the last Write, or of Open.
func (l *Log) Reach() Reach {
	return Reach{Identity: l.id, Incarnation: l.incarnation, Seq: l.seq(), Offset: l.syncedEnd, Batch: l.batch, CRC: l.synced,
		Last: l.state.last, Commit: l.state.commit, Snapshot: l.state.mark.Index}
}

// SegmentBytes is the size of segments to come, less than was asked for where the disk has no room. Any goroutine may call it.
func (l *Log) SegmentBytes() int64 { return l.segmentBytes.Load() }

// BytesWritten counts the bytes made durable since Open. Any goroutine may call it.
func (l *Log) BytesWritten() int64 { return l.written.Load() }

// BytesSinceSnapshot is the size in bytes of all records from the newest snapshot mark on, or of all records if there is no mark: about what a
// restart would have to apply. It counts records of earlier runs, too. Any goroutine may call it.
func (l *Log) BytesSinceSnapshot() int64 { return l.sinceMark.Load() }

// Syncs counts the batches synced since Open. Any goroutine may call it.
func (l *Log) Syncs() int64 { return l.syncs.Load() }

// DiskBytes is the size in bytes of all segment files, preallocated space included. Any goroutine may call it.
func (l *Log) DiskBytes() int64 { return l.total.Load() }

// Segments is the number of segment files. Any goroutine may call it.
func (l *Log) Segments() int { return int(l.files.Load()) }

func (l *Log) seq() uint64 { return l.segments[len(l.segments)-1].seq }

func (l *Log) fail(what string, err error) error {
	l.err = fmt.Errorf("wal: %s: %w", what, err)
	return l.err
}
