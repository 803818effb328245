package node

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/transfer"
)

// installs returns what puts the snapshot that one of raft's messages holds in place; nil where it holds none.
func (m *Member) installs(msg *raftpb.Message) func() {
	if msg.GetSnapshot() == nil {
		return nil
	}
	meta := msg.GetSnapshot().GetMetadata()
	a := m.transfers.take(meta.GetIndex(), meta.GetTerm())
	m.versions.noteSnapshot(a.Machine.Format(), meta.GetIndex())
	return func() { m.install(a) }
}

// install puts the state of a received snapshot, to which the log now points, in the place of the present one.
func (m *Member) install(a *transfer.Arrived) {
	m.setMachine(a.Machine)
	m.unpublished, m.replaced = true, true
	m.confState = &raftpb.ConfState{}
	if err := proto.Unmarshal(a.Mark.ConfState, m.confState); err != nil {
		panic(fmt.Sprintf("node: the configuration of a received snapshot can't be read: %v", err))
	}
	m.entries.reset(a.Mark.Index, a.Mark.Term)
	m.entries.confState = m.confState
	m.writer.marked = savedSnapshot{a.Mark.Index, a.Bytes}
	m.snapshots.replaced(a.Mark)
	m.peersChanged = true
	m.versions.tell()
	if m.proposals.seenBeyond() {
		m.proposals.endAsOldCopy(fmt.Sprintf("the snapshot of entry %d has requests of this member", a.Mark.Index))
		return
	}
	m.proposals.reconcile()
	m.ports.Observer.Installed(StateMark{Index: a.Mark.Index, Hash: m.machine.StateHash()})
	m.log(port.Info, "installed snapshot", "snapshot-index", a.Mark.Index, "bytes", a.Bytes)
}
