package node

import (
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
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
