package node

import (
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/statemachine"
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

// Where all leases are renewed at once, and all have a checkpoint to be taken back, these share requests: each by itself would use up what
// clients may propose.
func TestLease_CheckpointsAreTakenBackTogether(t *testing.T) {
	const n = maxCheckpointsPerRequest + 100
	c := newCluster(t, 3, func(c *Config) { c.MaxPendingRequests = 2 * n })
	l := c.elect(1)
	checkpoint := &pb.LeaseCheckpointRequest{}
	l.turn(func() {
		for id := range int64(n) {
			l.member.Propose(grant(id+1, 600), func(Applied, error) {})
			checkpoint.Checkpoints = append(checkpoint.Checkpoints, &pb.LeaseCheckpoint{ID: id + 1, Remaining_TTL: 300})
		}
		l.member.Propose(&pb.InternalRaftRequest{LeaseCheckpoint: checkpoint}, func(Applied, error) {})
	})
	l = c.elect(2)
	renewed := &outcome[int64]{}
	l.entries = nil
	l.turn(func() {
		for id := range int64(n) {
			l.member.Renew(id+1, renewed.is(c))
		}
	})
	c.until("all are renewed", func() bool { return renewed.times == n })
	if renewed.value != 600 || renewed.err != nil {
		t.Errorf("TTL %d, error %v", renewed.value, renewed.err)
	}
	requests := 0
	for _, e := range l.entries {
		if e.batch != nil {
			requests += len(e.batch.Requests)
		}
	}
	if requests != 2 {
		t.Errorf("%d requests went into the log", requests)
	}
}

// Clients that read as much as a member takes do not keep leases from being renewed.
func TestLease_RenewalsDoNotWaitForReads(t *testing.T) {
	const reads = 3
	c := newCluster(t, 3, func(c *Config) { c.MaxPendingRequests = reads })
	l := c.elect(1)
	l.apply(grant(7, 60))
	refused := 0
	var read func()
	read = func() {
		l.member.Linearize(func(v *statemachine.View, err error) {
			if err != nil {
				refused++
				return
			}
			v.Release()
			read()
		})
	}
	l.turn(func() {
		for range reads + 1 {
			read()
		}
	})
	o := l.renew(7)
	c.run(tick / 2)
	if o.value != 60 || o.err != nil || refused == 0 {
		t.Errorf("TTL %d, error %v; %d reads were refused", o.value, o.err, refused)
	}
}

// All clients of a cluster may come with the renewals of all their leases at once; that is no reason to turn them away.
func TestLease_AllMayBeRenewedAtOnce(t *testing.T) {
	c := newCluster(t, 1, nil)
	l := c.elect(1)
	l.apply(grant(7, 60))
	renewed := &outcome[int64]{}
	const n = 3 * defaultMaxPendingRequests
	l.turn(func() {
		for range n {
			l.member.Renew(7, renewed.is(c))
		}
	})
	c.until("all are answered", func() bool { return renewed.times == n })
	if got := l.member.leases.counts.Renewed; got != n || renewed.err != nil {
		t.Errorf("renewed %d times, error %v", got, renewed.err)
	}
}
