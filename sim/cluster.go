package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/sim/prng"
	"github.com/detcd/detcd/sim/world"
)

// seat is one member's place in the cluster, over all its lives.
type seat struct {
	run  *Run
	peer node.Peer
	host *world.Host
	name string
	// now is the member while it lives; nil in between.
	now *resident

	lives     int
	diskFault bool         // a disk fault is in force
	hurts     uint64       // disk operations that had failed on demand when this life began
	comeback  bool         // a start is scheduled
	harm      *harm        // damage that the next start is to find; nil: none
	older     *world.Image // of the log, some time ago; nil: none yet
	absent    bool         // left out of the recovery
	stopping  bool
	boots     *prng.Source
	runs      *prng.Source // draws the number of each run (node.Config.Life)
	losses    *prng.Source // draws what the operator does when a member refuses to start
	diskState
	build build
}

// resident is a member in one life: it takes the host's events to the member, and what the member tells its observer to the checks.
type resident struct {
	seat   *seat
	member *node.Member
	role   node.Role
	term   uint64
	failed bool
	// removed is the revision below which the member has removed everything.
	removed int64
}

var (
	_ world.Process = (*resident)(nil)
	_ node.Observer = (*resident)(nil)
)

func (r *Run) addSeats() {
	peers, cluster := r.setup.bootstrap()
	r.setup.Node.ClusterID = cluster
	r.setup.Node.Bootstrap = peers
	for i, p := range peers {
		s := &seat{run: r, peer: p, host: r.world.AddHost(p.ID, r.setup.Drift[i]), name: p.Name, boots: r.world.Stream("boots " + p.Name),
			runs: r.world.Stream("runs " + p.Name), losses: r.world.Stream("losses " + p.Name)}
		s.host.Disk("wal").Tight(r.setup.TightDisks)
		if r.setup.Joined > 0 {
			s.host.JoinTurns(r.setup.Joined)
		}
		r.seats = append(r.seats, s)
	}
	r.world.Net().SetWeather(r.setup.Fair)
}

// boot starts the member. With mayDie its host may die in the middle of the start. Where that happens, or the disk fails, another start follows
// later.
func (s *seat) boot(mayDie bool) {
	if s.host.Up() || s.absent {
		return
	}
	s.comeback = false
	s.host.Begin()
	s.lives++
	s.hurts = s.hurtsNow()
	res := &resident{seat: s}
	cfg := s.run.setup.Node
	cfg.ID, cfg.Life, cfg.KnownFormat = s.peer.ID, s.runs.Uint64(), s.build.known
	setup := &s.run.setup
	ports := node.Ports{
		Clock:        s.host.Clock(),
		Network:      s.host.Network(),
		WALDisk:      s.host.Disk("wal"),
		SnapshotDisk: s.host.Disk("snap"),
		WALLane:      s.host.Lane(setup.DiskLeast, setup.DiskMost),
		SnapshotLane: s.host.Lane(setup.DiskLeast, 4*setup.DiskMost),
		ReachLane:    s.host.Lane(setup.DiskLeast, setup.DiskMost),
		HistoryLane:  s.host.Lane(setup.DiskLeast, setup.DiskMost),
		Logger:       logger{s},
		Observer:     res,
	}
	fuse := -1
	if n, die := s.boots.Intn(12), s.boots.Permille(150); die && mayDie {
		fuse = n
	}
	var err error
	open := func() error {
		res.member, err = node.Open(cfg, ports)
		return err
	}
	if s.bootHarmed(open) {
		s.host.Crash(false)
		s.bootSoon()
		return
	}
	alive := res.member != nil || s.host.BurnFuse(fuse, func() { _ = open() })
	switch {
	case !alive:
		s.run.story.say("%s dies while it starts", s.name)
		s.crash(s.boots.Permille(500))
		s.bootSoon()
	case err != nil:
		s.host.Crash(false)
		if !s.tooOld(err) && !s.excused(err) {
			s.run.fail(&Failure{Promise: "recoverability", Story: fmt.Sprintf("%s can't start: %v", s.name, err)})
			return
		}
		s.run.story.say("%s can't start: %v", s.name, err)
		s.bootSoon()
	default:
		s.run.story.say("%s starts, life %d", s.name, s.lives)
		s.now = res
		s.host.Attach(res)
		s.host.Do(0, world.Boot, func() {}) // a first turn, whatever comes
	}
}

// excused says whether the member may fail with this error: its disk must have refused it something in this life. Corruption, and a log that is
// missing or another's, are never excused here: whoever damages a disk notes it as harm.
func (s *seat) excused(err error) bool {
	return s.hurtsNow() > s.hurts && !errors.Is(err, wal.ErrCorrupt) && !errors.Is(err, node.ErrLogMissing) && !errors.Is(err, wal.ErrIdentity)
}

func (s *seat) hurtsNow() (n uint64) {
	for _, name := range diskNames {
		n += s.host.Disk(name).Hurts()
	}
	return n
}

// bootSoon schedules a start.
func (s *seat) bootSoon() {
	if s.comeback {
		return
	}
	s.comeback = true
	wait := s.boots.Duration(50*time.Millisecond, 2*time.Second)
	if s.boots.Permille(300) {
		wait = s.boots.Duration(time.Second, 20*time.Second)
	}
	if s.run.healed {
		wait = s.boots.Duration(0, 500*time.Millisecond)
	}
	s.run.world.After(wait, world.Fault, func() { s.boot(!s.run.healed) })
}

// crash ends the member's life at once. Without power, its disks lose what they please of the unsynced.
func (s *seat) crash(power bool) {
	if !s.host.Up() {
		return
	}
	s.now, s.stopping = nil, false
	s.host.Crash(power)
}

// Receive implements world.Process.
func (r *resident) Receive(from port.MemberID, payload []byte) {
	r.seat.reads(payload)
	r.member.Receive(from, payload)
}

// Greeted implements world.Process.
func (r *resident) Greeted(from port.MemberID, f port.Formats) { r.member.Greeted(from, f) }

// EndTurn implements world.Process.
func (r *resident) EndTurn() {
	r.member.EndTurn()
	if to := r.member.CompactedTo(); to != r.removed {
		r.removed = to
		r.seat.run.checks.removed(r)
	}
}

// Committed implements node.Observer.
func (r *resident) Committed(e node.LogEntry) {
	r.seat.applies(e.Index)
	r.seat.run.checks.committed(r, e)
}

// Applied implements node.Observer.
func (r *resident) Applied(s node.StateMark) {
	r.seat.run.world.Note(world.Applied, uint64(r.seat.peer.ID), s.Index, s.Hash)
	r.seat.run.checks.state(r, s, false)
}

// Installed implements node.Observer.
func (r *resident) Installed(s node.StateMark) {
	r.seat.run.world.Note(world.Applied, uint64(r.seat.peer.ID), s.Index, s.Hash)
	r.seat.run.counts.Installed++
	r.seat.applies(s.Index)
	r.seat.run.story.say("%s takes over a snapshot of entry %d", r.seat.name, s.Index)
	r.seat.run.checks.state(r, s, true)
	for _, w := range r.seat.run.watchers {
		if w.stream != nil && w.stream.res == r {
			w.stream.unsure()
		}
	}
}

// CatchingUp implements node.Observer.
func (r *resident) CatchingUp(follower port.MemberID, snapshot bool) {
	run := r.seat.run
	if snapshot {
		run.counts.SnapshotsSent++
	} else {
		run.counts.LogsSent++
	}
	run.lagging.catchingUp(follower, snapshot)
}

// SnapshotSent implements node.Observer.
func (r *resident) SnapshotSent(port.MemberID, bool) {}

// RoleChanged implements node.Observer.
func (r *resident) RoleChanged(s node.Standing) {
	r.seat.run.story.say("%s is %v in term %d, leader %s", r.seat.name, s.Role, s.Term, r.seat.run.nameOf(s.Leader))
	if s.Role == node.Leader {
		r.seat.run.checks.leads(r, s.Term)
		if r.role != node.Leader {
			r.seat.run.counts.Leaders++
			if r.seat.run.onLeader != nil {
				r.seat.run.onLeader(r)
			}
		}
	}
	r.seat.run.lostVote.turns(r, s.Term, s.Role)
	r.role, r.term = s.Role, s.Term
}

// Failed implements node.Observer.
func (r *resident) Failed(err error) {
	s := r.seat
	s.run.story.say("%s fails: %v", s.name, err)
	r.failed = true
	refused, outdated, tooOld := s.forgetful(err), s.outdated(err), s.tooOld(err)
	if !refused && !outdated && !tooOld && !s.excused(err) {
		s.run.fail(&Failure{Promise: "availability", Story: fmt.Sprintf("%s failed without a fault of its disk: %v", s.name, err)})
		return
	}
	switch {
	case outdated:
		s.run.counts.FoundOut++
	case tooOld:
	case !refused:
		s.run.counts.Failed++
	}
	s.run.world.After(0, world.Fault, func() {
		if s.now == r {
			s.crash(false) // the process exits
			if refused {
				s.refused(s.losses)
			}
			s.bootSoon()
		}
	})
}

func (r *Run) nameOf(id port.MemberID) string {
	for _, s := range r.seats {
		if s.peer.ID == id {
			return s.name
		}
	}
	return "none"
}

// leader returns the seat of a member that leads, as far as it knows; nil if there is none.
func (r *Run) leader() *seat {
	var best *seat
	var term uint64
	for _, s := range r.seats {
		if s.now != nil && s.now.role == node.Leader {
			if t := s.now.member.Status().Term; best == nil || t > term {
				best, term = s, t
			}
		}
	}
	return best
}

// logger takes the members' log lines to the story.
type logger struct{ seat *seat }

// Log implements port.Logger.
func (l logger) Log(level port.Level, msg string, kv ...any) {
	if !l.seat.run.story.telling {
		return
	}
	l.seat.run.story.logLine(l.seat.name, level, msg, kv)
}
