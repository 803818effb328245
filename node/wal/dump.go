package wal

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
)

// Record is one record as Dump shows it.
type Record struct {
	File   string
	Offset int64
	Bytes  int64 // on disk
	Batch  uint64
	Last   bool // of its batch
	CRC    uint32
	Kind   string
	Text   string // what it says, for a human
}

// Summary is what Verify found.
type Summary struct {
	Identity            Identity
	Segments            []string // those that Open reads
	History             []string // those before them
	Incarnation         uint64
	Term, Vote, Commit  uint64
	Snapshot            SnapshotMark // zero: none
	FirstIndex, Entries uint64       // those after the snapshot
	LastIndex, LastTerm uint64
	Batch               uint64 // number of the last whole batch
	TornBytes           int64  // that Open would cut
}

// Dump calls visit for every intact record in order, those of a batch that is torn included, and stops at the first error,
// visit's or that of reading. It changes nothing.
func Dump(d port.Disk, visit func(Record) error) error {
	_, err := inspect(d, visit)
	return err
}

// Verify reads the whole WAL as Open does, but changes nothing and takes any identity. port.ErrNotExist: there is none.
func Verify(d port.Disk) (*Summary, error) {
	return inspect(d, nil)
}

func inspect(d port.Disk, visit func(Record) error) (*Summary, error) {
	segments, _, err := list(d)
	if err != nil {
		return nil, err
	}
	if len(segments) == 0 {
		return nil, fmt.Errorf("wal: %w", port.ErrNotExist)
	}
	var old []segment
	if visit == nil {
		old, segments = history(d, nil, segments)
	}
	p := &replay{disk: d, visit: visit, segments: segments}
	if err := p.run(); err != nil {
		return nil, err
	}
	if err := p.file.Close(); err != nil {
		return nil, fmt.Errorf("wal: close: %w", err)
	}
	s := &Summary{Identity: p.header.id, Incarnation: p.incarnation, Term: p.state.term, Vote: p.state.vote, Commit: p.state.commit,
		Snapshot: p.state.mark, Entries: uint64(len(p.entries)), LastIndex: p.state.last, LastTerm: p.state.lastTerm, Batch: p.batch, TornBytes: p.dirty - p.end}
	for i := range old {
		s.History = append(s.History, old[i].name())
	}
	for i := range segments {
		s.Segments = append(s.Segments, segments[i].name())
	}
	if len(p.entries) > 0 {
		s.FirstIndex = p.entries[0].GetIndex()
	}
	return s, nil
}

func describe(file string, rec *record) Record {
	r := Record{File: file, Offset: rec.offset, Bytes: recordBytes(len(rec.payload)), Batch: rec.batch, Last: rec.flags&flagLast != 0, CRC: rec.crc}
	b := rec.payload
	switch rec.kind {
	case kindHeader:
		r.Kind = "header"
		if h, reason, err := parseHeader(b); err == nil && reason == "" {
			r.Text = fmt.Sprintf("cluster %x member %x segment %d incarnation %d term %d vote %x commit %d last %d/%d snapshot %d/%d", h.id.Cluster, h.id.Member,
				h.seq, h.incarnation, h.state.term, h.state.vote, h.state.commit, h.state.last, h.state.lastTerm, h.state.mark.Index, h.state.mark.Term)
		}
	case kindEntry:
		r.Kind = "entry"
		r.Text = fmt.Sprintf("index %d term %d %v %d bytes", order.Uint64(b), order.Uint64(b[8:]), raftpb.EntryType(rec.sub), len(b)-entryFixedBytes)
	case kindSnapshot:
		r.Kind = "snapshot"
		r.Text = fmt.Sprintf("index %d term %d voids log %v", order.Uint64(b), order.Uint64(b[8:]), rec.sub&subReset != 0)
	case kindHardState:
		r.Kind = "hardstate"
		r.Text = fmt.Sprintf("term %d vote %x commit %d", order.Uint64(b), order.Uint64(b[8:]), order.Uint64(b[16:]))
	case kindStart:
		r.Kind = "start"
		r.Text = fmt.Sprintf("incarnation %d", order.Uint64(b))
	case kindSettled:
		r.Kind = "settled"
	}
	return r
}
