package sim

import (
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/sim/prng"
)

// LagSetup is what a run has of a follower that misses something under steady load, once all faults have ended.
type LagSetup struct {
	// Rounds is how often a follower is away; 0: never in this run.
	Rounds  int
	Writers int
	Pause   time.Duration // between an answer and a writer's next request
	// ValueBytes is the size of what is written.
	ValueBytes int
	// Slowness is how slow the disk of the follower is, in percent.
	Slowness int
}

// pickLag draws the lagging of a follower, in some runs, and bounds of the log so small that the follower misses more than they hold.
func (c *Setup) pickLag() {
	s := prng.New(c.Seed, "lag")
	if few := s.Permille(250); !few || c.Members < 3 {
		return
	}
	c.Lag = LagSetup{Rounds: 1 + s.Intn(2), Writers: 2 + s.Intn(4), Pause: s.Duration(time.Millisecond, 20*time.Millisecond),
		ValueBytes: 300 + s.Intn(1500), Slowness: 100 + s.Intn(300)}
	c.TightDisks = false
	n := &c.Node
	n.CatchUpEntries, n.CatchUpBytes, n.RetainBytes = uint64(1+s.Intn(10)), s.Between(1, 4<<10), s.Between(1, 4<<10)
	n.SegmentBytes, n.SnapshotEntries, n.ChunkBytes = s.Between(4<<10, 12<<10), uint64(10+s.Intn(50)), int(s.Between(1<<10, 3<<10))
}

const (
	// levelWithin is how long after its return the follower must be level. Writers make small requests one after the other, so less is written
	// in that time than the follower can be sent.
	levelWithin = 30 * time.Second
	// levelSlack is how old the leader's state may be that a level follower has.
	levelSlack = time.Second
	// levelAfter is how long the follower is watched after that: no second snapshot may follow.
	levelAfter = 3 * time.Second
)

// lag is one time that a follower is away.
type lag struct {
	run       *Run
	chance    *prng.Source
	follower  *seat
	leader    *resident
	term      uint64
	writing   int  // writers that are not done
	over      bool // writers are to end
	back      bool // the follower is back
	snapshots int  // begun since the follower is back
	logs      int
	marks     []lagMark
}

// lagMark is what the leader had applied at a time.
type lagMark struct {
	at    time.Duration
	index uint64
}

// lags holds the cluster to this promise: under steady load, a follower that was away is level soon after its return, with at most one snapshot.
func (r *Run) lags() {
	chance := r.world.Stream("lag course")
	for range r.setup.Lag.Rounds {
		if r.failure != nil {
			return
		}
		l := &lag{run: r, chance: chance}
		if !l.begin() {
			return
		}
		r.lagging = l
		l.course()
		l.end()
		r.lagging = nil
		r.recovers("after a follower was away")
	}
}

// begin finds the leader and a follower.
func (l *lag) begin() bool {
	r := l.run
	s := r.leader()
	if s == nil {
		return false
	}
	l.leader, l.term = s.now, s.now.member.Status().Term
	n := l.chance.Intn(len(r.seats))
	for i := range r.seats {
		if f := r.seats[(n+i)%len(r.seats)]; f != s && f.now != nil {
			l.follower = f
		}
	}
	return l.follower != nil
}

// course lets a follower be away while others write, and then waits until it is level.
func (l *lag) course() {
	r, f := l.run, l.follower
	l.writing = r.setup.Lag.Writers
	for range l.writing {
		l.write(r.addClient())
	}
	f.host.SetSlowness(r.setup.Lag.Slowness)
	away, long, how := l.chance.Duration(200*time.Millisecond, 3*time.Second), l.chance.Permille(600), l.chance.Intn(3)
	if long {
		// So long that the leader does not wait for it any more.
		away += node.AwaitedTicks * r.setup.Node.TickInterval * 11 / 10
	}
	r.story.say("%s is away for %v", f.name, away)
	comeBack := l.leave(how)
	r.advance(r.world.Now()+away, nil)
	l.back = true
	r.story.say("%s is back", f.name)
	comeBack()
	level := r.advance(r.world.Now()+levelWithin, l.level)
	if r.failure != nil {
		return
	}
	if !level && l.steady() {
		r.fail(&Failure{Promise: "catching up", Story: fmt.Sprintf("%s was away for %v and is not level %v after it was back: %s",
			f.name, away, levelWithin, r.positions())})
		return
	}
	r.advance(r.world.Now()+levelAfter, nil)
	if l.steady() {
		r.counts.Lags++
		r.counts.LagSnapshots += uint64(min(l.snapshots, 1))
	}
	if l.snapshots > 1 && l.steady() {
		r.fail(&Failure{Promise: "catching up", Story: fmt.Sprintf("%s was away for %v and was then sent %d snapshots: one has to be enough",
			f.name, away, l.snapshots)})
	}
}

// leave takes the follower away: held still, cut off, or down. The function returned brings it back.
func (l *lag) leave(how int) (comeBack func()) {
	r, f := l.run, l.follower
	switch how {
	case 0:
		f.host.Pause()
		epoch := f.host.Epoch()
		return func() { f.resume(epoch) }
	case 1:
		r.isolate(f, true)
		return func() { r.isolate(f, false) }
	default:
		f.crash(l.chance.Permille(500))
		return func() { f.boot(false) }
	}
}

// write has a client of its own write to the leader until the lag is over. Now and then it compacts, so that the state stays small.
func (l *lag) write(c *client) {
	c.at = l.leader.seat
	key := fmt.Appendf(nil, "f/%d", c.id)
	value := make([]byte, l.run.setup.Lag.ValueBytes)
	c.done = func(bool) {
		if l.over || l.run.failure != nil {
			l.writing--
			c.done = func(bool) {}
			return
		}
		pause := l.run.setup.Lag.Pause
		if !l.back {
			pause *= 5
		}
		l.run.world.After(pause, clientKind, func() {
			if c.audits++; c.audits%20 == 0 && c.seen > 10 {
				c.send(&pb.CompactionRequest{Revision: c.seen - 10}, "")
				return
			}
			copy(value, fmt.Sprintf("lag %d.%d ", c.id, c.audits))
			c.send(&pb.PutRequest{Key: key, Value: append([]byte(nil), value...)}, "f")
		})
	}
	c.done(true)
}

// level says whether the follower has what the leader had a moment ago.
func (l *lag) level() bool {
	r := l.run
	if r.leader() == nil || l.follower.now == nil {
		return false
	}
	now := r.world.Now()
	if n := len(l.marks); n == 0 || now-l.marks[n-1].at >= levelSlack/10 {
		l.marks = append(l.marks, lagMark{now, r.leader().now.member.Status().Applied})
	}
	own := l.follower.now.member.Status().Applied
	for i := len(l.marks) - 1; i >= 0 && now-l.marks[i].at <= levelSlack; i-- {
		if own >= l.marks[i].index {
			return true
		}
	}
	return false
}

// steady says whether one leader has led all the time. Another one begins to bring the follower level from the start, so nothing is promised then.
func (l *lag) steady() bool {
	return l.leader.seat.now == l.leader && l.leader.role == node.Leader && l.leader.term == l.term
}

// end lets the writers end.
func (l *lag) end() {
	l.over = true
	l.run.advance(l.run.world.Now()+serveWithin, func() bool { return l.writing == 0 })
	l.follower.host.SetSlowness(100)
}

// catchingUp counts what a follower is sent when it is back.
func (l *lag) catchingUp(follower port.MemberID, snapshot bool) {
	switch {
	case l == nil || !l.back || follower != l.follower.peer.ID:
	case snapshot:
		l.snapshots++
	default:
		l.logs++
	}
}
