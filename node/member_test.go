package node

import (
	"errors"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/watch"
)

// Watchers on a member that receives a snapshot hear of the events that it brings, and of nothing when nothing is new.
func TestMember_TellsItsHubOfNewViews(t *testing.T) {
	c := newCluster(t, 3, keepLittle)
	l := c.elect(1)
	l.apply(put("a", 0))
	f := c.seat(3)
	c.run(time.Second)
	woken := 0
	i := watch.NewInterest([]byte("a"), nil, func() { woken++ })
	other := watch.NewInterest([]byte("z"), nil, func() {})
	f.turn(func() {
		f.member.Watch().Attach(i, f.member.served.Load().view.Revision()+1)
		f.member.Watch().Attach(other, f.member.served.Load().view.Revision()+1)
	})
	c.run(time.Second)
	if _, marked := i.Take(); marked || woken > 0 {
		t.Fatalf("nothing is new, but marked: %v, woken %d times", marked, woken)
	}
	l.apply(put("a", 0))
	c.run(time.Second)
	if from, marked := i.Take(); from != 3 || !marked || woken != 1 {
		t.Fatalf("an event at revision 3: from %d, marked %v, woken %d times", from, marked, woken)
	}
	f.cut = true
	for range 100 {
		l.apply(put("b", 0))
		l.apply(put("a", 0))
	}
	c.run(AwaitedTicks * tick)
	l.apply(put("a", 0))
	c.run(time.Second)
	installed := f.member.writer.marked.index
	f.cut = false
	c.until("the member has caught up", func() bool { return f.member.machine.Revision() == l.member.machine.Revision() })
	if f.member.writer.marked.index == installed {
		t.Fatal("it caught up without a snapshot")
	}
	if from, marked := i.Take(); from < 4 || from > 5 || !marked || woken != 2 {
		t.Errorf("after the snapshot: from %d, marked %v, woken %d times", from, marked, woken)
	}
	if _, marked := other.Take(); !marked {
		t.Error("a snapshot may hide what happened, and marks everybody")
	}
	c.run(time.Second)
	if _, marked := i.Take(); marked || woken != 2 {
		t.Errorf("nothing is new, but marked: %v, woken %d times", marked, woken)
	}
}

// A client that guesses the revision of what it puts may compact it away in the same batch. Watches of other keys have missed nothing, on
// any member.
func TestMember_ACompactionInABatchMarksOnlyWhomTheBatchConcerns(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	l.apply(put("a", 0))
	c.run(time.Second)
	type watchers struct{ a, b, other *watch.Interest }
	var all []watchers
	for _, s := range c.seats {
		w := watchers{
			watch.NewInterest([]byte("a"), nil, func() {}), watch.NewInterest([]byte("b"), []byte("c"), func() {}),
			watch.NewInterest([]byte("c"), []byte("d"), func() {}),
		}
		all = append(all, w)
		s.turn(func() {
			for _, i := range []*watch.Interest{w.a, w.b, w.other} {
				s.member.Watch().Attach(i, 3)
			}
		})
	}
	compact := func(revision int64) *pb.InternalRaftRequest {
		return &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: revision}}
	}
	var last *outcome[Applied]
	l.turn(func() {
		for _, r := range []*pb.InternalRaftRequest{put("a", 0), put("b", 0), compact(4), put("b", 0), put("a", 0), compact(6), put("a", 0)} {
			last = new(outcome[Applied])
			l.member.Propose(r, last.is(c))
		}
	})
	c.until("the batch is applied", last.come)
	c.run(time.Second)
	for i, s := range c.seats {
		if v := s.member.served.Load().view; v.Revision() != 7 || v.CompactRevision() != 6 {
			t.Fatalf("member %d is at revision %d, compacted %d", s.id, v.Revision(), v.CompactRevision())
		}
		for name, w := range map[string]struct {
			interest *watch.Interest
			want     int64
		}{"a": {all[i].a, 3}, "b": {all[i].b, 4}, "other": {all[i].other, 0}} {
			if from, _ := w.interest.Take(); from != w.want {
				t.Errorf("member %d, %s is marked from %d, want %d", s.id, name, from, w.want)
			}
		}
	}
}

// What an answer leads to is begun at once, not with the next tick.
func TestMember_RequestsMadeInAnswersNeedNoTick(t *testing.T) {
	c := newCluster(t, 1, nil)
	l := c.elect(1)
	c.run(time.Second)
	start, steps := c.now, 0
	var next func(Applied, error)
	next = func(_ Applied, err error) {
		if err != nil {
			t.Fatal(err)
		}
		if steps++; steps < 20 {
			l.member.Propose(put("a", 0), next)
		}
	}
	l.turn(func() { l.member.Propose(put("a", 0), next) })
	c.until("twenty in a row are applied", func() bool { return steps == 20 })
	if d := c.since(start); d > tick {
		t.Errorf("it took %v", d)
	}
}

func TestMember_EndsWhenItIsRemoved(t *testing.T) {
	for _, id := range []uint64{1, 3} {
		c := newCluster(t, 3, nil)
		l := c.elect(1)
		l.turn(func() {
			kind := raftpb.ConfChangeRemoveNode
			if err := l.member.raft.ProposeConfChange(&raftpb.ConfChange{Type: &kind, NodeId: &id}); err != nil {
				t.Fatal(err)
			}
		})
		gone := c.seats[id-1]
		c.until("the removed member ends", func() bool { return gone.failed != nil })
		if !errors.Is(gone.failed, ErrRemoved) {
			t.Fatalf("member %d failed with %v", id, gone.failed)
		}
		if o := gone.propose(put("a", 0)); !errors.Is(o.err, ErrStopped) {
			t.Errorf("a removed member answers %v", o.err)
		}
		for _, s := range c.seats {
			if s != gone && s.failed != nil {
				t.Errorf("member %d failed with %v", s.id, s.failed)
			}
		}
		c.run(5 * time.Second)
		c.seat(2).apply(put("a", 0))
		// Started again, it ends again.
		gone.failed = nil
		gone.kill()
		gone.open()
		c.run(time.Minute)
		if !errors.Is(gone.failed, ErrRemoved) {
			t.Errorf("started again, member %d failed with %v", id, gone.failed)
		}
	}
}

// Requests that may be forwarded survive a change of leader; they are applied once.
func TestMember_ProposalsOutliveALeader(t *testing.T) {
	c := newCluster(t, 3, nil)
	old := c.elect(1)
	old.cut = true
	fromOld := old.propose(put("a", 0))
	fromOther := c.seat(2).propose(put("b", 0))
	c.until("the follower's is applied", fromOther.come)
	old.cut = false
	c.until("the old leader's is applied", fromOld.come)
	if fromOld.err != nil || fromOther.err != nil {
		t.Fatal(fromOld.err, fromOther.err)
	}
	c.run(5 * time.Second)
	for _, s := range c.seats {
		r, err := s.member.served.Load().view.Range(&pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("c")})
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range r.Response().GetKvs() {
			if kv.GetVersion() != 1 {
				t.Errorf("member %d: %s was put %d times", s.id, kv.GetKey(), kv.GetVersion())
			}
		}
		if r.Count != 2 {
			t.Errorf("member %d has %d keys", s.id, r.Count)
		}
	}
}

// A start and an election go by without lines that would alarm a person.
func TestMember_LogsNothingThatOnlyRaftUnderstands(t *testing.T) {
	const noise = "missing from unstable log"
	c := newCluster(t, 3, nil)
	l := c.elect(2)
	for range 3 {
		l.propose(put("a", 0)) // one is written, the others wait and are then written together
	}
	c.run(time.Second)
	quiet := 0
	for _, s := range c.seats {
		for level, lines := range s.lines {
			for _, line := range lines {
				switch {
				case level > port.Info:
					t.Errorf("member %d, level %d: %s", s.id, level, line)
				case strings.Contains(line, noise) && level > port.Debug:
					t.Errorf("member %d: %s", s.id, line)
				case strings.Contains(line, noise):
					quiet++
				}
			}
		}
	}
	if quiet == 0 {
		t.Error("raft did not say it: the text has changed")
	}
}
