package node

import (
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine/format"
)

// A raise reaches one follower only, and is not committed. The others go on without it, one of them with an older build. The follower comes back and gets a
// snapshot, which takes the place of its log, the raise included. From then on it has nothing that the older build can't read.
func TestVersions_ARaiseThatASnapshotReplacesIsForgotten(t *testing.T) {
	c := newSeats(t, 5, func(config *Config) {
		config.CatchUpEntries, config.SnapshotEntries, config.RetainBytes, config.SegmentBytes = 2, 5, 1, 4096
	})
	two, five := c.seat(2), c.seat(5)
	five.known = format.Batches
	for _, s := range c.seats {
		s.open()
	}
	one := c.elect(1)
	c.lose = func(from, to port.MemberID, payload []byte) bool { return from == 1 && to > 2 && isAppend(payload) }
	restart := func(known format.Version) {
		five.kill()
		five.known = known
		five.open()
	}
	restart(format.Envelopes)
	c.until("the raise is in the log of 2", func() bool { return two.formats.Needs == format.Envelopes })
	one.cut, two.cut, c.lose = true, true, nil
	restart(format.Batches)

	write := func(n int) {
		leader := c.leader()
		for range n {
			leader.apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("k"), Value: make([]byte, 1000)}})
		}
	}
	write(30)
	c.run(12 * time.Second) // for so long the leader keeps its log for 2
	write(10)
	c.run(time.Second)
	five.kill() // else it would rightly end: 2 has the raise yet
	two.cut = false
	last := c.leader().member.writer.lastIndex
	c.until("2 has caught up", func() bool { applied, _ := two.member.machine.Applied(); return applied >= last })
	if two.member.writer.marked.index < 30 {
		t.Fatal("2 was sent no snapshot")
	}
	if two.formats.Needs != format.Batches {
		t.Errorf("2 needs format version %d, and all that it has is of version %d", two.formats.Needs, two.member.machine.Format())
	}
	five.open()
	c.elect(2)
	c.run(time.Second)
	if five.failed != nil {
		t.Errorf("the older build ends: %v", five.failed)
	}
}

// Raft drops the raise while leadership is being handed over. Then nothing that the leader has needs the next version, and it must not say so: a member that steps
// back just then would end.
func TestVersions_ARaiseThatIsDroppedIsNotNeeded(t *testing.T) {
	c := newSeats(t, 3, nil)
	three := c.seat(3)
	three.known = format.Batches
	for _, s := range c.seats {
		s.open()
	}
	one := c.elect(1)
	handed := 0
	c.lose = func(from, to port.MemberID, payload []byte) bool {
		msg := &raftpb.Message{}
		lost := payload[0] == kindRaft && proto.Unmarshal(payload[1:], msg) == nil && msg.GetType() == raftpb.MsgTimeoutNow
		if lost {
			handed++
		}
		return lost
	}
	one.turn(func() { one.member.raft.TransferLeader(2) })
	three.kill()
	three.known = format.Envelopes
	three.open()
	dropped := func() uint64 { return one.member.proposals.window.Failed() }
	c.until("a raise is dropped", func() bool { return dropped() > 0 })
	if handed == 0 || one.member.role != Leader {
		t.Fatalf("handed over %d times, %v", handed, one.member.role)
	}
	if one.formats.Needs != format.Batches {
		t.Errorf("the leader needs format version %d, and all that it has is of version %d", one.formats.Needs, one.member.machine.Format())
	}
	c.until("the raise is made later", func() bool { return three.member.machine.Format() == format.Envelopes })
}
