package wal

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
)

// Open opens the WAL on the disk, or makes one if it holds none, and returns what it held. What it returns is durable, and so is
// the new incarnation. It fails with a CorruptError, ErrIdentity or ErrFormat before it has changed anything, or with an I/O error.
func Open(d port.Disk, id Identity, o Options) (*Log, *Recovered, error) {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	segments, temps, err := list(d)
	if err != nil {
		return nil, nil, err
	}
	p := &replay{disk: d, id: &id, segments: segments}
	if err := p.run(); err != nil {
		return nil, nil, err
	}
	l := &Log{disk: d, id: id, segmentBytes: o.SegmentBytes, segments: p.segments, state: p.state, incarnation: p.incarnation,
		file: p.file, offset: p.end, chain: p.chain, batch: p.batch, synced: p.synced}
	for _, s := range l.segments {
		l.size = s.size // of the last
		l.total.Add(s.size)
	}
	l.files.Store(int64(len(l.segments)))
	l.sinceMark.Store(p.sinceMark)

	cut, err := l.repair(p, temps)
	if err == nil {
		err = l.begin()
	}
	if err != nil {
		if l.file != nil {
			_ = l.file.Close() // the first error is the one that matters
		}
		return nil, nil, err
	}
	return l, p.recovered(l.incarnation, cut), nil
}

// repair cuts a torn tail and makes sure that what was read is durable: after a kill it may have been in memory only.
func (l *Log) repair(p *replay, temps []string) (cut int64, err error) {
	for _, name := range temps {
		if err := l.disk.Remove(name); err != nil {
			return 0, fmt.Errorf("wal: remove %s: %w", name, err)
		}
	}
	if len(l.segments) == 0 {
		return 0, nil
	}
	zeroes := make([]byte, min(scanBytes, p.dirty-p.end))
	for at := p.end; at < p.dirty; at += int64(len(zeroes)) {
		if _, err := l.file.WriteAt(zeroes[:min(int64(len(zeroes)), p.dirty-at)], at); err != nil {
			return 0, fmt.Errorf("wal: cut the torn tail of %s: %w", segmentName(l.seq()), err)
		}
	}
	// Before anything new is written: new records among remnants of the tail would look like corruption.
	if err := l.file.Sync(); err != nil {
		return 0, fmt.Errorf("wal: sync %s: %w", segmentName(l.seq()), err)
	}
	if err := l.disk.SyncDir(); err != nil {
		return 0, fmt.Errorf("wal: sync directory: %w", err)
	}
	return p.dirty - p.end, nil
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
	return r
}
