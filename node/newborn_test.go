package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
)

// holds says whether the member's published state has a key.
func (s *seat) holds(key string) bool {
	r, err := s.member.served.Load().view.Range(&pb.RangeRequest{Key: []byte(key)})
	return err == nil && r.Response().GetCount() == 1
}

// newlyBorn says that it is not decided yet how the member's log begins.
func (s *seat) newlyBorn() bool { return s.member.newborn != nil }

func TestNewborn_AWipedMemberThatIsKnownIsRefused(t *testing.T) {
	for _, cut := range []bool{false, true} {
		c := newCluster(t, 3, nil)
		l := c.elect(1)
		for i := range 10 {
			l.apply(put(fmt.Sprint(i), 0))
		}
		wiped := c.seat(3)
		wiped.apply(put("of its own", 0)) // so that all know it, and not only the leader
		c.run(time.Second)
		old := wiped.wipe()
		// Whoever of the others it can reach.
		c.lose = func(from, to port.MemberID, _ []byte) bool {
			return cut && (from == 1 && to == 3 || from == 3 && to == 1)
		}
		wiped.open()
		c.until("the wiped member ends", func() bool { return wiped.failed != nil })
		if !errors.Is(wiped.failed, ErrBootstrapped) || !strings.Contains(wiped.failed.Error(), "member 3 has already been bootstrapped") {
			t.Fatalf("it ends with: %v", wiped.failed)
		}
		// With the same empty disk it is refused again, and with its own it is as before.
		wiped.kill()
		wiped.open()
		c.until("the wiped member ends again", func() bool { return wiped.failed != nil })
		l.apply(put("later", 0))
		wiped.kill()
		wiped.disk = old
		wiped.open()
		c.lose = nil
		c.until("the member has what was written meanwhile", func() bool { return wiped.failed != nil || wiped.holds("later") })
		if wiped.failed != nil {
			t.Fatalf("with its own disk it ends with: %v", wiped.failed)
		}
	}
}

func TestNewborn_ALateMemberJoins(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		c := newSeats(t, 3, func(c *Config) {
			if snapshot {
				c.CatchUpEntries, c.CatchUpBytes = 2, 1
			}
		})
		c.seat(1).open()
		c.seat(2).open()
		l := c.elect(1)
		for i := range 10 {
			l.apply(put(fmt.Sprint(i), 0))
		}
		late := c.seat(3)
		late.open()
		c.until("the late member has it all", func() bool { return late.holds("9") })
		if inc := late.member.incarnation; inc < 10 {
			t.Errorf("its incarnation is %d, which an earlier life may have had", inc)
		}
		l.kill()
		c.elect(2)
		c.seat(3).apply(put("with two", 0))
		late.kill()
		late.open()
		c.seat(2).apply(put("again", 0))
		c.until("it is a member as any other", func() bool { return late.holds("again") })
	}
}

func TestNewborn_FoundersStartInAnyOrder(t *testing.T) {
	for _, gap := range []time.Duration{0, 50 * time.Millisecond, 300 * time.Millisecond, 1500 * time.Millisecond, 20 * time.Second} {
		for _, n := range []int{2, 3, 4, 5} {
			for _, preVote := range []bool{true, false} {
				c := newSeats(t, n, func(c *Config) { c.DisablePreVote = !preVote })
				for _, s := range c.seats {
					s.open()
					c.run(gap)
				}
				for _, s := range c.seats {
					s.apply(put(fmt.Sprint("by ", s.id), 0))
				}
				if gap == 0 && c.since(port.Instant(time.Hour)) > 3*time.Second {
					t.Errorf("%d members that start together serve after %v", n, c.since(port.Instant(time.Hour)))
				}
				for _, s := range c.seats {
					if s.failed != nil {
						t.Errorf("member %d of %d, started %v apart, failed: %v", s.id, n, gap, s.failed)
					}
				}
			}
		}
	}
}

// A minority that never comes does not keep the others from founding the cluster, and a minority alone founds nothing.
func TestNewborn_AMajorityFounds(t *testing.T) {
	for _, n := range []int{2, 3, 4, 5} {
		c := newSeats(t, n, nil)
		for _, s := range c.seats[:n/2] {
			s.open()
		}
		c.run(time.Minute)
		for _, s := range c.seats[:n/2] {
			if !s.newlyBorn() || s.failed != nil {
				t.Fatalf("%d of %d members have founded a cluster", n/2, n)
			}
			if got := len(s.lines[port.Warn]); got < 1 || got > 4 {
				t.Errorf("in a minute of waiting it warned %d times: %q", got, s.lines[port.Warn])
			}
		}
		c.seats[n/2].open()
		c.seats[0].apply(put("a", 0))
	}
}

// A member that lost its disk and one that lags are a majority, but not of those who have what was acknowledged.
func TestNewborn_AWipedMemberAndALaggardElectNobody(t *testing.T) {
	for _, known := range []bool{true, false} {
		c := newCluster(t, 3, nil)
		l := c.elect(1)
		c.run(time.Second)
		laggard, wiped := c.seat(2), c.seat(3)
		laggard.cut = true
		for i := range 10 {
			l.apply(put(fmt.Sprint(i), 0))
		}
		if known {
			wiped.apply(put("of its own", 0))
		}
		l.kill()
		laggard.kill() // what it had heard of in this run is forgotten
		old := wiped.wipe()
		laggard.cut = false
		laggard.open()
		wiped.open()
		c.run(time.Minute)
		if wiped.failed != nil || !wiped.newlyBorn() || laggard.member.leader != 0 {
			t.Fatalf("the laggard's leader is %d, the wiped member failed with %v", laggard.member.leader, wiped.failed)
		}
		l.open()
		c.until("what was acknowledged is there", func() bool { return laggard.holds("9") })
		if !known {
			c.until("the wiped member is let in", func() bool { return wiped.holds("9") })
			continue
		}
		c.until("the wiped member is refused", func() bool { return wiped.failed != nil })
		wiped.kill()
		wiped.disk = old
		wiped.open()
		wiped.apply(put("more", 0))
	}
}

// A wiped member that nobody knows is let in by a leader. It may have voted, and acknowledged what only it and a dead leader had: none of that
// may count against it.
func TestNewborn_AWipedMemberThatIsForgottenIsLetIn(t *testing.T) {
	c := newCluster(t, 5, nil)
	l := c.elect(1)
	for i := range 10 {
		l.apply(put(fmt.Sprint(i), 0))
	}
	wiped := c.seat(5)
	wiped.wipe()
	for _, s := range c.seats[:4] {
		s.kill()
	}
	for _, s := range c.seats[:4] {
		s.open()
	}
	wiped.open()
	if !wiped.newlyBorn() {
		t.Fatal("it has not asked")
	}
	c.until("it has it all", func() bool { return wiped.failed != nil || wiped.holds("9") })
	if wiped.failed != nil {
		t.Fatal(wiped.failed)
	}
	hs := wiped.member.entries.hardState
	if hs.GetTerm() <= firstTerm || hs.GetVote() != 5 {
		t.Errorf("it began in term %d with a vote for %x: it must have none left to give in that term", hs.GetTerm(), hs.GetVote())
	}
}

// What a leader vouches by is an entry that came after the question and that a majority has without the newborn. An older one would not do: the
// newborn may have acknowledged entries after it, and forgotten them.
func TestVouch_ByAnEntryThatWasCommittedAfterTheQuestion(t *testing.T) {
	c := newSeats(t, 5, nil)
	for _, s := range c.seats[:4] {
		s.open()
	}
	l := c.elect(1)
	l.apply(put("a", 0))
	c.run(time.Second)
	var vouched []uint64
	appends := true
	c.lose = func(from, to port.MemberID, payload []byte) bool {
		if a, err := decodeNewbornAnswer(payload); to == 5 && payload[0] == kindNewbornAnswer && err == nil && a.vouched != 0 {
			vouched = append(vouched, a.vouched)
		}
		// All but one follower get no entries: the leader and that one are no majority.
		return !appends && from == 1 && to != 2 && isAppend(payload)
	}
	appends = false
	last := l.member.writer.lastIndex
	ask := func(life uint64) { l.turn(func() { l.member.Receive(5, newbornQuestion{life: life}.encode()) }) }
	ask(7)
	c.run(300 * time.Millisecond)
	ask(7)
	if l.member.role != Leader || len(vouched) > 0 {
		t.Fatalf("role %v; without a majority it vouches by %d", l.member.role, vouched)
	}
	appends = true
	c.until("it vouches", func() bool { return len(vouched) > 0 })
	if vouched[0] <= last {
		t.Errorf("it vouches by entry %d, but when it was asked, the log reached up to entry %d", vouched[0], last)
	}
	ask(7)
	if vouched[len(vouched)-1] != vouched[0] {
		t.Errorf("asked again by the same run, it vouches by %d", vouched)
	}
	ask(8)
	c.run(time.Second)
	if vouched[len(vouched)-1] <= vouched[0] {
		t.Errorf("asked by another run, it vouches by %d", vouched)
	}
}

// A newborn takes no part in raft, whatever it is sent.
func TestNewborn_IsSilentUntilItIsDecided(t *testing.T) {
	c := newSeats(t, 3, nil)
	c.seat(1).open()
	c.seat(2).open()
	c.elect(1)
	late := c.seat(3)
	c.lose = func(from, to port.MemberID, payload []byte) bool {
		kind := payload[0]
		if from == 3 && kind != kindNewborn && kind != kindNewbornAnswer {
			t.Errorf("a newborn sends a message of kind %s", MessageKind(payload))
		}
		return to == 3 && kind == kindNewbornAnswer // nobody answers
	}
	late.open()
	c.run(30 * time.Second)
	c.elect(2)
	c.run(30 * time.Second)
	if !late.newlyBorn() || late.member.writer.log.Syncs() > 2 {
		t.Errorf("it was decided, or written, without an answer")
	}
	c.lose = nil
	c.until("it is decided", func() bool { return !late.newlyBorn() })
}

func TestNewborn_AnswersToAnEarlierRunDoNotCount(t *testing.T) {
	c := newSeats(t, 3, nil)
	var answers []func()
	c.lose = func(from, to port.MemberID, payload []byte) bool {
		if payload[0] == kindNewbornAnswer && to == 3 {
			p := slices.Clone(payload)
			answers = append(answers, func() { c.deliver(from, to, p) })
		}
		return false
	}
	for _, s := range c.seats {
		s.open()
	}
	l := c.elect(1)
	l.apply(put("a", 0))
	if len(answers) < 2 {
		t.Fatalf("member 3 got %d answers", len(answers))
	}
	wiped := c.seat(3)
	wiped.wipe()
	c.lose = func(from, to port.MemberID, _ []byte) bool { return to == 3 }
	wiped.open()
	for _, again := range answers {
		again()
	}
	c.run(10 * time.Second)
	if !wiped.newlyBorn() {
		t.Error("it believed answers that were for an earlier run")
	}
}

func TestDecide_FoundsOnlyWhereThereCantHaveBeenALeader(t *testing.T) {
	fresh, candidate, lives := newbornAnswer{}, newbornAnswer{term: 5}, newbornAnswer{term: 5, written: true}
	for _, x := range []struct {
		size    int
		answers []newbornAnswer
		founds  bool // after a while
	}{
		{2, nil, false},
		{2, []newbornAnswer{fresh}, true},
		{2, []newbornAnswer{candidate}, true},
		{2, []newbornAnswer{lives}, false},
		{3, nil, false},
		{3, []newbornAnswer{fresh}, true},
		{3, []newbornAnswer{fresh, fresh}, true},
		{3, []newbornAnswer{candidate}, false},
		{3, []newbornAnswer{candidate, fresh}, true},
		{3, []newbornAnswer{candidate, candidate}, false},
		{3, []newbornAnswer{fresh, lives}, false},
		{4, []newbornAnswer{fresh}, false},
		{4, []newbornAnswer{fresh, candidate}, true},
		{4, []newbornAnswer{candidate, candidate}, false},
		{4, []newbornAnswer{fresh, fresh}, true},
		{5, []newbornAnswer{fresh}, false},
		{5, []newbornAnswer{fresh, fresh}, true},
		{5, []newbornAnswer{fresh, fresh, candidate, candidate}, true},
		{5, []newbornAnswer{fresh, candidate, candidate}, false},
		{5, []newbornAnswer{fresh, fresh, fresh, lives}, false},
	} {
		c := newSeats(t, x.size, nil)
		s := c.seat(1)
		s.open()
		for i, a := range x.answers {
			a.life = s.member.config.Life
			s.turn(func() { s.member.Receive(port.MemberID(i+2), a.encode()) })
		}
		for _, peer := range c.seats[1:] {
			peer.cut = true
		}
		c.run(3 * time.Second)
		if founded := !s.newlyBorn(); founded != x.founds {
			t.Errorf("of %d members, with the answers %+v: founds the cluster: %v", x.size, x.answers, founded)
		}
		if x.founds {
			if hs := s.member.entries.hardState; len(x.answers) > 0 && slices.Contains(x.answers, candidate) && (hs.GetTerm() != 5 || hs.GetVote() != 1) {
				t.Errorf("with the answers %+v it begins in term %d, with a vote for %d", x.answers, hs.GetTerm(), hs.GetVote())
			}
		}
	}
}

// What would have raft panic ends the member, with words for people.
func TestMember_EndsWhereLogsDoNotFitTogether(t *testing.T) {
	send := func(c *cluster, to *seat, msg *raftpb.Message) {
		msg.To = new(uint64(to.id))
		to.turn(func() { to.member.Receive(port.MemberID(msg.GetFrom()), encodeRaft(msg)) })
	}
	for name, x := range map[string]func(c *cluster, l, f *seat) *seat{
		"a heartbeat commits what was never here": func(c *cluster, l, f *seat) *seat {
			send(c, f, &raftpb.Message{Type: raftpb.MsgHeartbeat.Enum(), From: new(uint64(l.id)), Term: new(l.member.term), Commit: new(uint64(1000))})
			return f
		},
		"a follower is ahead of its leader": func(c *cluster, l, f *seat) *seat {
			send(c, l, &raftpb.Message{Type: raftpb.MsgAppResp.Enum(), From: new(uint64(f.id)), Term: new(l.member.term), Index: new(uint64(1000))})
			return l
		},
		"raft gives up": func(c *cluster, l, f *seat) *seat {
			at := f.member.writer.lastIndex
			for i := range uint64(2) { // the second one replaces what the first one has committed
				send(c, f, &raftpb.Message{Type: raftpb.MsgApp.Enum(), From: new(uint64(l.id)), Term: new(l.member.term), Index: new(at + i), LogTerm: new(l.member.term),
					Commit: new(at + 5), Entries: []*raftpb.Entry{{Index: new(at + 1), Term: new(l.member.term - i)}}})
			}
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 3, nil)
			l := c.elect(1)
			l.apply(put("a", 0))
			c.run(time.Second)
			ended := x(c, l, c.seat(2))
			if !errors.Is(ended.failed, ErrDataLost) {
				t.Fatalf("failed with %v", ended.failed)
			}
			t.Log(ended.failed)
			if !strings.Contains(ended.failed.Error(), "put the right data directory back") {
				t.Error("it does not say what to do")
			}
			c.run(10 * time.Second)
			for _, s := range c.seats {
				if s != ended {
					s.apply(put("b", 0)) // the others go on
				}
			}
		})
	}
}

// A message that raft can't read is dropped.
func TestMember_DropsAHeartbeatAnswerThatIsTooShort(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	l.turn(func() {
		l.member.Receive(2, encodeRaft(&raftpb.Message{Type: raftpb.MsgHeartbeatResp.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(l.member.term),
			Context: []byte{1, 2, 3}}))
	})
	l.apply(put("a", 0))
}

func TestNewbornMessages_AreReadBack(t *testing.T) {
	q := newbornQuestion{life: 1<<63 + 7}
	if got, err := decodeNewbornQuestion(q.encode()); err != nil || got != q {
		t.Errorf("%+v becomes %+v, %v", q, got, err)
	}
	for _, a := range []newbornAnswer{{}, {life: 1, knows: true, term: 2}, {life: 1 << 60, written: true, term: 1 << 50, vouched: 1 << 40}} {
		if got, err := decodeNewbornAnswer(a.encode()); err != nil || got != a {
			t.Errorf("%+v becomes %+v, %v", a, got, err)
		}
		if _, err := decodeNewbornAnswer(a.encode()[:newbornAnswerBytes-1]); err == nil {
			t.Error("a message that ends early is believed")
		}
	}
}

func FuzzNewbornMessages(f *testing.F) {
	f.Add(newbornQuestion{life: 1}.encode())
	f.Add(newbornAnswer{life: 1, knows: true, written: true, term: 2, vouched: 3}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := decodeNewbornQuestion(b); err == nil && len(b) == newbornQuestionBytes && b[0] == kindNewborn && string(q.encode()) != string(b) {
			t.Errorf("% x is read as %+v", b, q)
		}
		if a, err := decodeNewbornAnswer(b); err == nil && len(b) == newbornAnswerBytes && b[0] == kindNewbornAnswer && b[9] < 4 && string(a.encode()) != string(b) {
			t.Errorf("% x is read as %+v", b, a)
		}
	})
}
