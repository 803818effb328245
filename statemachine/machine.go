package statemachine

import (
	"fmt"

	"github.com/tidwall/btree"
	"google.golang.org/protobuf/proto"
)

// MemberID is a cluster member's id, as raft knows it. The same as uint64: this package knows nothing of node's types.
type MemberID = uint64

// Result is what a request came to. Response is etcd's response message for it, with nothing in the header but the
// revision; Err is the error that the client gets, a gRPC status from rpctypes. Exactly one of them is set, where results
// were wanted.
type Result struct {
	Response proto.Message
	Err      error
}

// Machine is the replicated state and everything needed to change it. See the package comment.
type Machine struct {
	index, term uint64 // of the last applied entry

	live, dead *keyTree
	log        eventLog
	rev        int64 // the head's main revision
	sub        int64 // changes made so far by the transaction that is running, at revision rev+1
	compacted  int64 // -1 before the first compaction

	leases    *btree.BTreeG[Lease]
	leaseKeys *btree.BTreeG[leaseKey]

	// Replaced, never changed in place: views share them.
	members []Member   // by id
	removed []MemberID // in order
	alarms  []alarm    // by type, then member

	sessions []session // by proposer; changed in place, views have copies

	clusterVersion string
	downgrade      Downgrade
	confState      []byte

	// content is the sum of the hashes of all items; see hash.go.
	content uint64
	bytes   int64 // see View.Sizes

	published     *View
	pinned        []*View // oldest first: the published view and those that readers held when last looked at
	pinnedSwept   int
	changed       bool // anything, since the last Publish
	treesChanged  bool
	leasesChanged bool

	pass compactPass

	decisions []bool // scratch of transactions

	beforeCompaction func()
}

// BeforeCompaction has f called before each compaction that will be carried out: what it hides can still be read with Changes. The machine
// must not be changed by f.
func (m *Machine) BeforeCompaction(f func()) { m.beforeCompaction = f }

// New is the state before the first entry: no key, no member, revision 1.
func New() *Machine {
	m := &Machine{
		live: newKeyTree(), dead: newKeyTree(), rev: 1, compacted: -1,
		leases: newLeaseTree(), leaseKeys: newLeaseKeyTree(),
		pass: compactPass{done: -1}, treesChanged: true, leasesChanged: true,
	}
	m.Publish()
	return m
}

// Applied is the last applied entry; 0, 0 before the first.
func (m *Machine) Applied() (index, term uint64) { return m.index, m.term }

// Revision is the main revision of the head.
func (m *Machine) Revision() int64 { return m.rev }

// CompactRevision is the oldest revision that can be read; -1 (as etcd reports it) before the first compaction.
func (m *Machine) CompactRevision() int64 { return m.compacted }

// advance notes that the entry at index is being applied. Entries come one by one in order: anything else is a bug of the
// caller that would make replicas differ.
func (m *Machine) advance(index, term uint64) {
	if index != m.index+1 || term < m.term {
		panic(fmt.Sprintf("statemachine: entry %d of term %d applied after entry %d of term %d", index, term, m.index, m.term))
	}
	m.index, m.term = index, term
	m.changed = true
}

// reader reads the keys as the running transaction sees them: its own changes included.
func (m *Machine) reader() reader {
	return reader{live: m.live, dead: m.dead, rev: m.visibleRev(), compacted: m.compacted}
}

// visibleRev is the revision of the head, or of the running transaction once it has changed something.
func (m *Machine) visibleRev() int64 {
	if m.sub > 0 {
		return m.rev + 1
	}
	return m.rev
}

// commit ends a transaction: what it changed becomes the next revision, all at once.
func (m *Machine) commit() {
	m.rev = m.visibleRev()
	m.sub = 0
}
