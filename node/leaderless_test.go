package node

import (
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/detcd/detcd/statemachine"
)

// What waits for a leader in vain is answered in etcd's words, which differ from call to call; and a request that never left the member has no effect, even
// when there is a leader again.
func TestLeaderless_WhatIsAnswered(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.elect(1)
	for _, s := range c.seats {
		s.cut = true
	}
	s := c.seat(2)
	c.until("member 2 knows no leader", func() bool { return s.member.leader == 0 })
	revision := s.member.machine.Revision()
	proposed, renewed, left := s.propose(put("a", 0)), s.renew(7), &outcome[LeaseTTL]{}
	read := &outcome[*statemachine.View]{}
	s.turn(func() {
		s.member.Linearize(read.is(c))
		s.member.TimeToLive(7, left.is(c))
	})
	c.until("all are answered", func() bool { return proposed.come() && renewed.come() && read.come() && left.come() })
	if !errors.Is(proposed.err, ErrNotProposed) || !CertainlyNotApplied(proposed.err) {
		t.Errorf("a proposal: %v", proposed.err)
	}
	if !errors.Is(read.err, rpctypes.ErrGRPCTimeout) {
		t.Errorf("a read: %v", read.err)
	}
	if !errors.Is(renewed.err, rpctypes.ErrGRPCNoLeader) || !errors.Is(left.err, rpctypes.ErrGRPCNoLeader) {
		t.Errorf("a renewal: %v; a question: %v", renewed.err, left.err)
	}
	if st := s.member.Status(); st.ReadsFailed != 1 || st.ProposalsFailed != 1 {
		t.Errorf("%d failed reads and %d failed proposals are counted, want one each", st.ReadsFailed, st.ProposalsFailed)
	}
	for _, s := range c.seats {
		s.cut = false
	}
	c.leader()
	c.run(20 * time.Second)
	if got := s.member.machine.Revision(); got != revision {
		t.Errorf("revision %d, want %d: what was said not to have been proposed was applied", got, revision)
	}
}

// A request that was sent to a leader may be applied one day, whatever became of that leader.
func TestLeaderless_WhatWasSentMayBeApplied(t *testing.T) {
	c := newCluster(t, 3, nil)
	old := c.elect(1)
	s := c.seat(2)
	forwarded := s.propose(put("a", 0))
	own := old.propose(put("b", 0))
	for _, s := range c.seats {
		s.cut = true
	}
	c.until("both are answered", func() bool { return forwarded.come() && own.come() })
	for _, o := range []*outcome[Applied]{forwarded, own} {
		if o.err == nil || CertainlyNotApplied(o.err) || !errors.Is(o.err, rpctypes.ErrGRPCTimeoutDueToLeaderFail) {
			t.Errorf("%v", o.err)
		}
	}
	for _, s := range c.seats {
		s.cut = false
	}
	c.leader()
}

// A leader that was held up notes that its heartbeats left late.
func TestHeartbeats_LateOnesAreCounted(t *testing.T) {
	c := newCluster(t, 3, nil)
	s := c.elect(1)
	c.run(time.Second)
	if n := s.member.Status().LateHeartbeats; n != 0 {
		t.Errorf("%d late heartbeats of a leader that nothing held up", n)
	}
	s.paused = true
	c.run(5 * s.member.config.TickInterval)
	s.resume()
	c.run(time.Second)
	if n := s.member.Status().LateHeartbeats; n != 1 {
		t.Errorf("%d late heartbeats, want 1", n)
	}
}
