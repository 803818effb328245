package node

import (
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/transfer"
	"github.com/detcd/detcd/node/watch"
)

func compact(revision int64, physical bool) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: revision, Physical: physical}}
}

// fill writes more versions of a key than one step of a compaction looks at, and returns the revision of the last one.
func fill(s *seat) (revision int64) {
	s.c.t.Helper()
	var last *outcome[Applied]
	for range 3 * compactStepBudget {
		last = s.propose(put("a", 0))
	}
	s.c.until("all is applied", last.come)
	if last.err != nil {
		s.c.t.Fatal(last.err)
	}
	return s.member.machine.Revision()
}

func TestMember_APhysicalCompactionIsAnsweredWhenItIsCarriedOut(t *testing.T) {
	c := newCluster(t, 1, nil)
	l := c.leader()
	revision := fill(l)
	logical := l.propose(compact(revision-1, false))
	c.until("the answer", logical.come)
	if to := l.member.CompactedTo(); to == revision-1 {
		t.Error("the removal takes no time, so that nothing waits for it")
	}
	physical := l.propose(compact(revision, true))
	c.until("the answer", physical.come)
	if to := l.member.CompactedTo(); physical.err != nil || to != revision {
		t.Errorf("answered when all below %d of %d is removed, error %v", to, revision, physical.err)
	}
	if published, stored := l.member.Sizes(); published != stored || published > 1000 {
		t.Errorf("%d bytes are published, %d stored", published, stored)
	}
	// One that fails has nothing to wait for.
	again := l.propose(compact(revision, true))
	c.until("the answer", again.come)
	if again.err == nil {
		t.Error("a revision was compacted twice")
	}
}

// A view in use, such as a snapshot's on its way to another member, holds on to what was compacted.
func TestMember_APhysicalCompactionDoesNotWaitForViewsForEver(t *testing.T) {
	c := newCluster(t, 1, nil)
	l := c.leader()
	revision := fill(l)
	held := l.member.AcquireView()
	physical := l.propose(compact(revision, true))
	c.until("the answer", physical.come)
	if to := l.member.CompactedTo(); physical.err != nil || to >= revision {
		t.Errorf("removed below %d of %d with a view in use, error %v", to, revision, physical.err)
	}
	held.Release()
	c.run(time.Second)
	if published, stored := l.member.Sizes(); l.member.CompactedTo() != revision || published != stored || published > 1000 {
		t.Errorf("a second after the view was released: compacted to %d of %d, %d bytes are published, %d stored", l.member.CompactedTo(), revision, published, stored)
	}
}

func TestMember_StoppingAnswersAPhysicalCompaction(t *testing.T) {
	c := newCluster(t, 1, nil)
	l := c.leader()
	revision := fill(l)
	held := l.member.AcquireView()
	defer held.Release()
	physical := l.propose(compact(revision, true))
	c.until("it is applied", func() bool { return l.member.machine.CompactRevision() == revision })
	stopped := false
	l.turn(func() { l.member.Stop(func() { stopped = true }) })
	c.until("the member has stopped", func() bool { return stopped })
	if physical.times != 1 || physical.err != nil {
		t.Errorf("answered %d times, error %v", physical.times, physical.err)
	}
}

// A snapshot that is of no use any more arrives in a turn in which a compaction is found to be committed, and then a watch is attached in the
// same turn: by then the compaction is published.
func TestMember_AWatchIsAttachedInATurnThatHasApplied(t *testing.T) {
	c := newCluster(t, 3, nil)
	l, f := c.elect(1), c.seat(3)
	l.apply(put("a", 0))
	l.apply(put("b", 0))
	c.until("the follower is level", level(l, f))
	before, _ := f.member.machine.Applied()
	// The follower gets the entry, but is not told that it is committed: that is kept for later.
	var told []byte
	c.lose = func(_, to port.MemberID, payload []byte) bool {
		msg := &raftpb.Message{}
		if to != f.id || payload[0] != kindRaft || proto.Unmarshal(payload[1:], msg) != nil || msg.GetCommit() <= before {
			return false
		}
		told = payload
		return true
	}
	all := l.propose(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("c")}})
	compacted := l.propose(compact(4, false))
	c.until("the compaction is applied", func() bool { return all.come() && compacted.come() })
	c.until("the follower could know it", func() bool { return told != nil })
	heard := 0
	f.turn(func() {
		f.member.Receive(l.id, told)
		old := &raftpb.Message{Type: raftpb.MsgSnap.Enum(), From: new(uint64(l.id)), To: new(uint64(f.id)), Term: new(uint64(1)),
			Snapshot: &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(1)), Term: new(uint64(1)), ConfState: f.member.confState}}}
		f.member.transfers.Arrived(&transfer.Offer{From: l.id, Message: old}, &transfer.Arrived{})
		f.member.transfers.Settle()
		f.member.Watch().Attach(watch.NewInterest([]byte("c"), nil, func() { heard++ }), 4)
	})
	if applied, _ := f.member.machine.Applied(); applied <= before {
		t.Fatal("nothing was applied in that turn")
	}
	if heard != 1 {
		t.Errorf("the watch was woken %d times", heard)
	}
}
