package wal

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/wal/crashdisk"
)

// model is what a WAL should hold, written for clarity alone.
type model struct {
	term, vote, commit uint64
	hasHard            bool
	mark               *SnapshotMark
	log                map[uint64]*raftpb.Entry // above the mark's index
	last               uint64
}

func newModel() *model { return &model{log: map[uint64]*raftpb.Entry{}} }

func (m *model) clone() *model {
	c := *m
	c.log = map[uint64]*raftpb.Entry{}
	for i, e := range m.log {
		c.log[i] = e
	}
	return &c
}

func (m *model) markIndex() uint64 {
	if m.mark == nil {
		return 0
	}
	return m.mark.Index
}

func (m *model) termAt(i uint64) uint64 {
	if m.mark != nil && i == m.mark.Index {
		return m.mark.Term
	}
	return m.log[i].GetTerm()
}

func (m *model) apply(batches ...Batch) {
	for _, b := range batches {
		if s := b.Snapshot; s != nil && s.Index > m.markIndex() {
			void := s.Index > m.last || m.termAt(s.Index) != s.Term
			for i := range m.log {
				if void || i <= s.Index {
					delete(m.log, i)
				}
			}
			if void {
				m.last = s.Index
			}
			m.mark = s
			if m.commit < s.Index {
				m.commit, m.hasHard = s.Index, true
			}
			if m.term < s.Term {
				m.term, m.vote, m.hasHard = s.Term, 0, true
			}
		}
		for _, e := range b.Entries {
			for i := range m.log {
				if i > e.GetIndex() {
					delete(m.log, i)
				}
			}
			m.log[e.GetIndex()], m.last = e, e.GetIndex()
		}
		if h := b.HardState; h != nil {
			m.term, m.vote, m.commit, m.hasHard = h.GetTerm(), h.GetVote(), h.GetCommit(), true
		}
	}
}

// show is the model as the text that show makes of a Recovered.
func (m *model) show() string {
	r := &Recovered{Snapshot: m.mark}
	if m.hasHard {
		r.HardState = hard(m.term, m.vote, m.commit)
	}
	for i := m.markIndex() + 1; i <= m.last; i++ {
		r.Entries = append(r.Entries, m.log[i])
	}
	return show(r)
}

// chooser picks one of n, from a seed or from rapid.
type chooser func(n int) int

// randomly is a chooser with a small generator of its own, so that a failure is replayed by its seed.
func randomly(seed uint64) chooser {
	x := seed*0x9e3779b97f4a7c15 + 1
	return func(n int) int {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		return int((x >> 20) % uint64(n))
	}
}

// nextBatch makes a batch that raft might write to a WAL that holds m.
func nextBatch(m *model, pick chooser) (b Batch) {
	after := m.clone()
	if pick(6) == 0 { // a snapshot: of our own, or one that replaces the log
		index := after.commit
		term := uint64(0)
		if after.commit > after.markIndex() && pick(2) == 0 {
			index -= uint64(pick(int(after.commit - after.markIndex())))
			term = after.termAt(index)
		} else {
			index += 1 + uint64(pick(9))
			term = after.term + uint64(pick(2)) + 1
		}
		b.Snapshot = &SnapshotMark{Index: index, Term: term, ConfState: []byte(fmt.Sprint("voters ", pick(100)))}
		after.apply(Batch{Snapshot: b.Snapshot})
	}
	if pick(4) > 0 {
		first, term := after.last+1, max(after.term, 1)
		if pick(5) == 0 && after.last > after.commit { // a new leader's log replaces ours
			first = after.last - uint64(pick(int(after.last-after.commit)))
			term++
		}
		size := pick(40)
		if pick(8) == 0 {
			size = pick(3000)
		}
		for i := range uint64(1 + pick(4)) {
			data := make([]byte, size)
			for j := range data {
				data[j] = byte(pick(256))
			}
			e := entry(first+i, term, string(data))
			e.Type = raftpb.EntryType(pick(3)).Enum()
			b.Entries = append(b.Entries, e)
		}
		after.apply(Batch{Entries: b.Entries})
		if after.termAt(after.last) > after.term {
			after.term, after.vote = after.termAt(after.last), 0
		}
	}
	if pick(3) == 0 || after.term != m.term || b.Snapshot == nil && b.Entries == nil {
		if pick(4) == 0 {
			after.term, after.vote = after.term+1, 0
		}
		if after.vote == 0 {
			after.vote = uint64(pick(3))
		}
		after.commit += uint64(pick(int(after.last-after.commit) + 1))
		b.HardState = hard(after.term, after.vote, after.commit)
	}
	return b
}

// life uses a disk until an operation fails or the script is over, and knows what the disk must hold afterwards.
type life struct {
	acked       *model // all Writes that returned
	inFlight    *model // and the one that had not; nil: none
	incarnation uint64 // the highest returned
}

// run opens the WAL, checks it, and goes on with a random script. It returns the error that ended it.
func (f *life) run(d *crashdisk.Disk, pick chooser, steps int) error {
	l, r, err := Open(d, testID, Options{SegmentBytes: 4096})
	if err != nil {
		return err
	}
	if r.Incarnation <= f.incarnation {
		return fmt.Errorf("incarnation %d came back after %d", r.Incarnation, f.incarnation)
	}
	f.incarnation = r.Incarnation
	switch got := show(r); {
	case got == f.acked.show():
	case f.inFlight != nil && got == f.inFlight.show():
		f.acked = f.inFlight
	default:
		return fmt.Errorf("recovered %s\nacknowledged %s\nin flight %v", got, f.acked.show(), f.inFlight != nil)
	}
	f.inFlight = nil
	if empty := f.acked.show() == newModel().show(); r.Empty != empty {
		return fmt.Errorf("empty is %v", r.Empty)
	}
	for range steps {
		switch pick(8) {
		case 0:
			err = l.Settle()
		case 1:
			err = l.Release(f.acked.markIndex())
		default:
			next := f.acked.clone()
			var bs []Batch
			for range 1 + pick(3) {
				b := nextBatch(next, pick)
				next.apply(b)
				bs = append(bs, b)
			}
			f.inFlight = next
			if err = l.Write(bs...); err == nil {
				f.acked, f.inFlight = next, nil
			}
		}
		if err != nil {
			return err
		}
	}
	if pick(2) == 0 {
		return l.Close()
	}
	return nil
}
