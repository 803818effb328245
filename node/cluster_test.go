package node

import (
	"crypto/rand"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal/crashdisk"
	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
)

// cluster is a small world for a few members, in which a test decides who hears whom, and when time passes. Everything happens in the order
// of its time, one event a turn.
type cluster struct {
	t      *testing.T
	config Config
	now    port.Instant
	events []event
	// sequence orders events of the same instant.
	sequence uint64
	seats    []*seat
	lives    uint64 // of all seats
	// lose says whether a message is lost; nil: none is. It may keep a copy of it.
	lose func(from, to port.MemberID, payload []byte) bool
	// tell hears what members do, in words; nil: nobody does.
	tell func(s *seat, line string)
}

type event struct {
	at       port.Instant
	sequence uint64
	seat     *seat
	life     int
	do       func()
}

// seat is a member's place, over its lives. It is the member's ports and observer, too.
type seat struct {
	Ignore
	c      *cluster
	id     port.MemberID
	disk   *crashdisk.Disk
	life   int
	member *Member // nil: it is down
	// paused members do nothing; what comes to them waits.
	paused  bool
	held    []event
	cut     bool           // from all others
	known   format.Version // the newest that its next member reads; 0: all
	formats port.Formats   // as its member says
	// greeted are the lives of others, with what they say, that its member was told of.
	greeted map[port.MemberID]greeting
	entries []entry
	failed  error
	lines   map[port.Level][]string // logged
}

// entry is a committed entry as a member told its observer.
type entry struct {
	index, term uint64
	batch       *statemachine.Envelope // nil: none
}

// greeting is what a life of a member says.
type greeting struct {
	life    int
	formats port.Formats
}

const (
	hop  = time.Millisecond     // what a message takes
	work = 3 * time.Millisecond // what a piece of work in a lane takes
)

// newCluster opens n members with the ids 1 to n.
func newCluster(t *testing.T, n int, change func(*Config)) *cluster {
	t.Helper()
	c := newSeats(t, n, change)
	for _, s := range c.seats {
		s.open()
	}
	return c
}

// newSeats makes places for n members with the ids 1 to n; none of them is opened.
func newSeats(t *testing.T, n int, change func(*Config)) *cluster {
	t.Helper()
	// Raft draws its election timeouts from there. Tests of this package do not run in parallel.
	reader := rand.Reader
	t.Cleanup(func() { rand.Reader = reader })
	rand.Reader = io.Reader(mathrand.NewChaCha8([32]byte{1}))
	c := &cluster{t: t, config: Config{ClusterID: 1, SegmentBytes: 1 << 20}, now: port.Instant(time.Hour)}
	for i := range n {
		id := port.MemberID(i + 1)
		c.config.Bootstrap = append(c.config.Bootstrap, Peer{ID: id, Name: fmt.Sprint(id), PeerURLs: []string{fmt.Sprintf("http://%d", id)}})
	}
	if change != nil {
		change(&c.config)
	}
	for _, p := range c.config.Bootstrap {
		s := &seat{c: c, id: p.ID, disk: crashdisk.New()}
		c.seats = append(c.seats, s)
	}
	return c
}

func (s *seat) open() {
	s.c.t.Helper()
	if err := s.tryOpen(); err != nil {
		s.c.t.Fatalf("member %d: %v", s.id, err)
	}
}

// tryOpen opens the member, or says why it does not start.
func (s *seat) tryOpen() error {
	s.life++
	config := s.c.config
	config.ID, config.KnownFormat = s.id, s.known
	s.greeted = make(map[port.MemberID]greeting)
	s.c.lives++
	config.Life = s.c.lives
	m, err := Open(config, Ports{Clock: s, Network: s, WALDisk: s.disk, SnapshotDisk: s.disk, WALLane: s, SnapshotLane: s, ReachLane: s, Logger: s, Observer: s})
	if err != nil {
		return err
	}
	s.member, s.failed = m, nil
	m.EndTurn()
	return nil
}

// kill ends the member's life; what it has written stays.
func (s *seat) kill() {
	s.member, s.held, s.paused = nil, nil, false
	s.life++
	s.disk = s.disk.Kill()
}

// wipe ends the member's life and empties its disk. It returns the disk that it had.
func (s *seat) wipe() *crashdisk.Disk {
	s.kill()
	old := s.disk
	s.disk = crashdisk.New()
	return old
}

func (c *cluster) seat(id port.MemberID) *seat { return c.seats[id-1] }

// schedule has do called as a turn of a seat's present member.
func (s *seat) schedule(d time.Duration, do func()) {
	c := s.c
	c.sequence++
	e := event{at: c.now.Add(d), sequence: c.sequence, seat: s, life: s.life, do: do}
	at, _ := slices.BinarySearchFunc(c.events, e, func(a, b event) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return int(a.sequence) - int(b.sequence)
	})
	c.events = slices.Insert(c.events, at, e)
}

// turn runs do as one of the member's turns, now.
func (s *seat) turn(do func()) {
	do()
	s.member.EndTurn()
}

// step makes the next event happen, if there is one before the time is up.
func (c *cluster) step(until port.Instant) bool {
	if len(c.events) == 0 || c.events[0].at > until {
		return false
	}
	e := c.events[0]
	c.events = c.events[1:]
	c.now = e.at
	switch {
	case e.seat.life != e.life || e.seat.member == nil:
	case e.seat.paused:
		e.seat.held = append(e.seat.held, e)
	default:
		e.seat.turn(e.do)
	}
	return true
}

// run lets time pass.
func (c *cluster) run(d time.Duration) {
	until := c.now.Add(d)
	for c.step(until) {
	}
	c.now = until
}

// until lets time pass until something is so, for a minute at most.
func (c *cluster) until(what string, so func() bool) {
	c.t.Helper()
	for end := c.now.Add(time.Minute); !so(); {
		if !c.step(end) {
			c.t.Fatalf("in a minute, this did not come true: %s", what)
		}
	}
}

// resume lets a paused member go on with all that came meanwhile.
func (s *seat) resume() {
	s.paused = false
	for _, e := range s.held {
		s.schedule(0, e.do)
	}
	s.held = nil
}

// elect makes a member the leader, and waits until it has applied an entry of its term.
func (c *cluster) elect(id port.MemberID) *seat {
	c.t.Helper()
	s, old := c.seat(id), c.leader()
	if old != s {
		old.turn(func() { old.member.raft.TransferLeader(uint64(id)) })
	}
	c.until(fmt.Sprintf("member %d leads", id), s.leads)
	return s
}

// leads says that the member leads and keeps the deadlines of leases.
func (s *seat) leads() bool {
	return s.member != nil && s.member.role == Leader && s.member.leases.lessor != nil
}

// leader waits for a leader that is not cut off, and returns it.
func (c *cluster) leader() (l *seat) {
	c.t.Helper()
	c.until("there is a leader", func() bool {
		for _, s := range c.seats {
			if s.leads() && !s.cut && !s.paused {
				l = s
			}
		}
		return l != nil
	})
	return l
}

// outcome is what came of something that was asked of a member.
type outcome[T any] struct {
	times int
	value T
	err   error
	at    port.Instant
}

func (o *outcome[T]) is(c *cluster) func(T, error) {
	return func(v T, err error) { o.times, o.value, o.err, o.at = o.times+1, v, err, c.now }
}

func (o *outcome[T]) come() bool { return o.times > 0 }

// propose begins a proposal.
func (s *seat) propose(r *pb.InternalRaftRequest) *outcome[Applied] {
	o := &outcome[Applied]{}
	s.turn(func() { s.member.Propose(r, o.is(s.c)) })
	return o
}

// apply makes a proposal and waits until it is applied.
func (s *seat) apply(r *pb.InternalRaftRequest) Applied {
	s.c.t.Helper()
	o := s.propose(r)
	s.c.until("a proposal is applied", o.come)
	if o.err != nil {
		s.c.t.Fatalf("%v: %v", r, o.err)
	}
	return o.value
}

func (s *seat) renew(id int64) *outcome[int64] {
	o := &outcome[int64]{}
	s.turn(func() { s.member.Renew(id, o.is(s.c)) })
	return o
}

func (s *seat) timeToLive(id int64) LeaseTTL {
	s.c.t.Helper()
	o := &outcome[LeaseTTL]{}
	s.turn(func() { s.member.TimeToLive(id, o.is(s.c)) })
	s.c.until("the time of a lease is told", o.come)
	if o.err != nil {
		s.c.t.Fatal(o.err)
	}
	return o.value
}

// has says whether the member's published state holds a lease.
func (s *seat) has(id int64) bool {
	_, ok := s.lease(id)
	return ok
}

func (s *seat) lease(id int64) (statemachine.Lease, bool) {
	return s.member.served.Load().view.Lease(id)
}

func grant(id, ttl int64) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: id, TTL: ttl}}
}

func revoke(id int64) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: id}}
}

func put(key string, lease int64) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Value: []byte("v"), Lease: lease}}
}

// Now implements port.Clock.
func (s *seat) Now() port.Instant { return s.c.now }

// After implements port.Clock.
func (s *seat) After(d time.Duration, fn func()) { s.schedule(d, fn) }

// Send implements port.Network.
func (s *seat) Send(to port.MemberID, _ port.Class, payload []byte) {
	c := s.c
	if c.lose != nil && c.lose(s.id, to, payload) || s.cut || c.seat(to).cut {
		return
	}
	c.deliver(s.id, to, payload)
}

// deliver has a message arrive.
func (c *cluster) deliver(from, to port.MemberID, payload []byte) {
	d := c.seat(to)
	d.schedule(hop, func() {
		if !d.cut && d.meets(c.seat(from)) && d.member.failed == nil {
			d.member.Receive(from, payload)
		}
	})
}

// meets has both members hear each other's greeting, and says whether they may have dealings with each other.
func (s *seat) meets(o *seat) bool {
	s.hear(o)
	if o.member != nil && !o.paused {
		o.hear(s)
	}
	return s.formats.Needs <= o.formats.Reads.Newest && o.formats.Needs <= s.formats.Reads.Newest
}

// hear has the member told what another one says, unless it was told already.
func (s *seat) hear(o *seat) {
	if g := (greeting{o.life, o.formats}); s.greeted[o.id] != g {
		s.greeted[o.id] = g
		s.member.Greeted(o.id, g.formats)
	}
}

// SetFormats implements port.Network.
func (s *seat) SetFormats(f port.Formats) { s.formats = f }

// SetPeers implements port.Network.
func (s *seat) SetPeers([]port.Peer) {}

// Run implements port.Lane.
func (s *seat) Run(job func(), done func()) {
	s.schedule(work, func() {
		job()
		done()
	})
}

// Log implements port.Logger.
func (s *seat) Log(level port.Level, msg string, _ ...any) {
	if s.lines == nil {
		s.lines = make(map[port.Level][]string)
	}
	s.lines[level] = append(s.lines[level], msg)
}

// Committed implements Observer.
func (s *seat) Committed(committed LogEntry) {
	e := entry{index: committed.Index, term: committed.Term}
	if b, err := statemachine.Decode(committed.Data, format.Newest); err == nil {
		e.batch = b
	}
	s.entries = append(s.entries, e)
}

// RoleChanged implements Observer.
func (s *seat) RoleChanged(now Standing) {
	switch {
	case now.Role == Leader:
		s.say("leads in term %d", now.Term)
	case now.Role == Candidate:
		s.say("asks for votes")
	case now.Leader != 0:
		s.say("follows %d in term %d", now.Leader, now.Term)
	default:
		s.say("knows of no leader, term %d", now.Term)
	}
}

// CatchingUp implements Observer.
func (s *seat) CatchingUp(follower port.MemberID, snapshot bool) {
	what := "old entries of its log"
	if snapshot {
		what = "a snapshot"
	}
	s.say("sends %d %s", follower, what)
}

// SnapshotSent implements Observer.
func (s *seat) SnapshotSent(follower port.MemberID, there bool) {
	if there {
		s.say("hears that %d has the snapshot", follower)
	} else {
		s.say("gives up sending %d a snapshot", follower)
	}
}

// Installed implements Observer.
func (s *seat) Installed(state StateMark) { s.say("takes over a snapshot of entry %d", state.Index) }

// Failed implements Observer.
func (s *seat) Failed(err error) {
	s.failed = err
	s.say("can't go on: %v", err)
}

func (s *seat) say(format string, args ...any) {
	if s.c.tell != nil {
		s.c.tell(s, fmt.Sprintf(format, args...))
	}
}

// revokes returns the committed entries, as this member saw them, that end a lease.
func (s *seat) revokes(id int64) (found []entry) {
	for _, e := range s.entries {
		if e.batch != nil && slices.Contains(endsLeases(e.batch.Requests), id) {
			found = append(found, e)
		}
	}
	return found
}

// isAppend says that a message brings entries of the log.
func isAppend(payload []byte) bool {
	msg := &raftpb.Message{}
	return payload[0] == kindRaft && proto.Unmarshal(payload[1:], msg) == nil && len(msg.GetEntries()) > 0
}
