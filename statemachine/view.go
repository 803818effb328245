package statemachine

import (
	"slices"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// View is the whole state as of one applied entry. It never changes. Any goroutine may read it while it is pinned: compaction takes nothing away from
// a pinned view. What a view returns shares memory with it and must not be changed. Keys and values stay valid after Release.
type View struct {
	pins atomic.Int64

	head
	keys reader
	log  eventLog
	tables
	tally
}

// Publish returns a view of everything applied so far. The machine itself keeps it pinned until the next Publish. What it costs does not depend on
// the size of the state. If nothing has changed since the last view, that one is returned.
func (m *Machine) Publish() *View {
	old := m.published
	if old != nil && !m.changed {
		return old
	}
	v := &View{head: m.head, keys: m.reader(), log: m.log, tables: m.tables, tally: m.tally}
	// After a copy, both trees copy each node before they change it. So a tree that did not change is not copied: the old copy serves.
	if m.treesChanged {
		v.keys.live, v.keys.dead = m.live.Copy(), m.dead.Copy()
	} else {
		v.keys.live, v.keys.dead = old.keys.live, old.keys.dead
	}
	for _, t := range v.tables.all() {
		t.freeze()
	}
	m.treesChanged, m.changed = false, false
	v.pins.Store(1)
	m.published = v
	if old != nil {
		old.Release()
		if last := len(m.pinned) - 1; last >= 0 && m.pinned[last] == old && old.pins.Load() == 0 {
			m.pinned = m.pinned[:last]
		}
	}
	m.pinned = append(m.pinned, v)
	if len(m.pinned) > 2*m.pinnedSwept+16 {
		m.sweepViews()
	}
	return v
}

// Unpublished says that something has changed since the last Publish: an entry was applied, or CompactStep has removed something.
func (m *Machine) Unpublished() bool { return m.changed }

// Published is the view that the last Publish returned.
func (m *Machine) Published() *View { return m.published }

// sweepViews forgets the views that nobody holds any more. A view without a pin is never pinned again.
func (m *Machine) sweepViews() {
	m.pinned = slices.DeleteFunc(m.pinned, func(v *View) bool { return v.pins.Load() == 0 })
	m.pinnedSwept = len(m.pinned)
}

// PinnedViews is the number of views in use besides the published one, and the applied index of the oldest view in use.
func (m *Machine) PinnedViews() (others int, oldest uint64) {
	m.sweepViews()
	return len(m.pinned) - 1, m.pinned[0].index
}

// Acquire pins the view. It fails if nobody has the view pinned any more: a newer one has been published then; take that.
func (v *View) Acquire() bool {
	for {
		n := v.pins.Load()
		if n == 0 {
			return false
		}
		if v.pins.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives back one pin, after which the caller must not read the view.
func (v *View) Release() {
	if v.pins.Add(-1) < 0 {
		panic("statemachine: a view was released more often than acquired")
	}
}

// Applied is the entry up to which the view has applied the log.
func (v *View) Applied() (index, term uint64) { return v.index, v.term }

// Revision is the main revision of the head.
func (v *View) Revision() int64 { return v.rev }

// CompactRevision is the oldest revision that can be read; -1, as etcd reports it, before the first compaction.
func (v *View) CompactRevision() int64 { return v.compacted }

// Range answers a range request that CheckRange has passed; its errors are ErrGRPCCompacted and ErrGRPCFutureRev.
func (v *View) Range(r *pb.RangeRequest) (*RangeResult, error) { return v.keys.Range(r) }

// Txn answers a transaction for which IsReadOnly holds; it panics on another. Errors are as those of Range.
func (v *View) Txn(r *pb.TxnRequest) (*pb.TxnResponse, error) { return v.keys.Txn(r) }

// Sizes are bytes. total is all that is kept: versions as encoded, keys and leases, with a fixed overhead for each. inUse is the part that does not
// wait to be used again. Nothing waits here, so the two are equal; what compaction removes is in neither.
func (v *View) Sizes() (total, inUse int64) { return v.bytes, v.bytes }

// Keys is the number of keys that exist.
func (v *View) Keys() int { return v.keys.live.Len() }

// EventCount is the number of changes in the event log that can be read.
func (v *View) EventCount() int64 { return v.log.end - v.log.begin }

// Members are the cluster's members by id.
func (v *View) Members() []MemberInfo { return v.members.list() }

// Member returns one member.
func (v *View) Member(id MemberID) (MemberInfo, bool) { return v.members.get(MemberInfo{ID: id}) }

// Removed says that a member with this id has been removed; its id is never used again.
func (v *View) Removed(id MemberID) bool { return v.removed.has(id) }

// PBMembers are the members as the Cluster service lists them.
func (v *View) PBMembers() []*pb.Member { return pbMembers(v.members.list()) }

// Alarms are the raised alarms by type and member.
func (v *View) Alarms() []*pb.AlarmMember { return alarmMembers(v.alarms.list(), pb.AlarmType_NONE) }

// ConfState is raft's membership, as the last SetConfState before the view gave it.
func (v *View) ConfState() []byte { return v.confState }

// ClusterVersion is the version that the cluster has agreed on; empty before the first.
func (v *View) ClusterVersion() string { return v.clusterVersion }

// Downgrade is the cluster's downgrade, if one is under way.
func (v *View) Downgrade() Downgrade { return v.downgrade }

// Lease returns a granted lease.
func (v *View) Lease(id int64) (Lease, bool) { return v.leases.get(Lease{ID: id}) }

// LeaseCount is the number of granted leases.
func (v *View) LeaseCount() int { return v.leases.len() }

// Leases calls f with each lease in order of ids until it returns false.
func (v *View) Leases(f func(Lease) bool) { v.leases.scan(f) }

// LeaseKeys are the keys attached to a lease, in order.
func (v *View) LeaseKeys(id int64) (keys [][]byte) {
	v.leaseKeys.from(leaseKey{lease: id}, func(k leaseKey) bool {
		if k.lease == id {
			keys = append(keys, []byte(k.key))
		}
		return k.lease == id
	})
	return keys
}
