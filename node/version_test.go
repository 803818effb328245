package node

import (
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

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
