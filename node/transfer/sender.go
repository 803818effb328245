package transfer

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/detcd/detcd/node/port"
)

const (
	// window is how many chunks may be under way to one follower: enough for the network and the follower's disk to work at a time.
	window = 16
	// retryTicks is after how many ticks without progress the sender goes back.
	retryTicks = 5
	// GiveUpTicks is after how many ticks without progress either side gives up. To read a large snapshot back takes the receiver a while, and it
	// is silent meanwhile but for repeated answers. For as long, the entries after a snapshot that is there are kept for a follower that is silent.
	GiveUpTicks = 100
)

// Leader is what a Sender asks of the member that it sends for.
type Leader interface {
	// Now is the time of this turn.
	Now() port.Instant
	// Send is port.Network's.
	Send(to port.MemberID, class port.Class, payload []byte)
	// Sent tells of the end of a transfer: the follower has the snapshot, or has refused it, or does not answer. It is not told of transfers
	// that Stop ends, or that a newer one to the same follower replaces.
	Sent(to port.MemberID, there bool)
}

// Sender sends snapshots to followers, one to each at a time.
type Sender struct {
	leader  Leader
	options SenderOptions
	// outgoing is ordered by the follower's id; one per follower.
	outgoing []*outgoing
	// streams is the number of streams begun by this run of the member.
	streams uint64
	// awaited are the snapshots on their way, or there but not known to be installed: the entries after them will be wanted.
	awaited []awaited
}

// SenderOptions are what a Sender is told about its member.
type SenderOptions struct {
	ChunkBytes   int           // size of a piece
	TickInterval time.Duration // of the member's ticks
	Logger       port.Logger
}

type outgoing struct {
	to      port.MemberID
	stream  uint64
	state   io.ReadCloser // what is sent
	message []byte        // the raft message that the snapshot belongs to
	index   uint64
	// unanswered holds the chunks sent and not acknowledged; the first has the number base.
	unanswered   []*chunk
	base         uint32
	read         bool // state is at its end
	lastProgress port.Instant
	lastSent     port.Instant
}

type awaited struct {
	to    port.MemberID
	index uint64
	there bool
	since port.Instant // when it was there
}

// NewSender makes a sender.
func NewSender(leader Leader, options SenderOptions) *Sender {
	return &Sender{leader: leader, options: options}
}

// Start begins to send a snapshot of the entry at index, in the place of one that may be on its way to that follower. message is the raft message
// that it belongs to. state is read to its end, which must fail with nothing but io.EOF, and is closed whatever becomes of the transfer.
// incarnation is that of this run of the member.
func (s *Sender) Start(to port.MemberID, incarnation, index uint64, message []byte, state io.ReadCloser) {
	s.drop(to)
	s.awaitNoMore(to)
	s.streams++
	o := &outgoing{to: to, stream: incarnation<<32 | s.streams, state: state, message: message, index: index, lastProgress: s.leader.Now()}
	at, _ := slices.BinarySearchFunc(s.outgoing, to, func(o *outgoing, to port.MemberID) int { return cmp.Compare(o.to, to) })
	s.outgoing = slices.Insert(s.outgoing, at, o)
	s.awaited = append(s.awaited, awaited{to: to, index: index})
	s.options.Logger.Log(port.Info, "sending snapshot to a follower that is too far behind", "to", to, "snapshot-index", index)
	s.pump(o)
}

// pump keeps the window of a stream full. The first chunk travels alone: it says what the others are.
func (s *Sender) pump(o *outgoing) {
	room := window
	if o.base == 0 {
		room = 1
	}
	for len(o.unanswered) < room && !o.read {
		buf := make([]byte, s.options.ChunkBytes)
		n, err := io.ReadFull(o.state, buf)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			panic(fmt.Sprintf("node: reading the own state for a snapshot: %v", err))
		}
		o.read = err != nil
		c := &chunk{stream: o.stream, sequence: o.base + uint32(len(o.unanswered)), data: buf[:n], last: o.read}
		if c.sequence == 0 {
			c.message = o.message
		}
		o.unanswered = append(o.unanswered, c)
		s.send(o, c)
	}
}

func (s *Sender) send(o *outgoing, c *chunk) {
	o.lastSent = s.leader.Now()
	s.leader.Send(o.to, port.Bulk, c.encode())
}

// HandleAck takes a follower's answer, a message of KindAck.
func (s *Sender) HandleAck(from port.MemberID, payload []byte) error {
	a, err := decodeAck(payload)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(s.outgoing, func(o *outgoing) bool { return o.to == from && o.stream == a.stream })
	if i < 0 {
		return nil // late, of a stream that has ended
	}
	o := s.outgoing[i]
	switch {
	case a.state == complete:
		s.end(from, true)
	case a.state == refused:
		s.end(from, false)
	case a.next >= o.base && a.next-o.base <= uint32(len(o.unanswered)):
		// Even an answer that wants nothing new says that the receiver lives.
		o.lastProgress = s.leader.Now()
		o.unanswered = o.unanswered[a.next-o.base:]
		o.base = a.next
		s.pump(o)
	}
	return nil
}

// end ends the transfer to a follower, which has the snapshot or will not.
func (s *Sender) end(to port.MemberID, there bool) {
	s.drop(to)
	if !there {
		s.awaitNoMore(to)
	}
	for i := range s.awaited {
		if a := &s.awaited[i]; a.to == to {
			a.there, a.since = true, s.leader.Now()
		}
	}
	s.leader.Sent(to, there)
}

// drop forgets the stream to a follower.
func (s *Sender) drop(to port.MemberID) {
	s.outgoing = slices.DeleteFunc(s.outgoing, func(o *outgoing) bool {
		if o.to == to {
			_ = o.state.Close() // nothing was written
		}
		return o.to == to
	})
}

func (s *Sender) awaitNoMore(to port.MemberID) {
	s.awaited = slices.DeleteFunc(s.awaited, func(a awaited) bool { return a.to == to })
}

// Stop ends all transfers: this member leads no more.
func (s *Sender) Stop() {
	for _, o := range s.outgoing {
		_ = o.state.Close() // nothing was written
	}
	s.outgoing, s.awaited = nil, nil
}

// Tick sends again where nothing moves, and gives up where nothing has moved for long.
func (s *Sender) Tick() {
	now := s.leader.Now()
	for _, o := range slices.Clone(s.outgoing) {
		if now.Sub(o.lastProgress) >= GiveUpTicks*s.options.TickInterval {
			s.options.Logger.Log(port.Warn, "gave up sending a snapshot: the follower does not answer", "to", o.to, "snapshot-index", o.index)
			s.end(o.to, false)
			continue
		}
		if now.Sub(max(o.lastProgress, o.lastSent)) >= retryTicks*s.options.TickInterval {
			for _, c := range o.unanswered {
				s.send(o, c)
			}
		}
	}
}

// Awaited returns the indexes of the snapshots that followers are being sent, or have and are not known to have installed: the entries after
// them will be wanted. match says how far a follower's log is known to be this leader's; one that is not in it is no member any more.
func (s *Sender) Awaited(match func() map[port.MemberID]uint64) (indexes []uint64) {
	if len(s.awaited) == 0 {
		return nil
	}
	now, matched := s.leader.Now(), match()
	s.awaited = slices.DeleteFunc(s.awaited, func(a awaited) bool {
		have, member := matched[a.to]
		// One that was there long ago, and was never heard of again, is not waited for.
		return !member || have >= a.index || a.there && now.Sub(a.since) >= GiveUpTicks*s.options.TickInterval
	})
	for _, a := range s.awaited {
		indexes = append(indexes, a.index)
	}
	return indexes
}

// HasBeyond says whether a follower has a snapshot of an entry after index, which it is not known to have installed.
func (s *Sender) HasBeyond(follower port.MemberID, index uint64) bool {
	return slices.ContainsFunc(s.awaited, func(a awaited) bool { return a.to == follower && a.there && index < a.index })
}
