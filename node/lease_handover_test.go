package node

import (
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// While leadership is being handed over raft takes no proposals. A renewal that needs one waits for time to pass; it does not have the
// member take turn after turn.
func TestLease_ARenewalWaitsWhileLeadershipIsHandedOver(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	l.apply(grant(7, 60))
	checkpoint := &pb.LeaseCheckpointRequest{Checkpoints: []*pb.LeaseCheckpoint{{ID: 7, Remaining_TTL: 30}}}
	l.apply(&pb.InternalRaftRequest{LeaseCheckpoint: checkpoint})
	l = c.elect(2) // it has loaded the checkpoint
	c.seat(3).cut = true
	l.turn(func() { l.member.raft.TransferLeader(3) })
	own, asked := l.renew(7), c.seat(1).renew(7)
	begun, turns := c.now, 0
	for ; !own.come() || !asked.come(); turns++ {
		if turns == 10_000 || !c.step(c.now.Add(time.Minute)) {
			t.Fatalf("no answer after %v and %d turns", c.since(begun), turns)
		}
	}
	for _, o := range []*outcome[int64]{own, asked} {
		if o.value != 60 || o.err != nil {
			t.Errorf("TTL %d, error %v", o.value, o.err)
		}
	}
	if held, _ := l.lease(7); held.Remaining != 0 {
		t.Errorf("%d s remain by the log", held.Remaining)
	}
}
