package node

import (
	"errors"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
)

const tick = defaultTickInterval

// since returns the time that has passed.
func (c *cluster) since(i port.Instant) time.Duration { return c.now.Sub(i) }

// What was asked of a leader in vain is asked of the next one.
func TestLease_QuestionsGoOnToTheNextLeader(t *testing.T) {
	c := newCluster(t, 3, nil)
	old := c.elect(1)
	old.apply(grant(7, 60))
	old.cut = true
	fromOld, fromOther := old.renew(7), c.seat(2).renew(7)
	c.leader()
	c.until("the other member's question is answered", fromOther.come)
	old.cut = false
	c.until("the deposed leader's question is answered", fromOld.come)
	for _, o := range []*outcome[int64]{fromOld, fromOther} {
		if o.value != 60 || o.err != nil || o.times != 1 {
			t.Errorf("TTL %d, error %v, %d answers", o.value, o.err, o.times)
		}
	}
}

// A leader that is elected again is asked again what it did not answer in its former term.
func TestLease_QuestionsOutliveALeadersTerm(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	l.apply(grant(7, 60))
	c.lose = func(from, _ port.MemberID, payload []byte) bool {
		msg := &raftpb.Message{}
		return from != 1 && payload[0] == kindRaft && proto.Unmarshal(payload[1:], msg) == nil &&
			(msg.GetType() == raftpb.MsgPreVote || msg.GetType() == raftpb.MsgVote)
	}
	l.cut = true
	o := l.renew(7)
	c.until("it leads no more", func() bool { return !l.leads() })
	l.cut = false
	c.until("it leads again", l.leads)
	c.run(tick)
	if o.value != 60 || o.err != nil || o.times != 1 {
		t.Errorf("TTL %d, error %v, %d answers", o.value, o.err, o.times)
	}
}

// A bound request that was left over for whatever reason does not get into the log of another term.
func TestLease_ABoundRequestOfAnotherTermIsDropped(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	l.apply(grant(7, 60))
	o := &outcome[Applied]{}
	l.turn(func() {
		l.member.proposals.window.AddFirst(c.now, proposal{request: revoke(7), term: l.member.term - 1}, 0, o.is(c))
	})
	c.run(time.Second)
	if !errors.Is(o.err, errTermOver) || !l.has(7) {
		t.Errorf("answered %d times, error %v; the lease lives: %v", o.times, o.err, l.has(7))
	}
}

// A paused leader that wakes up finds leases expired that live on elsewhere. It must not end them, nor may its proposal find a way round
// through the new leader.
func TestLease_ExpiryIsBoundToItsTerm(t *testing.T) {
	c := newCluster(t, 3, nil)
	forwards := 0
	c.lose = func(_, _ port.MemberID, payload []byte) bool {
		if payload[0] == kindForward {
			if b, err := statemachine.Decode(payload[1:], format.Newest); err == nil && len(endsLeases(b.Requests)) > 0 {
				forwards++
			}
		}
		return false
	}
	old := c.elect(1)
	old.apply(grant(7, 5))
	old.paused = true
	l := c.leader()
	for range 8 {
		o := l.renew(7)
		c.until("the renewal is answered", o.come)
		if o.value != 5 {
			t.Fatalf("TTL %d, error %v", o.value, o.err)
		}
		c.run(time.Second)
	}
	old.resume()
	c.run(500 * time.Millisecond)
	if old.leads() {
		t.Fatal("the paused leader still leads: nothing was tried")
	}
	for range 3 {
		o := l.renew(7)
		c.until("the renewal is answered", o.come)
		c.run(3 * time.Second)
	}
	if !l.has(7) || len(l.revokes(7)) > 0 || forwards > 0 {
		t.Errorf("lease lives: %v; ends in the log: %d, forwarded: %d", l.has(7), len(l.revokes(7)), forwards)
	}
}

// The end of a lease that was proposed and not committed is proposed anew by the next leader only, when its own deadline has passed.
func TestLease_AnEndThatIsLostIsMadeAnewByTheNextLeader(t *testing.T) {
	c := newCluster(t, 3, nil)
	old := c.elect(1)
	old.apply(grant(7, 2))
	c.lose = func(from, _ port.MemberID, payload []byte) bool { return from == 1 && isAppend(payload) }
	c.until("the end is proposed", func() bool { return old.member.relays.ends(7) })
	if o := old.renew(7); true {
		c.until("a lease that is ending is not renewed", o.come)
		if o.value != 0 || o.err != nil {
			t.Errorf("a lease that is ending: TTL %d, error %v", o.value, o.err)
		}
	}
	if at := old.timeToLive(7); !at.Found || at.Remaining != 0 {
		t.Errorf("a lease that is ending: %+v", at)
	}
	old.cut = true
	c.leader()
	c.lose, old.cut = nil, false
	promoted := c.now
	c.until("the lease ends", func() bool { return !c.seat(2).has(7) })
	// Its TTL, as nothing of it was checkpointed, and the time that an election takes.
	if d := c.since(promoted); d < 3*time.Second {
		t.Errorf("the next leader gave it only %v", d)
	}
	if n := old.member.Status().PendingProposals; n != 0 {
		t.Errorf("the deposed leader holds on to %d proposals of its term", n)
	}
	c.run(10 * time.Second)
	for _, s := range c.seats {
		if ends := s.revokes(7); len(ends) != 1 || ends[0].batch.Proposer == 1 {
			t.Errorf("member %d saw these ends: %v", s.id, ends)
		}
	}
}

// The id of a lease that a client ends may be granted again while the old lease's deadline passes.
func TestLease_ANewLeaseIsNotEndedForTheOldOne(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	l.apply(grant(7, 2))
	c.run(1900 * time.Millisecond)
	c.lose = func(from, _ port.MemberID, payload []byte) bool { return from == 1 && isAppend(payload) }
	first, second := c.seat(1).propose(revoke(7)), c.seat(1).propose(grant(7, 30))
	c.run(500 * time.Millisecond)
	c.lose = nil
	c.until("both are applied", func() bool { return first.come() && second.come() })
	if first.err != nil || second.err != nil {
		t.Fatal(first.err, second.err)
	}
	c.run(10 * time.Second)
	if !l.has(7) {
		t.Error("the new lease is gone")
	}
}

// An alarm that refuses the end of leases keeps them; when it is gone, they end.
func TestLease_ARefusedEndIsTriedAgain(t *testing.T) {
	c := newCluster(t, 1, nil)
	l := c.elect(1)
	l.apply(grant(7, 2))
	alarm := func(action pb.AlarmRequest_AlarmAction) *pb.InternalRaftRequest {
		return &pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{Action: action, MemberID: 1, Alarm: pb.AlarmType_CORRUPT}}
	}
	l.apply(alarm(pb.AlarmRequest_ACTIVATE))
	c.run(5 * time.Second)
	if !l.has(7) {
		t.Fatal("nothing was refused")
	}
	l.apply(alarm(pb.AlarmRequest_DEACTIVATE))
	c.run(2 * time.Second)
	if l.has(7) {
		t.Error("the lease does not end")
	}
}

func TestLease_RemainingTTLOutlivesLeaders(t *testing.T) {
	c := newCluster(t, 3, func(c *Config) { c.LeaseCheckpointInterval = 2 * time.Second })
	old := c.elect(1)
	old.apply(grant(7, 30))
	granted := c.now
	// Each leader checkpoints: what is left grows by no more than the time an election gives, and what is not yet written down.
	for leader := range port.MemberID(3) {
		l := c.elect(leader + 1)
		c.run(5 * time.Second)
		spent := int64(c.since(granted) / time.Second)
		if at := l.timeToLive(7); at.Granted != 30 || at.Remaining < 30-spent-1 || at.Remaining > 30-spent+2*int64(leader)+1 {
			t.Errorf("after %d s and %d changes: %+v", spent, leader, at)
		}
	}
	c.until("the lease ends", func() bool { return !c.seat(1).has(7) })
	if d := c.since(granted); d < 30*time.Second || d > 36*time.Second {
		t.Errorf("it ended after %v", d)
	}
}

// A renewal that is acknowledged holds under the next leader, too: a checkpoint from before it is taken back first.
func TestLease_RenewalTakesBackTheCheckpoint(t *testing.T) {
	for _, through := range []port.MemberID{1, 2} {
		c := newCluster(t, 3, func(c *Config) { c.LeaseCheckpointInterval = 2 * time.Second })
		l := c.elect(1)
		l.apply(grant(7, 10))
		c.until("a checkpoint is applied", func() bool { held, _ := c.seat(3).lease(7); return held.Remaining > 0 && held.Remaining < 7 })
		asked := c.now
		o := c.seat(through).renew(7)
		again := c.seat(3).renew(7)
		c.until("the renewals are answered", func() bool { return o.come() && again.come() })
		if o.value != 10 || again.value != 10 || o.err != nil || again.err != nil {
			t.Fatalf("TTL %d and %d, errors %v and %v", o.value, again.value, o.err, again.err)
		}
		if held, _ := l.lease(7); held.Remaining != 0 {
			t.Fatalf("acknowledged while the log has the lease at %d s", held.Remaining)
		}
		l.kill()
		next := c.leader()
		if at := next.timeToLive(7); at.Remaining < 10-int64(c.since(asked)/time.Second) {
			t.Errorf("the next leader gives it %+v", at)
		}
		c.run(10*time.Second - c.since(asked))
		if !next.has(7) {
			t.Error("it ended before the TTL that was acknowledged")
		}
	}
}

// A new leader may have what was acknowledged in its log, and not know yet that it is committed.
func TestLease_ANewLeaderCatchesUpBeforeItKeepsDeadlines(t *testing.T) {
	c := newCluster(t, 3, func(c *Config) { c.LeaseCheckpointInterval = 2 * time.Second })
	l := c.elect(1)
	l.apply(grant(7, 10))
	c.until("a checkpoint is applied", func() bool { held, _ := c.seat(3).lease(7); return held.Remaining > 0 && held.Remaining < 5 })
	appends := 0
	c.lose = func(from, _ port.MemberID, payload []byte) bool {
		if from != 1 || appends == 2 {
			return from == 1
		}
		if isAppend(payload) {
			appends++
		}
		return false
	}
	o := l.renew(7)
	c.until("the renewal is answered", o.come)
	for _, id := range []port.MemberID{2, 3} {
		if held, _ := c.seat(id).lease(7); held.Remaining == 0 {
			t.Fatalf("member %d has applied it: nothing is tried", id)
		}
	}
	asked := c.now
	l.kill()
	next := c.leader()
	c.run(10*time.Second - c.since(asked))
	if o.value != 10 || !next.has(7) {
		t.Errorf("acknowledged %d s; the lease lives: %v", o.value, next.has(7))
	}
}

// A checkpoint that is on its way when a renewal comes would be the last word of the log, if it were not taken back.
func TestLease_RenewalTakesBackACheckpointOnItsWay(t *testing.T) {
	c := newCluster(t, 3, func(c *Config) { c.LeaseCheckpointInterval = 2 * time.Second })
	l := c.elect(1)
	c.until("the format version is raised", func() bool { return l.member.machine.Format() == format.Newest })
	l.apply(grant(7, 10))
	c.lose = func(from, _ port.MemberID, payload []byte) bool { return from == 1 && isAppend(payload) }
	c.until("a checkpoint is proposed", func() bool {
		bound := false
		for f := range l.member.proposals.window.UnderWay {
			bound = f.First
		}
		return bound
	})
	o := l.renew(7)
	c.run(500 * time.Millisecond)
	if o.come() {
		t.Fatalf("acknowledged with a checkpoint on its way: TTL %d, error %v", o.value, o.err)
	}
	c.lose = nil
	c.until("the renewal is answered", o.come)
	if held, _ := l.lease(7); o.value != 10 || held.Remaining != 0 {
		t.Errorf("TTL %d, error %v, and in the log %d s", o.value, o.err, held.Remaining)
	}
}

// The network repeats and delays. A repeated question renews nothing, a late answer answers nothing.
func TestLease_RepeatedAndLateMessages(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	l.apply(grant(7, 30))
	var questions, answers [][]byte
	c.lose = func(from, to port.MemberID, payload []byte) bool {
		if payload[0] == kindLease {
			questions = append(questions, payload)
		}
		if payload[0] == kindLeaseAnswer {
			answers = append(answers, payload)
		}
		return false
	}
	f := c.seat(2)
	first := f.renew(7)
	c.until("the renewal is answered", first.come)
	c.run(4 * time.Second)
	if len(questions) != 1 || len(answers) != 1 {
		t.Fatalf("%d questions, %d answers", len(questions), len(answers))
	}
	// Repeated late: the answer is given again, and nothing is renewed.
	c.deliver(2, 1, questions[0])
	c.run(100 * time.Millisecond)
	if at := l.timeToLive(7); at.Remaining > 26 {
		t.Errorf("a repeated question renewed the lease: %+v", at)
	}
	if len(answers) != 2 || string(answers[0]) != string(answers[1]) {
		t.Errorf("%d answers, want the first again", len(answers))
	}
	// The next question moves the leader's memory on; then the first is of the past.
	second := f.renew(7)
	c.until("the second renewal is answered", second.come)
	third := f.renew(7)
	c.until("the third renewal is answered", third.come)
	c.run(4 * time.Second)
	n := len(answers)
	c.deliver(2, 1, questions[0])
	c.deliver(1, 2, answers[0])
	// Nor does a question for another term count.
	late, _ := decodeLeaseRequest(questions[len(questions)-1])
	late.term, late.sequence = late.term-1, late.sequence+1
	c.deliver(2, 1, late.encode())
	c.run(100 * time.Millisecond)
	if at := l.timeToLive(7); at.Remaining > 26 || len(answers) != n {
		t.Errorf("messages of the past: %+v, %d answers more", at, len(answers)-n)
	}
	for _, o := range []*outcome[int64]{first, second, third} {
		if o.times != 1 || o.value != 30 {
			t.Errorf("answered %d times, TTL %d", o.times, o.value)
		}
	}
}

// Lost questions and answers are made up for.
func TestLease_LostMessagesAreSentAgain(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	l.apply(grant(7, 60))
	lost := map[byte]int{}
	c.lose = func(_, _ port.MemberID, payload []byte) bool {
		if k := payload[0]; (k == kindLease || k == kindLeaseAnswer) && lost[k] == 0 {
			lost[k]++
			return true
		}
		return false
	}
	o := c.seat(2).renew(7)
	c.until("the renewal is answered", o.come)
	if o.value != 60 || lost[kindLease] != 1 || lost[kindLeaseAnswer] != 1 {
		t.Errorf("TTL %d, error %v, lost %v", o.value, o.err, lost)
	}
	if n := l.member.leases.counts.Renewed; n != 1 {
		t.Errorf("renewed %d times", n)
	}
}

func TestLease_QuestionsEndWithTheMember(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.elect(1).apply(grant(7, 60))
	f := c.seat(2)
	f.cut = true
	o := f.renew(7)
	f.turn(func() { f.member.Stop(func() {}) })
	if !o.come() || !errors.Is(o.err, ErrStopped) {
		t.Errorf("came: %v, error %v", o.come(), o.err)
	}
	if o = f.renew(7); !errors.Is(o.err, ErrStopped) {
		t.Errorf("after the stop: error %v", o.err)
	}
}

func TestLease_TooManyQuestionsAreRefused(t *testing.T) {
	c := newCluster(t, 3, func(c *Config) { c.MaxPendingLeaseAsks = 3 })
	c.elect(1)
	f := c.seat(2)
	f.cut = true
	for i := range 5 {
		if o := f.renew(7); (i >= 3) != errors.Is(o.err, rpctypes.ErrGRPCRequestTooManyRequests) {
			t.Errorf("question %d: error %v", i, o.err)
		}
	}
}

func TestLease_ManyMembersChooseIDsThatDiffer(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.elect(1)
	seen := map[int64]bool{}
	for round := range 2 {
		for _, s := range c.seats {
			for range 50 {
				id := s.apply(grant(0, 60)).Response.(*pb.LeaseGrantResponse).GetID()
				if id <= 0 || seen[id] {
					t.Fatalf("id %d", id)
				}
				seen[id] = true
			}
		}
		if round == 0 {
			s := c.seat(3)
			s.kill()
			s.open()
			c.run(time.Second)
		}
	}
}

func TestLease_ManyEndInOrderAndWithoutHaste(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	const n = 3 * maxExpiredPerTick
	l.turn(func() {
		for i := range int64(n) {
			l.member.Propose(grant(i+1, 2), func(Applied, error) {})
		}
	})
	c.until("they are granted", func() bool { return l.member.leases.counts.Granted == n })
	c.until("they ended", func() bool { return l.member.served.Load().view.LeaseCount() == 0 })
	next, largest := int64(1), 0
	for _, e := range l.entries {
		if e.batch == nil {
			continue
		}
		ends := endsLeases(e.batch.Requests)
		largest = max(largest, len(ends))
		for _, id := range ends {
			if id != next {
				t.Fatalf("lease %d ended where %d was to", id, next)
			}
			next++
		}
	}
	if next != n+1 || largest > maxExpiredPerTick {
		t.Errorf("%d ended, up to %d in one batch", next-1, largest)
	}
}
