package transfer

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/node/wal/crashdisk"
	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
)

const (
	tick       = 100 * time.Millisecond
	chunkBytes = 512
	leaderID   = port.MemberID(1)
	followerID = port.MemberID(2)
)

// world is a sender and a receiver with a bad network between them. One event happens after the other, by its time.
type world struct {
	t      *testing.T
	rand   *rand.Rand
	now    port.Instant
	events []event
	serial int

	// loss and repeat are the shares of messages that are lost and repeated; jitter is how much longer than others a message may be under way, so
	// that they overtake each other.
	loss, repeat float64
	jitter       time.Duration
	cut          bool // nothing arrives
	// seen is told of each message that is sent.
	seen func(from port.MemberID, payload []byte)

	leader   *leader
	follower *follower
}

type event struct {
	at     port.Instant
	serial int
	do     func()
}

type leader struct {
	*world
	*Sender
	ends []bool // what Sent was told
}

type follower struct {
	*world
	*Receiver
	disk    *crashdisk.Disk
	machine *statemachine.Machine
	verdict Verdict
	busy    bool
	arrived []*Arrived
	failed  error
	work    time.Duration // what a piece of work on the disk takes
	free    port.Instant  // when the lane is free
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 1)), now: port.Instant(time.Hour)}
	w.leader = &leader{world: w}
	w.leader.Sender = NewSender(w.leader, SenderOptions{ChunkBytes: chunkBytes, TickInterval: tick, Logger: w})
	w.follower = &follower{world: w, disk: crashdisk.New(), work: time.Millisecond}
	w.newFollower()
	w.after(tick, w.tick)
	return w
}

// newFollower gives the follower a new life, with the disk that it has.
func (w *world) newFollower() {
	f := w.follower
	f.machine = statemachine.New()
	f.machine.Publish()
	f.Receiver = NewReceiver(f, ReceiverOptions{Identity: wal.Identity{Cluster: 9, Member: uint64(followerID)}, KnownFormat: format.Newest, TickInterval: tick, Disk: f.disk, Lane: f, Logger: w})
}

func (w *world) tick() {
	w.after(tick, w.tick)
	w.leader.Sender.Tick()
	w.follower.Receiver.Tick()
}

func (w *world) after(d time.Duration, do func()) {
	w.serial++
	w.events = append(w.events, event{w.now.Add(d), w.serial, do})
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for {
		slices.SortFunc(w.events, func(a, b event) int {
			if a.at != b.at {
				return int(a.at - b.at)
			}
			return a.serial - b.serial
		})
		if w.events[0].at > end {
			w.now = end
			return
		}
		e := w.events[0]
		w.events = w.events[1:]
		w.now = e.at
		e.do()
		w.follower.Receiver.Resume()
	}
}

func (w *world) post(from, to port.MemberID, payload []byte) {
	if w.seen != nil {
		w.seen(from, payload)
	}
	for copies := 1; copies > 0; copies-- {
		if w.cut || w.rand.Float64() < w.loss {
			continue
		}
		if w.rand.Float64() < w.repeat {
			copies++
		}
		w.after(time.Millisecond+time.Duration(w.rand.Int64N(int64(w.jitter)+1)), func() { w.deliver(from, to, payload) })
	}
}

func (w *world) deliver(from, to port.MemberID, payload []byte) {
	if w.cut {
		return
	}
	var err error
	switch payload[0] {
	case KindChunk:
		err = w.follower.HandleChunk(from, payload)
	case KindAck:
		err = w.leader.HandleAck(from, payload)
	}
	if err != nil {
		w.t.Errorf("message for %d: %v", to, err)
	}
}

// Log implements port.Logger.
func (w *world) Log(port.Level, string, ...any) {}

// Now implements Leader and Follower.
func (w *world) Now() port.Instant { return w.now }

// Send implements Leader.
func (l *leader) Send(to port.MemberID, _ port.Class, payload []byte) { l.post(leaderID, to, payload) }

// Sent implements Leader.
func (l *leader) Sent(_ port.MemberID, there bool) { l.ends = append(l.ends, there) }

// Send implements Follower.
func (f *follower) Send(to port.MemberID, _ port.Class, payload []byte) {
	f.post(followerID, to, payload)
}

// Judge implements Follower.
func (f *follower) Judge(o *Offer) (Verdict, error) {
	if applied, _ := f.machine.Applied(); o.Mark.Index <= applied {
		return Needless, nil
	}
	return f.verdict, nil
}

// Busy implements Follower.
func (f *follower) Busy() bool { return f.busy }

// Present implements Follower.
func (f *follower) Present() *statemachine.View {
	v := f.machine.Published()
	if !v.Acquire() {
		f.t.Fatal("the published view can't be pinned")
	}
	return v
}

// Arrived implements Follower.
func (f *follower) Arrived(_ *Offer, a *Arrived) {
	f.arrived = append(f.arrived, a)
	f.machine = a.Machine
	f.machine.Publish()
}

// Settle implements Follower.
func (f *follower) Settle() {}

// Failed implements Follower.
func (f *follower) Failed() bool { return f.failed != nil }

// Fail implements Follower.
func (f *follower) Fail(err error) { f.failed = err }

// Run implements port.Lane: one piece of work after the other.
func (f *follower) Run(work, done func()) {
	work()
	f.free = max(f.free, f.now).Add(f.work)
	f.after(f.free.Sub(f.now), done)
}

// state is a machine with a few hundred keys, and an index.
func state(t *testing.T, index uint64, keys int) *statemachine.Machine {
	t.Helper()
	m := statemachine.New()
	for i := uint64(1); i < index; i++ {
		m.ApplyNothing(i, 1)
	}
	b := &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: 1}}
	for i := range keys {
		b.Requests = append(b.Requests, &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: fmt.Appendf(nil, "key %d", i), Value: make([]byte, 100)}})
	}
	m.Apply(index, 1, b, false)
	m.Publish()
	return m
}

// sent is a state on its way, which knows whether it was closed.
type sent struct {
	io.ReadCloser
	closed int
}

func (s *sent) Close() error {
	s.closed++
	return s.ReadCloser.Close()
}

// start begins to send a machine's state, in the raft term given.
func (l *leader) start(m *statemachine.Machine, term uint64) *sent {
	l.t.Helper()
	index, of := m.Applied()
	msg := &raftpb.Message{Type: raftpb.MsgSnap.Enum(), From: new(uint64(leaderID)), To: new(uint64(followerID)), Term: new(term),
		Snapshot: &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(index), Term: new(of), ConfState: &raftpb.ConfState{Voters: []uint64{1, 2}}}}}
	encoded, err := proto.Marshal(msg)
	if err != nil {
		l.t.Fatal(err)
	}
	s := &sent{ReadCloser: m.Published().Snapshot()}
	l.Start(followerID, 1, index, encoded, s)
	return s
}
