package statemachine

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// compactPass is the removal of what one compaction made unreachable, in steps.
type compactPass struct {
	running bool
	target  int64 // revisions below are being removed
	pos     int64 // the next event to look at
	held    int64 // the first event still in the log
	done    int64 // the target of the last finished pass; -1 at first
}

// compact makes revisions below the requested one unreadable, at once. CompactStep removes what they held, later. Each member does that at its own
// pace: no reader can tell how far it is.
func (m *Machine) compact(r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	switch {
	case r.GetRevision() <= m.compacted:
		return nil, rpctypes.ErrGRPCCompacted
	case r.GetRevision() > m.rev:
		return nil, rpctypes.ErrGRPCFutureRev
	}
	if m.beforeCompaction != nil {
		m.beforeCompaction()
	}
	m.compacted = r.GetRevision()
	m.log.begin = m.log.find(m.compacted)
	return &pb.CompactionResponse{Header: m.header()}, nil
}

// CompactStep removes versions that were compacted away and that no view in use can see. It looks at budget events at most, and says whether
// there is more to do now. Versions that a view in use still needs are not counted as more: while CompactedTo is below CompactRevision, call again
// once in a while. A step that has removed something makes Unpublished true, because the sizes have changed.
//
// What stays of a key: its versions from the compacted revision on, and the one that is visible at that revision. A deletion before the compacted
// revision goes. A deletion exactly at it stays, because a watch may start there.
func (m *Machine) CompactStep(budget int) (more bool) {
	p := &m.pass
	before := m.bytes
	defer func() { m.changed = m.changed || m.bytes != before }()
	if !p.running {
		if p.target = m.removable(); p.target <= p.done {
			return false
		}
		p.pos, p.running = p.held, true
	}
	for ; budget > 0; budget-- {
		if p.pos == m.log.end || m.log.at(p.pos).main > p.target {
			p.running, p.done = false, p.target
			return m.removable() > p.done
		}
		m.compactEvent(m.log.at(p.pos))
		p.pos++
	}
	return true
}

// CompactedTo is the revision below which everything has been removed; -1 at first.
func (m *Machine) CompactedTo() int64 { return m.pass.done }

// removable is the revision below which no view in use can read.
func (m *Machine) removable() int64 {
	m.sweepViews()
	low := m.compacted
	for _, v := range m.pinned {
		low = min(low, v.keys.compacted)
	}
	return low
}

// compactEvent deals with the event at the pass's place. From the target on, v hides the version before it, which therefore goes. If v lies below
// the target, nobody can ask for the event any more, and its place in the log goes too.
func (m *Machine) compactEvent(v *version) {
	target := m.pass.target
	if old := v.prev.Load(); old != nil {
		v.prev.Store(nil)
		old.superseded = true
		if old.main < target { // its event was dropped before, so this was the last way to it
			m.bytes -= old.size()
		}
	}
	if v.main == target {
		return
	}
	m.log.drop(m.pass.pos)
	m.pass.held++
	if v.superseded {
		m.bytes -= v.size()
		return
	}
	if v.deleted() {
		m.removeDead(v)
	}
}

// removeDead removes the key whose newest version is the deletion v. If the key was created again since, v stays beneath its newer versions, until
// a later pass.
func (m *Machine) removeDead(v *version) {
	e, ok := m.dead.Get(pivot(v.key()))
	if !ok || e.chain.head.Load() != v {
		return
	}
	m.dead.Delete(e)
	m.treesChanged = true
	m.bytes -= v.size() + int64(len(e.key)) + keyOverhead
}
