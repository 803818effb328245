package statemachine

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/statemachine/format"
)

// MemberID is a cluster member's id, as raft knows it. The same as uint64: this package knows nothing of node's types.
type MemberID = uint64

// Result is the outcome of a request: either Response, which is etcd's response message with only the revision in its header, or Err, which is the
// error for the client, a gRPC status from rpctypes.
type Result struct {
	Response proto.Message
	Err      error
}

// Machine is the replicated state and everything needed to change it. See the package comment.
type Machine struct {
	head
	live, dead *keyTree
	log        eventLog
	sub        int64 // changes made so far by the transaction that is running, at revision rev+1
	tables
	tally // of the keys and of the tables

	published    *View
	pinned       []*View // oldest first: the published view and those that readers held when last looked at
	pinnedSwept  int
	changed      bool // anything, since the last Publish
	treesChanged bool // live or dead, since the last Publish

	pass compactPass

	decisions []bool // scratch of transactions

	beforeCompaction func()
}

// BeforeCompaction has f called before each compaction that will be carried out. What the compaction hides can still be read with Changes then. f must
// not change the machine.
func (m *Machine) BeforeCompaction(f func()) { m.beforeCompaction = f }

// New is the state before the first entry: no key, no member, revision 1, the oldest format version.
func New() *Machine {
	m := newMachine()
	m.Publish()
	return m
}

// newMachine is New without a view.
func newMachine() *Machine {
	m := &Machine{
		head: head{format: format.Oldest, rev: 1, compacted: -1}, live: newKeyTree(), dead: newKeyTree(),
		pass: compactPass{done: -1}, changed: true, treesChanged: true,
	}
	m.tables = newTables(&m.tally)
	return m
}

// Applied is the last applied entry; 0, 0 before the first.
func (m *Machine) Applied() (index, term uint64) { return m.index, m.term }

// Revision is the main revision of the head.
func (m *Machine) Revision() int64 { return m.rev }

// CompactRevision is the oldest revision that can be read; -1 (as etcd reports it) before the first compaction.
func (m *Machine) CompactRevision() int64 { return m.compacted }

// advance notes that the entry at index is being applied. Entries come one by one, in order. Anything else is a bug of the caller, by which
// replicas would come to differ.
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
