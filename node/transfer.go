package node

import (
	"fmt"
	"io"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/snapshot"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/statemachine"
)

// transfers are snapshots on their way between members, in chunks. The sender reads a pinned view and keeps a few chunks under way; the
// receiver takes chunks in order only, answers each with the number of the next it wants, and the sender goes back to that one when
// nothing moves (go-back-N). The receiver's answers are the flow control: it gives them when a chunk is on its disk.
type transfers struct {
	// outgoing is ordered by the peer's id; one per peer.
	outgoing []*outgoing
	// streams is the number of streams begun by this run of the member.
	streams  uint64
	incoming *incoming
	// postponed is the first chunk of a stream that waits until an own snapshot is written; nil: none.
	postponed *postponed
	// awaited are the snapshots on their way, or there but not known to be installed: the entries after them will be wanted.
	awaited []awaited
	// arrived is a snapshot that is durable and read back, while raft decides on it.
	arrived *arrived
}

const (
	// chunkWindow is how many chunks may be under way to one peer: enough for the network and the receiver's disk to work at a time.
	chunkWindow = 16
	// chunkRetryTicks is after how many ticks without progress the sender goes back, chunkGiveUpTicks after how many either side
	// gives up. Reading a large snapshot back takes the receiver a while, and it is silent meanwhile but for repeated answers.
	chunkRetryTicks  = 5
	chunkGiveUpTicks = 100
)

type outgoing struct {
	to      port.MemberID
	stream  uint64
	reader  *statemachine.SnapshotReader // pins the view that is sent, until it is closed
	message []byte                       // the raft message that the snapshot belongs to
	index   uint64
	// window holds the chunks sent and not acknowledged; the first has the number base.
	window       []*chunk
	base         uint32
	read         bool // the reader is at its end
	lastProgress port.Instant
	lastSent     port.Instant
}

type awaited struct {
	to       port.MemberID
	index    uint64
	complete bool         // it is there
	since    port.Instant // when
}

type postponed struct {
	from  port.MemberID
	chunk chunk
}

type incoming struct {
	from   port.MemberID
	stream uint64
	msg    *raftpb.Message
	mark   wal.SnapshotMark
	// next is the chunk wanted; written counts those on the disk. waiting came while others were being written.
	next, written uint32
	waiting       [][]byte
	writing       bool
	whole         bool
	lastProgress  port.Instant
	file          *snapshot.Incoming // touched by the lane only
	err           error              // set by the lane
}

type arrived struct {
	mark    wal.SnapshotMark
	machine *statemachine.Machine
	size    int64
}

// startTransfer begins to send the snapshot that raft wants a follower to have.
func (m *Member) startTransfer(msg *raftpb.Message) {
	to := port.MemberID(msg.GetTo())
	index := msg.GetSnapshot().GetMetadata().GetIndex()
	view := m.offers.view
	if view == nil {
		m.raft.ReportSnapshot(uint64(to), raft.SnapshotFailure)
		return
	}
	if viewIndex, _ := view.Applied(); viewIndex != index {
		m.raft.ReportSnapshot(uint64(to), raft.SnapshotFailure)
		return
	}
	m.endTransfer(to)
	m.awaitNoMore(to)
	encoded, err := proto.Marshal(msg)
	if err != nil {
		panic("node: snapshot message can't be encoded: " + err.Error())
	}
	m.transfers.streams++
	t := &outgoing{
		to:           to,
		stream:       m.incarnation<<32 | m.transfers.streams,
		reader:       view.Snapshot(),
		message:      encoded,
		index:        index,
		lastProgress: m.now(),
	}
	at := 0
	for at < len(m.transfers.outgoing) && m.transfers.outgoing[at].to < to {
		at++
	}
	m.transfers.outgoing = append(m.transfers.outgoing, nil)
	copy(m.transfers.outgoing[at+1:], m.transfers.outgoing[at:])
	m.transfers.outgoing[at] = t
	m.transfers.awaited = append(m.transfers.awaited, awaited{to: to, index: index})
	m.ports.Observer.CatchingUp(to, true)
	m.log(port.Info, "sending snapshot to a follower that is too far behind", "to", to, "snapshot-index", index)
	m.pump(t)
}

// pump keeps the window of a stream full. The first chunk travels alone: it says what the others are.
func (m *Member) pump(t *outgoing) {
	window := chunkWindow
	if t.base == 0 {
		window = 1
	}
	for len(t.window) < window && !t.read {
		buf := make([]byte, m.config.ChunkBytes)
		n, err := io.ReadFull(t.reader, buf)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			panic(fmt.Sprintf("node: reading the own state for a snapshot: %v", err))
		}
		t.read = err != nil
		c := &chunk{stream: t.stream, sequence: t.base + uint32(len(t.window)), data: buf[:n], last: t.read}
		if c.sequence == 0 {
			c.message = t.message
		}
		t.window = append(t.window, c)
		m.sendChunk(t, c)
	}
}

func (m *Member) sendChunk(t *outgoing, c *chunk) {
	t.lastSent = m.now()
	m.ports.Network.Send(t.to, port.Bulk, c.encode())
}

// endTransfer forgets the stream to a peer.
func (m *Member) endTransfer(to port.MemberID) {
	for i, t := range m.transfers.outgoing {
		if t.to == to {
			_ = t.reader.Close() // never fails
			m.transfers.outgoing = append(m.transfers.outgoing[:i], m.transfers.outgoing[i+1:]...)
			return
		}
	}
}

// stopTransfers ends all outgoing streams: this member leads no more.
func (m *Member) stopTransfers() {
	for _, t := range m.transfers.outgoing {
		_ = t.reader.Close() // never fails
	}
	m.transfers.outgoing, m.transfers.awaited = nil, nil
}

func (m *Member) awaitNoMore(to port.MemberID) {
	m.transfers.awaited = slices.DeleteFunc(m.transfers.awaited, func(a awaited) bool { return a.to == to })
}

// awaitedSnapshots returns the indexes of the snapshots that followers are being sent, or have and are not known to have installed: the
// entries after them will be wanted.
func (m *Member) awaitedSnapshots() (indexes []uint64) {
	if len(m.transfers.awaited) == 0 {
		return nil
	}
	match := make(map[port.MemberID]uint64)
	m.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		match[port.MemberID(id)] = pr.Match
	})
	m.transfers.awaited = slices.DeleteFunc(m.transfers.awaited, func(a awaited) bool {
		have, member := match[a.to]
		// One that was there long ago, and was never heard of again, is not waited for.
		return !member || have >= a.index || a.complete && m.now().Sub(a.since) >= chunkGiveUpTicks*m.config.TickInterval
	})
	for _, a := range m.transfers.awaited {
		indexes = append(indexes, a.index)
	}
	return indexes
}

// outdated says whether a follower refused entries before it had the snapshot that it has confirmed since. Raft can't tell: to it the follower would
// lack what the snapshot holds, and would be sent another one. (Raft takes any message for lost that it is not told of.)
func (m *Member) outdated(from port.MemberID, msg *raftpb.Message) bool {
	return msg.GetType() == raftpb.MsgAppResp && msg.GetReject() && slices.ContainsFunc(m.transfers.awaited, func(a awaited) bool {
		return a.to == from && a.complete && msg.GetRejectHint() < a.index
	})
}

// handleChunkAck moves a stream on.
func (m *Member) handleChunkAck(from port.MemberID, payload []byte) error {
	a, err := decodeChunkAck(payload)
	if err != nil {
		return err
	}
	for _, t := range m.transfers.outgoing {
		if t.to != from || t.stream != a.stream {
			continue
		}
		switch {
		case a.state == chunkComplete:
			m.endTransfer(from)
			for i := range m.transfers.awaited {
				if w := &m.transfers.awaited[i]; w.to == from {
					w.complete, w.since = true, m.now()
				}
			}
			m.ports.Observer.SnapshotSent(from, true)
			m.raft.ReportSnapshot(uint64(from), raft.SnapshotFinish)
		case a.state == chunkRefused:
			m.endTransfer(from)
			m.awaitNoMore(from)
			m.ports.Observer.SnapshotSent(from, false)
			m.raft.ReportSnapshot(uint64(from), raft.SnapshotFailure)
		case a.next >= t.base && a.next-t.base <= uint32(len(t.window)):
			// Even an answer that wants nothing new says that the receiver lives.
			t.lastProgress = m.now()
			t.window = t.window[a.next-t.base:]
			t.base = a.next
			m.pump(t)
		}
		break
	}
	return nil
}

// handleChunk takes one piece of a snapshot from the leader.
func (m *Member) handleChunk(from port.MemberID, payload []byte) error {
	c, err := decodeChunk(payload)
	if err != nil {
		return err
	}
	in := m.transfers.incoming
	if c.sequence == 0 && (in == nil || in.from != from || in.stream != c.stream) {
		return m.startIncoming(from, c)
	}
	if in == nil || in.from != from || in.stream != c.stream {
		// The beginning is not here (any more): the sender must start afresh. It sends no second chunk before the first is
		// acknowledged, so this is not a matter of order.
		m.sendAck(from, chunkAck{stream: c.stream, state: chunkRefused})
		return nil
	}
	if c.sequence != in.next || in.whole {
		// Repeated, or one before it was lost: say again what is wanted.
		m.ack(in, chunkWanted)
		return nil
	}
	m.takeChunk(in, c)
	return nil
}

// startIncoming begins to receive a stream, unless it is of the past.
func (m *Member) startIncoming(from port.MemberID, c chunk) error {
	msg := &raftpb.Message{}
	if err := proto.Unmarshal(c.message, msg); err != nil {
		return err
	}
	meta := msg.GetSnapshot().GetMetadata()
	if msg.GetType() != raftpb.MsgSnap || msg.GetFrom() != uint64(from) || msg.GetTo() != uint64(m.config.ID) || meta.GetIndex() == 0 {
		return fmt.Errorf("a snapshot's first chunk holds a %v of %x", msg.GetType(), msg.GetFrom())
	}
	if msg.GetTerm() < m.term {
		return nil
	}
	if applied, _ := m.machine.Applied(); meta.GetIndex() <= applied {
		// Not needed any more: raft answers with where this member is.
		m.sendAck(from, chunkAck{stream: c.stream, next: 1, state: chunkComplete})
		return m.stepPeer(from, msg)
	}
	if old := m.transfers.incoming; old != nil {
		if msg.GetTerm() < old.msg.GetTerm() || from == old.from && c.stream < old.stream || old.whole {
			return nil
		}
		m.abortIncoming()
	}
	m.transfers.postponed = nil
	if m.snapshots.busy {
		// The disk is busy with an own snapshot.
		m.transfers.postponed = &postponed{from, c}
		m.sendAck(from, chunkAck{stream: c.stream, state: chunkWanted})
		return nil
	}
	in := &incoming{from: from, stream: c.stream, msg: msg, lastProgress: m.now()}
	in.mark = wal.SnapshotMark{Index: meta.GetIndex(), Term: meta.GetTerm(), ConfState: encodeConfState(meta.GetConfState())}
	m.transfers.incoming = in
	id, disk := m.config.identity(), m.ports.SnapshotDisk
	m.ports.SnapshotLane.Run(func() { in.file, in.err = snapshot.Receive(disk, id, in.mark) }, func() {})
	m.log(port.Info, "receiving snapshot", "from", from, "snapshot-index", in.mark.Index)
	m.takeChunk(in, c)
	return nil
}

// receiving says whether a snapshot is on its way here.
func (m *Member) receiving() bool { return m.transfers.incoming != nil || m.transfers.postponed != nil }

// startPostponed goes on with the stream that had to wait for an own snapshot.
func (m *Member) startPostponed() {
	p := m.transfers.postponed
	if p == nil || m.snapshots.busy {
		return
	}
	m.transfers.postponed = nil
	if err := m.startIncoming(p.from, p.chunk); err != nil {
		m.log(port.Warn, "dropped a snapshot's first chunk", "from", p.from, "error", err)
	}
}

// takeChunk takes the chunk that was wanted.
func (m *Member) takeChunk(in *incoming, c chunk) {
	in.next++
	in.whole = c.last
	in.lastProgress = m.now()
	in.waiting = append(in.waiting, c.data)
	m.writeChunks(in)
}

// writeChunks writes all chunks that wait, unless some are being written; after the last one the snapshot is made durable and read back.
func (m *Member) writeChunks(in *incoming) {
	if in.writing || len(in.waiting) == 0 {
		return
	}
	chunks, whole := in.waiting, in.whole
	in.waiting, in.writing = nil, true
	disk := m.ports.SnapshotDisk
	a := &arrived{mark: in.mark}
	var present *statemachine.View // pinned while the new state is made beside it
	if whole {
		present = m.AcquireView()
	}
	m.ports.SnapshotLane.Run(func() {
		for _, data := range chunks {
			if in.err != nil {
				return
			}
			_, in.err = in.file.Write(data)
		}
		if in.err != nil || !whole {
			return
		}
		if _, in.err = in.file.Commit(); in.err != nil {
			return
		}
		a.machine, a.size, in.err = readSnapshot(disk, in.mark, present)
	}, func() {
		if present != nil {
			present.Release()
		}
		if m.failed != nil || m.transfers.incoming != in {
			return
		}
		if in.err != nil {
			// Half a snapshot on a disk that does not work, or one that does not hold what the leader has.
			m.fail(fmt.Errorf("receive a snapshot: %w", in.err))
			return
		}
		in.writing = false
		in.written += uint32(len(chunks))
		in.lastProgress = m.now()
		if !whole {
			m.ack(in, chunkWanted)
			m.writeChunks(in)
			return
		}
		m.transfers.incoming = nil
		m.offerArrived(in, a)
	})
}

// offerArrived lets raft decide on a snapshot that is durable here.
func (m *Member) offerArrived(in *incoming, a *arrived) {
	m.transfers.arrived = a
	if err := m.stepPeer(in.from, in.msg); err != nil {
		m.log(port.Warn, "raft refused a snapshot", "from", in.from, "error", err)
	}
	m.sendAck(in.from, chunkAck{stream: in.stream, next: in.next, state: chunkComplete})
	m.handleReadyWithin()
	m.transfers.arrived = nil // raft had no use for it
}

// takeArrived returns the snapshot that raft has decided to install.
func (m *Member) takeArrived(index, term uint64) *arrived {
	a := m.transfers.arrived
	if a == nil || a.mark.Index != index || a.mark.Term != term {
		panic(fmt.Sprintf("node: raft installs a snapshot of entry %d (term %d) that did not arrive", index, term))
	}
	m.transfers.arrived = nil
	return a
}

// installs returns what puts the snapshot that one of raft's messages holds in place; nil where it holds none.
func (m *Member) installs(msg *raftpb.Message) func() {
	if msg.GetSnapshot() == nil {
		return nil
	}
	meta := msg.GetSnapshot().GetMetadata()
	a := m.takeArrived(meta.GetIndex(), meta.GetTerm())
	return func() { m.install(a) }
}

// install puts the state of a received snapshot, to which the log now points, in the place of the present one.
func (m *Member) install(a *arrived) {
	m.setMachine(a.machine)
	m.unpublished, m.replaced = true, true
	m.confState = &raftpb.ConfState{}
	if err := proto.Unmarshal(a.mark.ConfState, m.confState); err != nil {
		panic(fmt.Sprintf("node: the configuration of a received snapshot can't be read: %v", err))
	}
	m.entries.reset(a.mark.Index, a.mark.Term)
	m.entries.confState = m.confState
	m.writer.marked = savedSnapshot{a.mark.Index, a.size}
	m.snapshots.replaced(a.mark)
	m.peersChanged = true
	if m.proposals.seenBeyond() {
		m.endAsOldCopy(fmt.Sprintf("the snapshot of entry %d has requests of this member", a.mark.Index))
		return
	}
	m.proposals.reconcile()
	m.ports.Observer.Installed(a.mark.Index, m.machine.StateHash())
	m.log(port.Info, "installed snapshot", "snapshot-index", a.mark.Index, "bytes", a.size)
}

// abortIncoming forgets a stream that is being received.
func (m *Member) abortIncoming() {
	in := m.transfers.incoming
	m.transfers.incoming = nil
	m.ports.SnapshotLane.Run(func() {
		if in.file != nil {
			in.err = in.file.Abort()
		}
	}, func() {
		if in.err != nil {
			m.fail(fmt.Errorf("remove an unfinished snapshot: %w", in.err))
		}
	})
}

func (m *Member) ack(in *incoming, state chunkState) {
	m.sendAck(in.from, chunkAck{stream: in.stream, next: in.written, state: state})
}

func (m *Member) sendAck(to port.MemberID, a chunkAck) {
	m.ports.Network.Send(to, port.Urgent, a.encode())
}

// tickTransfers sends again where nothing moves, and gives up where nothing has moved for long.
func (m *Member) tickTransfers() {
	now := m.now()
	retry, giveUp := chunkRetryTicks*m.config.TickInterval, chunkGiveUpTicks*m.config.TickInterval
	for i := 0; i < len(m.transfers.outgoing); i++ {
		t := m.transfers.outgoing[i]
		if now.Sub(t.lastProgress) >= giveUp {
			m.log(port.Warn, "gave up sending a snapshot: the follower does not answer", "to", t.to, "snapshot-index", t.index)
			m.endTransfer(t.to)
			m.awaitNoMore(t.to)
			m.ports.Observer.SnapshotSent(t.to, false)
			m.raft.ReportSnapshot(uint64(t.to), raft.SnapshotFailure)
			i--
			continue
		}
		if now.Sub(max(t.lastProgress, t.lastSent)) >= retry && len(t.window) > 0 {
			for _, c := range t.window {
				m.sendChunk(t, c)
			}
		}
	}
	if p := m.transfers.postponed; p != nil {
		m.sendAck(p.from, chunkAck{stream: p.chunk.stream, state: chunkWanted}) // this member lives
	}
	if in := m.transfers.incoming; in != nil && !in.whole && now.Sub(in.lastProgress) >= giveUp {
		m.abortIncoming()
	} else if in != nil && in.whole {
		// Reading it back: tell the leader that this member lives.
		m.ack(in, chunkWanted)
	}
}
