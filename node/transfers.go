package node

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/transfer"
	"github.com/detcd/detcd/statemachine"
)

// transfers connect raft with the transfer of snapshots (package transfer): raft says which follower needs one and decides on one that has arrived.
type transfers struct {
	*core
	views    *views
	offers   *offers
	sender   *transfer.Sender
	receiver *transfer.Receiver
	// arrived is a snapshot that is durable and read back, while raft decides on it.
	arrived *transfer.Arrived
	// saving says whether an own snapshot is being written.
	saving func() bool
	// stepPeer steps raft with a message of another member, handleReady does at once what raft makes of it.
	stepPeer    func(from port.MemberID, msg *raftpb.Message) error
	handleReady func()
}

var (
	_ transfer.Leader   = (*transfers)(nil)
	_ transfer.Follower = (*transfers)(nil)
)

// open makes sender and receiver.
func (t *transfers) open() {
	c := &t.config
	t.sender = transfer.NewSender(t, transfer.SenderOptions{ChunkBytes: c.ChunkBytes, TickInterval: c.TickInterval, Logger: t.ports.Logger})
	t.receiver = transfer.NewReceiver(t, transfer.ReceiverOptions{Identity: c.identity(), TickInterval: c.TickInterval, Disk: t.ports.SnapshotDisk,
		KnownFormat: c.KnownFormat, Lane: t.ports.SnapshotLane, Logger: t.ports.Logger})
}

// begin ends what this member sends when it leads no more.
func (t *transfers) begin(uint64) {
	if t.role != Leader {
		t.sender.Stop()
	}
}

func (t *transfers) tick(port.Instant) {
	t.sender.Tick()
	t.receiver.Tick()
}

// applied goes on with what had to wait for an own snapshot.
func (t *transfers) applied(uint64) { t.receiver.Resume() }

func (t *transfers) end() { t.sender.Stop() }

// start begins to send the snapshot that raft wants a follower to have. Raft was offered it in this turn.
func (t *transfers) start(msg *raftpb.Message) {
	to, index := port.MemberID(msg.GetTo()), msg.GetSnapshot().GetMetadata().GetIndex()
	view := t.offers.of(index)
	if view == nil {
		t.raft.ReportSnapshot(uint64(to), raft.SnapshotFailure)
		return
	}
	encoded, err := proto.Marshal(msg)
	if err != nil {
		panic("node: snapshot message can't be encoded: " + err.Error())
	}
	t.ports.Observer.CatchingUp(to, true)
	t.sender.Start(to, t.incarnation, index, encoded, view.Snapshot())
}

// awaited are the indexes of the snapshots after which followers will want the log.
func (t *transfers) awaited() []uint64 {
	return t.sender.Awaited(func() map[port.MemberID]uint64 {
		match := make(map[port.MemberID]uint64)
		t.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
			match[port.MemberID(id)] = pr.Match
		})
		return match
	})
}

// outdated says whether a follower refused entries before it had the snapshot that it has confirmed since. Raft can't tell: to it the follower would
// lack what the snapshot holds, and would be sent another one. (Raft takes any message for lost that it is not told of.)
func (t *transfers) outdated(from port.MemberID, msg *raftpb.Message) bool {
	return msg.GetType() == raftpb.MsgAppResp && msg.GetReject() && t.sender.HasBeyond(from, msg.GetRejectHint())
}

// take returns the snapshot that raft has decided to install.
func (t *transfers) take(index, term uint64) *transfer.Arrived {
	a := t.arrived
	if a == nil || a.Mark.Index != index || a.Mark.Term != term {
		panic(fmt.Sprintf("node: raft installs a snapshot of entry %d (term %d) that did not arrive", index, term))
	}
	t.arrived = nil
	return a
}

// Now implements transfer.Leader and transfer.Follower.
func (t *transfers) Now() port.Instant { return t.now() }

// Send implements transfer.Leader and transfer.Follower.
func (t *transfers) Send(to port.MemberID, class port.Class, payload []byte) {
	t.ports.Network.Send(to, class, payload)
}

// Sent implements transfer.Leader.
func (t *transfers) Sent(to port.MemberID, there bool) {
	t.ports.Observer.SnapshotSent(to, there)
	status := raft.SnapshotFailure
	if there {
		status = raft.SnapshotFinish
	}
	t.raft.ReportSnapshot(uint64(to), status)
}

// Judge implements transfer.Follower.
func (t *transfers) Judge(o *transfer.Offer) (transfer.Verdict, error) {
	if o.Message.GetTerm() < t.term {
		return transfer.Stale, nil
	}
	if applied, _ := t.machine.Applied(); o.Mark.Index <= applied {
		return transfer.Needless, t.stepPeer(o.From, o.Message) // raft answers with where this member is
	}
	return transfer.Take, nil
}

// Busy implements transfer.Follower.
func (t *transfers) Busy() bool { return t.saving() }

// Present implements transfer.Follower.
func (t *transfers) Present() *statemachine.View { return t.views.AcquireView() }

// Arrived implements transfer.Follower: raft decides on the snapshot.
func (t *transfers) Arrived(o *transfer.Offer, a *transfer.Arrived) {
	t.arrived = a
	if err := t.stepPeer(o.From, o.Message); err != nil {
		t.log(port.Warn, "raft refused a snapshot", "from", o.From, "error", err)
	}
}

// Settle implements transfer.Follower.
func (t *transfers) Settle() {
	t.handleReady()
	t.arrived = nil // else raft had no use for it
}

// Failed implements transfer.Follower.
func (t *transfers) Failed() bool { return t.failed != nil }

// Fail implements transfer.Follower.
func (t *transfers) Fail(err error) {
	if outdated := t.readableSnapshot(err); errors.Is(outdated, ErrOutdated) {
		t.halt(outdated)
		return
	}
	t.fail(err)
}
