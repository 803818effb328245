package wal

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
)

// Found is a WAL that was read; nothing on its disk was changed.
type Found struct {
	disk    port.Disk
	id      Identity
	options Options
	replay  *replay
	history []segment // those before the first that replay has read
	temps   []string
}

// Read reads the WAL on the disk. It fails with a CorruptError, ErrIdentity or ErrFormat, or with an I/O error. Begin or Close must follow.
func Read(d port.Disk, id Identity, o Options) (*Found, error) {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.Reach != nil && o.Reach.Identity != id {
		return nil, fmt.Errorf("%w: %s is of cluster %x member %x, not cluster %x member %x", ErrIdentity, ReachName,
			o.Reach.Identity.Cluster, o.Reach.Identity.Member, id.Cluster, id.Member)
	}
	segments, temps, err := list(d)
	if err != nil {
		return nil, err
	}
	old, needed := history(d, &id, segments)
	p := &replay{disk: d, id: &id, segments: needed, reach: o.Reach, early: min(o.SegmentBytes, earlySegmentBytes)}
	if err := p.run(); err != nil {
		return nil, err
	}
	return &Found{disk: d, id: id, options: o, replay: p, history: old, temps: temps}, nil
}

// Recovered returns what the WAL holds, in the incarnation that Begin would begin.
func (f *Found) Recovered() *Recovered {
	p := f.replay
	incarnation := p.incarnation + 1
	r := p.recovered(incarnation, p.dirty-p.end)
	if r.Snapshot != nil {
		r.History = reachesBack(append(slices.Clone(f.history), p.segments...), r.Snapshot)
	}
	return r
}

// Close gives up a WAL that was not begun.
func (f *Found) Close() error {
	if f.replay.file == nil {
		return nil
	}
	if err := f.replay.file.Close(); err != nil {
		return fmt.Errorf("wal: close: %w", err)
	}
	return nil
}

// Begin opens the WAL for writing, and makes the first segment if there is none. When it returns, what Recovered tells is durable, and so is the
// new incarnation. Found must not be used after that.
func (f *Found) Begin() (*Log, error) {
	p := f.replay
	l := &Log{disk: f.disk, id: f.id, leastSegmentBytes: roundUp(f.options.SegmentBytes / leastShare), segments: append(f.history, p.segments...), state: p.state,
		incarnation: p.incarnation, file: p.file, offset: p.end, syncedEnd: p.end, chain: p.chain, batch: p.batch, synced: p.synced}
	l.segmentBytes.Store(f.options.SegmentBytes)
	for _, s := range l.segments {
		l.size = s.size // of the last
		l.total.Add(s.size)
	}
	l.files.Store(int64(len(l.segments)))
	l.publishSpans()
	l.sinceMark.Store(p.sinceMark)

	err := l.repair(p, f.temps)
	if err == nil {
		err = l.begin()
	}
	if err != nil {
		if l.file != nil {
			_ = l.file.Close() // the first error is the one that matters
		}
		return nil, err
	}
	return l, nil
}

// Open is Read and Begin: it opens the WAL on the disk, or makes one if it holds none, and returns what it held.
func Open(d port.Disk, id Identity, o Options) (*Log, *Recovered, error) {
	f, err := Read(d, id, o)
	if err != nil {
		return nil, nil, err
	}
	l, err := f.Begin()
	if err != nil {
		return nil, nil, err
	}
	return l, f.Recovered(), nil
}

// repair cuts a torn tail, and makes durable what was read: when the process was killed, some of it may have been in the system's memory only.
func (l *Log) repair(p *replay, temps []string) error {
	for _, name := range temps {
		if err := l.disk.Remove(name); err != nil {
			return fmt.Errorf("wal: remove %s: %w", name, err)
		}
	}
	if len(l.segments) == 0 {
		return nil
	}
	zeroes := make([]byte, min(scanBytes, p.dirty-p.end))
	for at := p.end; at < p.dirty; at += int64(len(zeroes)) {
		if _, err := l.file.WriteAt(zeroes[:min(int64(len(zeroes)), p.dirty-at)], at); err != nil {
			return fmt.Errorf("wal: cut the torn tail of %s: %w", segmentName(l.seq()), err)
		}
	}
	// The sync comes before anything new is written. Else new records could stand among remnants of the tail after a loss of power, and that
	// looks like corruption.
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("wal: sync %s: %w", segmentName(l.seq()), err)
	}
	if err := l.disk.SyncDir(); err != nil {
		return fmt.Errorf("wal: sync directory: %w", err)
	}
	return nil
}

// begin makes the next incarnation durable, in a new segment if there is none yet or no room in the last.
func (l *Log) begin() error {
	need := recordBytes(startBytes)
	if len(l.segments) == 0 || l.offset+need > l.size {
		return l.rotate(0, l.incarnation+1)
	}
	l.incarnation++
	l.enc.reset(l.seq(), l.offset, l.chain, l.batch+1)
	l.enc.start(l.incarnation)
	return l.append()
}

func (p *replay) recovered(incarnation uint64, cut int64) *Recovered {
	r := &Recovered{Entries: p.entries, Incarnation: incarnation, CutBytes: cut}
	s := &p.state
	if s.hasHard {
		term, vote, commit := s.term, s.vote, s.commit
		r.HardState = &raftpb.HardState{Term: &term, Vote: &vote, Commit: &commit}
	}
	if s.hasMark {
		r.Snapshot = &SnapshotMark{Index: s.mark.Index, Term: s.mark.Term, ConfState: append([]byte(nil), s.mark.ConfState...)}
	}
	r.Empty = r.HardState == nil && r.Snapshot == nil && s.last == 0
	r.None = len(p.segments) == 0
	return r
}
