package transfer

import (
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/snapshot"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
)

// Follower is what a Receiver asks of the member that it receives for.
type Follower interface {
	// Now is the time of this turn.
	Now() port.Instant
	// Send is port.Network's.
	Send(to port.MemberID, class port.Class, payload []byte)
	// Judge says what to do with a snapshot that a leader offers. An error is that of a message which makes no sense.
	Judge(o *Offer) (Verdict, error)
	// Busy says whether an own snapshot is being written. Then the offer waits: see Receiver.Resume.
	Busy() bool
	// Present returns the present state, pinned. The receiver releases it.
	Present() *statemachine.View
	// Arrived is told of a snapshot that is durable on the disk and was read back. When it returns the leader is told that it is here.
	Arrived(o *Offer, a *Arrived)
	// Settle is called after the leader was told.
	Settle()
	// Failed says whether the member has ended. Work of a lane that is done later changes nothing then.
	Failed() bool
	// Fail ends the member: its disk failed.
	Fail(err error)
}

// Offer is a snapshot that a leader offers, as its first chunk tells.
type Offer struct {
	From    port.MemberID
	Message *raftpb.Message // a MsgSnap, whose snapshot holds no data
	Mark    wal.SnapshotMark
}

// Verdict is what a member says of an offer.
type Verdict uint8

// Verdicts.
const (
	// Take it.
	Take Verdict = iota
	// Needless: the member has that state, or a newer one. The leader is told that it is complete.
	Needless
	// Stale: it is of a former leader. No answer.
	Stale
)

// Arrived is a received snapshot.
type Arrived struct {
	Mark    wal.SnapshotMark
	Machine *statemachine.Machine
	Bytes   int64 // of the file
}

// Receiver receives a snapshot from a leader, one at a time.
type Receiver struct {
	follower Follower
	options  ReceiverOptions
	incoming *incoming
	// postponed is the first chunk of a stream that waits until an own snapshot is written; nil: none.
	postponed *postponed
	// done is the stream that was received last. What comes late of it, as when the answer was lost, is answered as its last chunk was.
	done struct {
		from   port.MemberID
		stream uint64
	}
}

// ReceiverOptions are what a Receiver is told about its member.
type ReceiverOptions struct {
	Identity     wal.Identity
	TickInterval time.Duration  // of the member's ticks
	Disk         port.Disk      // where snapshots are kept
	Lane         port.Lane      // runs all work on that disk
	KnownFormat  format.Version // the newest that the member reads
	Logger       port.Logger
}

type postponed struct {
	from  port.MemberID
	chunk chunk
}

type incoming struct {
	*Offer
	stream uint64
	// next is the chunk wanted; written counts those on the disk. waiting came while others were being written.
	next, written uint32
	waiting       [][]byte
	writing       bool
	whole         bool // the last chunk is here
	lastProgress  port.Instant
	file          *snapshot.Incoming // touched by the lane only
	err           error              // set by the lane
}

// NewReceiver makes a receiver.
func NewReceiver(follower Follower, options ReceiverOptions) *Receiver {
	return &Receiver{follower: follower, options: options}
}

// Installing says whether a snapshot is on its way here, or being read back.
func (r *Receiver) Installing() bool { return r.incoming != nil }

// Expecting says whether a snapshot is on its way here, or waits to be.
func (r *Receiver) Expecting() bool { return r.incoming != nil || r.postponed != nil }

// HandleChunk takes one piece of a snapshot from a leader, a message of KindChunk.
func (r *Receiver) HandleChunk(from port.MemberID, payload []byte) error {
	c, err := decodeChunk(payload)
	if err != nil {
		return err
	}
	in := r.incoming
	known := in != nil && in.From == from && in.stream == c.stream
	switch {
	case !known && r.done.from == from && r.done.stream == c.stream:
		r.answer(from, ack{stream: c.stream, state: complete})
	case !known && c.sequence == 0:
		return r.begin(from, c)
	case !known:
		// The beginning is not here (any more): the sender must start afresh. It sends no second chunk before the first is
		// acknowledged, so this is not a matter of order.
		r.answer(from, ack{stream: c.stream, state: refused})
	case c.sequence != in.next || in.whole:
		// Repeated, or one before it was lost: say again what is wanted.
		r.want(in)
	default:
		r.take(in, c)
	}
	return nil
}

// begin begins to receive a stream, unless it is of the past.
func (r *Receiver) begin(from port.MemberID, c chunk) error {
	o, err := r.decodeOffer(from, c.message)
	if err != nil {
		return err
	}
	verdict, err := r.follower.Judge(o)
	switch verdict {
	case Needless:
		r.answer(from, ack{stream: c.stream, next: 1, state: complete})
		return err
	case Stale:
		return err
	}
	if old := r.incoming; old != nil {
		if o.Message.GetTerm() < old.Message.GetTerm() || from == old.From && c.stream < old.stream || old.whole {
			return nil
		}
		r.abort()
	}
	r.postponed = nil
	if r.follower.Busy() {
		r.postponed = &postponed{from, c}
		r.answer(from, ack{stream: c.stream, state: wanted})
		return nil
	}
	in := &incoming{Offer: o, stream: c.stream, lastProgress: r.follower.Now()}
	r.incoming = in
	id, disk := r.options.Identity, r.options.Disk
	r.options.Lane.Run(func() { in.file, in.err = snapshot.Receive(disk, id, in.Mark) }, func() {})
	r.options.Logger.Log(port.Info, "receiving snapshot", "from", from, "snapshot-index", in.Mark.Index)
	r.take(in, c)
	return nil
}

// decodeOffer reads the raft message that the first chunk holds.
func (r *Receiver) decodeOffer(from port.MemberID, message []byte) (*Offer, error) {
	msg := &raftpb.Message{}
	if err := proto.Unmarshal(message, msg); err != nil {
		return nil, err
	}
	meta := msg.GetSnapshot().GetMetadata()
	if msg.GetType() != raftpb.MsgSnap || msg.GetFrom() != uint64(from) || msg.GetTo() != r.options.Identity.Member || meta.GetIndex() == 0 {
		return nil, fmt.Errorf("a snapshot's first chunk holds a %v of %x", msg.GetType(), msg.GetFrom())
	}
	confState, err := proto.MarshalOptions{Deterministic: true}.Marshal(meta.GetConfState())
	if err != nil {
		return nil, err
	}
	return &Offer{From: from, Message: msg, Mark: wal.SnapshotMark{Index: meta.GetIndex(), Term: meta.GetTerm(), ConfState: confState}}, nil
}

// Resume goes on with the stream that had to wait for an own snapshot, if that is written.
func (r *Receiver) Resume() {
	p := r.postponed
	if p == nil || r.follower.Busy() {
		return
	}
	r.postponed = nil
	if err := r.begin(p.from, p.chunk); err != nil {
		r.options.Logger.Log(port.Warn, "dropped a snapshot's first chunk", "from", p.from, "error", err)
	}
}

// take takes the chunk that was wanted.
func (r *Receiver) take(in *incoming, c chunk) {
	in.next++
	in.whole = c.last
	in.lastProgress = r.follower.Now()
	in.waiting = append(in.waiting, c.data)
	r.write(in)
}

// write writes all chunks that wait, unless some are being written.
func (r *Receiver) write(in *incoming) {
	if in.writing || len(in.waiting) == 0 {
		return
	}
	chunks, whole := in.waiting, in.whole
	in.waiting, in.writing = nil, true
	var a *Arrived
	var present *statemachine.View // pinned while the new state is made beside it
	if whole {
		present = r.follower.Present()
	}
	disk, known := r.options.Disk, r.options.KnownFormat
	r.options.Lane.Run(func() {
		if in.append(chunks); whole {
			a = in.readBack(disk, present, known)
		}
	}, func() {
		if present != nil {
			present.Release()
		}
		if r.follower.Failed() || r.incoming != in {
			return
		}
		if in.err != nil {
			// Half a snapshot on a disk that does not work, or one that does not hold what the leader has.
			r.follower.Fail(fmt.Errorf("receive a snapshot: %w", in.err))
			return
		}
		r.written(in, len(chunks), a)
	})
}

// append writes chunks to the file. It runs in the lane.
func (in *incoming) append(chunks [][]byte) {
	for _, data := range chunks {
		if in.err != nil {
			return
		}
		_, in.err = in.file.Write(data)
	}
}

// readBack makes the file durable and reads it back. It runs in the lane.
func (in *incoming) readBack(disk port.Disk, present *statemachine.View, known format.Version) *Arrived {
	if in.err != nil {
		return nil
	}
	if _, in.err = in.file.Commit(); in.err != nil {
		return nil
	}
	a := &Arrived{Mark: in.Mark}
	a.Machine, a.Bytes, in.err = snapshot.Load(disk, in.Mark, present, known)
	return a
}

// written goes on when chunks are on the disk. a is the whole snapshot, nil if chunks are lacking yet.
func (r *Receiver) written(in *incoming, chunks int, a *Arrived) {
	in.writing = false
	in.written += uint32(chunks)
	in.lastProgress = r.follower.Now()
	if a == nil {
		r.want(in)
		r.write(in)
		return
	}
	r.incoming = nil
	r.done.from, r.done.stream = in.From, in.stream
	r.follower.Arrived(in.Offer, a)
	r.answer(in.From, ack{stream: in.stream, next: in.next, state: complete})
	r.follower.Settle()
}

// abort forgets the stream that is being received.
func (r *Receiver) abort() {
	in := r.incoming
	r.incoming = nil
	r.options.Lane.Run(func() {
		if in.file != nil {
			in.err = in.file.Abort()
		}
	}, func() {
		if in.err != nil {
			r.follower.Fail(fmt.Errorf("remove an unfinished snapshot: %w", in.err))
		}
	})
}

// want says which chunk is wanted next: the one after those on the disk.
func (r *Receiver) want(in *incoming) {
	r.answer(in.From, ack{stream: in.stream, next: in.written, state: wanted})
}

func (r *Receiver) answer(to port.MemberID, a ack) { r.follower.Send(to, port.Urgent, a.encode()) }

// Tick tells a leader that waits that this member lives, and gives up where nothing has come for long.
func (r *Receiver) Tick() {
	if p := r.postponed; p != nil {
		r.answer(p.from, ack{stream: p.chunk.stream, state: wanted})
	}
	in := r.incoming
	switch {
	case in == nil:
	case in.whole:
		r.want(in) // it is being read back, which takes a while
	case r.follower.Now().Sub(in.lastProgress) >= GiveUpTicks*r.options.TickInterval:
		r.abort()
	}
}
