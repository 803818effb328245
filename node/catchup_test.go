package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/transfer"
)

// keepLittle has a member keep next to nothing of the log that it does not need itself.
func keepLittle(c *Config) {
	c.CatchUpEntries, c.CatchUpBytes, c.RetainBytes, c.SnapshotEntries, c.SegmentBytes = 2, 1, 1, 5, 4096
}

// keepOnDisk has a member keep next to nothing of the log in memory, and much on the disk.
func keepOnDisk(c *Config) {
	keepLittle(c)
	c.RetainBytes = 1 << 20
}

// level says that two members have applied the same.
func level(a, b *seat) func() bool {
	return func() bool {
		x, _ := a.member.machine.Applied()
		y, _ := b.member.machine.Applied()
		return x == y
	}
}

// countSnapshots counts the transfers of a snapshot that are begun.
func (c *cluster) countSnapshots() *int {
	n, seen := 0, map[uint64]bool{}
	c.lose = func(_, _ port.MemberID, payload []byte) bool {
		if payload[0] == kindChunk {
			if stream, err := transfer.Stream(payload); err == nil && !seen[stream] {
				seen[stream] = true
				n++
			}
		}
		return false
	}
	return &n
}

func (s *seat) fill(n int) {
	s.c.t.Helper()
	for i := range n {
		s.apply(put(fmt.Sprint("key", i%7, strings.Repeat("x", 100)), 0))
	}
}

// A follower that lacks more than memory holds gets it from the segments, though snapshots were taken meanwhile.
func TestCatchUp_FromTheSegments(t *testing.T) {
	c := newCluster(t, 3, keepOnDisk)
	l, f := c.elect(1), c.seat(3)
	l.fill(10)
	sent := c.countSnapshots()
	f.cut = true
	l.fill(300)
	if kept := len(l.member.entries.list); kept > 2 {
		t.Fatalf("%d entries are in memory", kept)
	}
	f.cut = false
	c.until("the follower is level", level(l, f))
	if *sent != 0 {
		t.Errorf("%d snapshots were sent", *sent)
	}
	if l.member.catchUps.begun != 1 {
		t.Errorf("%d readers were begun", l.member.catchUps.begun)
	}
	c.run(time.Second)
	if len(l.member.catchUps.readers) != 0 {
		t.Error("the reader stays when nothing is left to read")
	}
}

// What gets lost on the way is sent again.
func TestCatchUp_OverALossyNetwork(t *testing.T) {
	c := newCluster(t, 3, keepOnDisk)
	l, f := c.elect(1), c.seat(3)
	l.fill(10)
	f.cut = true
	l.fill(300)
	f.cut = false
	n := 0
	c.lose = func(from, to port.MemberID, payload []byte) bool {
		if payload[0] == kindChunk {
			t.Fatal("a snapshot is sent")
		}
		n++
		return (from == f.id || to == f.id) && n%4 == 0
	}
	c.until("the follower is level", level(l, f))
}

// A new leader knows nothing of the follower and probes where the logs part; the follower has entries of a term that came to nothing.
func TestCatchUp_FromAnotherLeader(t *testing.T) {
	c := newCluster(t, 3, keepOnDisk)
	f := c.elect(3)
	f.fill(10)
	f.cut = true
	for range 5 {
		f.propose(put("lost", 0))
	}
	f.turn(func() { f.member.Propose(put("lost", 0), func(Applied, error) {}) })
	c.run(50 * time.Millisecond)
	l := c.elect(1)
	l.fill(200)
	l = c.elect(2)
	l.fill(50)
	sent := c.countSnapshots()
	f.cut = false
	c.until("the former leader is level", level(l, f))
	if *sent != 0 {
		t.Errorf("%d snapshots were sent", *sent)
	}
	if f.member.machine.StateHash() != l.member.machine.StateHash() {
		t.Error("the states differ")
	}
}

// While a snapshot travels, and until its receiver is level, the entries after it stay, whatever the bounds say: a second is not needed.
func TestCatchUp_OneSnapshotIsEnough(t *testing.T) {
	c := newCluster(t, 3, func(c *Config) {
		keepLittle(c)
		c.ChunkBytes = 100
	})
	l, f := c.elect(1), c.seat(3)
	for i := range 100 {
		l.apply(put(fmt.Sprint("key", i), 0))
	}
	f.cut = true
	l.fill(200)
	c.run(transfer.GiveUpTicks * tick)
	l.fill(50)
	sent := c.countSnapshots()
	f.cut = false
	writes, stop := 0, false
	var write func(Applied, error)
	write = func(Applied, error) {
		if writes++; stop {
			return
		}
		l.member.Propose(put(fmt.Sprint("key", writes%7, strings.Repeat("x", 100)), 0), write)
	}
	l.turn(func() {
		for range 10 {
			write(Applied{}, nil)
		}
	})
	c.until("a snapshot is sent", func() bool { return *sent > 0 })
	before := writes
	c.until("the follower is nearly level under load", func() bool {
		x, _ := l.member.machine.Applied()
		y, _ := f.member.machine.Applied()
		return x-y < 20
	})
	if writes-before < 100 {
		t.Fatalf("only %d writes came meanwhile: that proves nothing", writes-before)
	}
	stop = true
	c.run(2 * time.Second)
	if *sent != 1 {
		t.Errorf("%d snapshots were sent", *sent)
	}
	if kept, usual := l.member.writer.log.DiskBytes(), l.member.retention.retainBytes(); kept > usual+3*4096 {
		t.Errorf("%d bytes of the log are kept when nobody wants them, instead of %d", kept, usual)
	}
}

// Where the disk gives the old entries up, or they are damaged, a snapshot does it.
func TestCatchUp_FallsBackToASnapshot(t *testing.T) {
	for name, spoil := range map[string]func(l *seat){
		"no room": func(l *seat) { l.disk.Spare = 1 },
		"damaged": func(l *seat) {
			names, _ := l.disk.List()
			for _, name := range names[:3] {
				if strings.HasPrefix(name, "wal-") {
					clear(l.disk.Content(name)[200:])
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 3, keepOnDisk)
			l, f := c.elect(1), c.seat(3)
			l.fill(10)
			f.cut = true
			l.fill(200)
			spoil(l)
			l.fill(60)
			sent := c.countSnapshots()
			f.cut = false
			c.until("the follower is level", level(l, f))
			if *sent != 1 {
				t.Errorf("%d snapshots were sent", *sent)
			}
		})
	}
}

// Damage in the oldest segments is no reason to send a snapshot to a follower that lacks newer entries only.
func TestCatchUp_DamageConcernsWhoLacksThatOnly(t *testing.T) {
	c := newCluster(t, 5, keepOnDisk)
	l, far, near := c.elect(1), c.seat(4), c.seat(5)
	l.fill(10)
	far.cut = true
	l.fill(200)
	near.cut = true
	l.fill(100)
	segments := l.member.writer.log.Spans()
	names, _ := l.disk.List()
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "wal-") })
	for _, name := range names[:len(segments)/3] {
		clear(l.disk.Content(name)[200:])
	}
	sent := c.countSnapshots()
	far.cut = false
	c.until("who lacks what is damaged is level", level(l, far))
	if *sent != 1 {
		t.Fatalf("%d snapshots were sent to who lacks what is damaged", *sent)
	}
	near.cut = false
	c.until("who lacks newer entries is level", level(l, near))
	if *sent != 1 {
		t.Errorf("%d snapshots were sent to who lacks newer entries only", *sent-1)
	}
}

// An append without entries must not overtake those with entries.
func TestRaftClass_AppendsKeepTheirOrder(t *testing.T) {
	full := &raftpb.Message{Type: raftpb.MsgApp.Enum(), Entries: someEntries(1, 2, 10)}
	empty := &raftpb.Message{Type: raftpb.MsgApp.Enum()}
	if raftClass(full) != port.Normal || raftClass(empty) != port.Normal {
		t.Errorf("with entries %v, without %v", raftClass(full), raftClass(empty))
	}
	if beat := (&raftpb.Message{Type: raftpb.MsgHeartbeat.Enum()}); raftClass(beat) != port.Urgent {
		t.Error("a heartbeat waits for others")
	}
}

// A leader that was started anew has what its segments held before, and does not send a snapshot for it.
func TestCatchUp_FromALeaderThatRestarted(t *testing.T) {
	c := newCluster(t, 3, keepOnDisk)
	l, f := c.elect(1), c.seat(3)
	l.fill(80) // past the first segment, which has entries of other terms
	f.cut = true
	l.fill(300)
	for _, s := range c.seats[:2] {
		s.kill()
	}
	for _, s := range c.seats[:2] {
		s.open()
	}
	l = c.leader()
	if l.member.entries.floor+100 > l.member.entries.base.index {
		t.Fatalf("the log begins at %d, memory at %d: that proves nothing", l.member.entries.floor, l.member.entries.base.index)
	}
	sent := c.countSnapshots()
	f.cut = false
	c.until("the follower is level", level(l, f))
	if *sent != 0 {
		t.Errorf("%d snapshots were sent", *sent)
	}
}
