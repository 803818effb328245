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

// compact makes revisions below the requested one unreadable, at once. What they held is removed by CompactStep, later and
// by each member at its own pace: nothing that depends on that is visible.
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

// CompactStep removes versions that the log has compacted away and no live view can see, looking at no more than budget
// events. It says whether there is more to do now. What a live view still pins is not "more": call again once in a while
// as long as CompactedTo is below CompactRevision. What it removes makes Unpublished true: the sizes are others then.
//
// Of each key stay the versions from the compacted revision on and the one visible at it; a deletion before it goes,
// one exactly at it stays, because a watch may start there.
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

// removable is the revision below which no live view can read.
func (m *Machine) removable() int64 {
	m.sweepViews()
	low := m.compacted
	for _, v := range m.pinned {
		low = min(low, v.keys.compacted)
	}
	return low
}

// compactEvent looks at the event at the pass's place: v hides its predecessor from every readable revision, and is itself
// no event that can be asked for if it lies below the target.
func (m *Machine) compactEvent(v *version) {
	target := m.pass.target
	if old := v.prev.Load(); old != nil {
		v.prev.Store(nil)
		old.superseded = true
		if old.main < target { // its event has been dropped: this was the last way to it
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

// removeDead ends the key whose newest version is the deletion v. Where the key has been created again since, v stays
// beneath that version until a later pass.
func (m *Machine) removeDead(v *version) {
	e, ok := m.dead.Get(pivot(v.key()))
	if !ok || e.chain.head.Load() != v {
		return
	}
	m.dead.Delete(e)
	m.treesChanged = true
	m.bytes -= v.size() + int64(len(e.key)) + keyOverhead
}
