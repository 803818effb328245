package node

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/statemachine"
)

// offers are the snapshots that raft may have sent to followers: of the present state.
type offers struct {
	*core
	idle
	views *views
	// view is the one that raft was offered in this turn; nil: none. It is kept until the turn's end, as raft's message to that follower comes in the same turn.
	view *statemachine.View
}

// applied gives the view back.
func (o *offers) applied(uint64) {
	if o.view != nil {
		o.view.Release()
		o.view = nil
	}
}

// of returns the view of the entry at index, if raft was offered it; nil otherwise. It stays the offers'.
func (o *offers) of(index uint64) *statemachine.View {
	if o.view == nil {
		return nil
	}
	if at, _ := o.view.Applied(); at != index {
		return nil
	}
	return o.view
}

// offer tells raft which snapshot a follower could be sent: the present state. The view is kept for the rest of the turn, in
// which raft's message to that follower comes.
func (o *offers) offer() (*raftpb.Snapshot, error) {
	o.views.publish()
	view := o.views.AcquireView()
	index, term := view.Applied()
	if index == 0 {
		view.Release()
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	if o.view != nil {
		o.view.Release()
	}
	o.view = view
	cs := &raftpb.ConfState{}
	if err := proto.Unmarshal(view.ConfState(), cs); err != nil {
		panic(fmt.Sprintf("node: own configuration can't be read: %v", err))
	}
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(index), Term: new(term), ConfState: cs}}, nil
}
