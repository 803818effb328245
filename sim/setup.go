package sim

import (
	"strconv"
	"time"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/sim/prng"
	"github.com/detcd/detcd/sim/workload"
	"github.com/detcd/detcd/sim/world"
)

// Setup is all that a seed picks before anything happens.
type Setup struct {
	Seed    uint64
	Members int
	// Drift is how many microseconds a second each member's clock gains.
	Drift []int64
	// Node is every member's configuration, except for who it is.
	Node node.Config

	Clients  int
	Patience time.Duration // how long a client waits for an answer
	Think    time.Duration // mean time between an answer and the next request of a client
	OpsMost  int           // requests of all clients together: a history can be judged only if it has an end
	Mix      workload.Mix
	// Watchers, Holders (of leases), Lockers and Candidates (of an election) are further clients.
	Watchers, Holders, Lockers, Candidates int
	// LongLeases: leases outlive the leaders that grant them.
	LongLeases bool
	// ClientLoss is how many requests of 1,000, and how many answers, are lost between clients and members while there is trouble.
	ClientLoss int

	// Trouble is the time in which things break; all is mended after it.
	Trouble time.Duration
	Fair    world.Weather
	Faults  FaultRates
	// Wipe is the mean time between losses of a member's disks; zero: never in this run.
	Wipe time.Duration
	// Asked is how many members clients go to. The others propose nothing until they lead, so there is nothing by which anybody could remember
	// them. Zero: clients go to all members.
	Asked int
	// OldCopy is the mean time between copies of a member's disks that are put back later; zero: never in this run.
	OldCopy time.Duration
	// LostVote is the mean time between crashes of a member that asks for votes; zero: never in this run.
	LostVote time.Duration
	// DiskLeast and DiskMost bound the time that a write of the log waits for the disk.
	DiskLeast, DiskMost time.Duration
	// TightDisks have no room for more of the log than a member needs itself.
	TightDisks bool
	// Joined is how often, in a thousand events, a member's turn stays open for a moment, so that what comes then belongs to it, too. 0: each event
	// is a turn of its own.
	Joined int
	// Lag is a follower that misses something when all trouble is over.
	Lag LagSetup
}

// driftMost is the most that a clock gains or loses, in microseconds a second.
const driftMost = 30_000

// FaultRates are the mean times between faults of each kind; zero: never in this run.
type FaultRates struct {
	Crash, Blackout, Restart, Pause, Partition, Storm, SlowDisk, BadDisk, Usurper, Depose, Damage time.Duration
}

// pickSetup draws a set-up. Every rate is off in some seeds: a fault can hide what another would show.
func pickSetup(seed uint64) Setup {
	s := prng.New(seed, "setup")
	c := Setup{Seed: seed}
	c.Members = []int{1, 3, 5}[s.Weighted([]int{2, 14, 4})]
	for range c.Members {
		c.Drift = append(c.Drift, s.Between(-driftMost, driftMost))
	}
	c.Node = pickNode(s)
	if few := prng.New(seed, "catch up"); few.Permille(300) {
		c.Node.CatchUpBytes = few.Between(1, 4<<10) // so little that one turn may bring more
	}
	if few := prng.New(seed, "busy"); few.Permille(200) {
		c.Joined = 100 + few.Intn(700)
	}
	c.pickRetention()
	c.pickLag()
	c.Clients = 2 + s.Intn(5)
	c.Patience = s.Duration(500*time.Millisecond, 8*time.Second)
	c.ClientLoss = s.Intn(30)
	c.OpsMost = 250 + s.Intn(500)
	c.Mix = workload.PickMix(s)
	c.Watchers = s.Weighted([]int{2, 3, 2, 1})
	c.Holders = s.Weighted([]int{3, 3, 2})
	c.Lockers = []int{0, 2, 3, 4}[s.Weighted([]int{5, 2, 2, 1})]
	c.Candidates = []int{0, 2, 3}[s.Weighted([]int{5, 2, 1})]
	c.Mix.Shared = c.Holders+c.Lockers+c.Candidates > 0
	c.Trouble = s.Duration(40*time.Second, 120*time.Second)
	succession := c.pickSuccession()
	// So that requests come as long as there is trouble.
	c.Think = max(10*time.Millisecond, c.Trouble*time.Duration(c.Clients)/time.Duration(c.OpsMost)-c.Node.TickInterval)
	c.Fair = world.Weather{DelayLeast: 100 * time.Microsecond, DelayMost: s.Duration(300*time.Microsecond, 20*time.Millisecond),
		Tail: 5, DelayTail: 100 * time.Millisecond, BulkBytesPerSecond: 10 << 20}
	if s.Permille(500) {
		c.Fair.Loss, c.Fair.Repeat, c.Fair.Reorder = s.Intn(20), s.Intn(20), s.Intn(100)
	}
	c.DiskLeast = s.Duration(20*time.Microsecond, time.Millisecond)
	c.DiskMost = c.DiskLeast + s.Duration(0, 8*time.Millisecond)
	if s.Permille(150) {
		// A disk that turns. One that takes about as long as an election would let none end.
		c.DiskMost += s.Duration(0, c.Node.TickInterval*time.Duration(c.Node.ElectionTicks)/8)
		// A follower that lags writes a snapshot in hundreds of small chunks: on a disk that is slower yet, that alone takes as long as it may.
		c.Lag.Slowness = 100
	}
	rate := func(chance int, least, most time.Duration) time.Duration {
		d := s.Duration(least, most)
		if !s.Permille(chance) {
			return 0
		}
		return d
	}
	c.Faults = FaultRates{
		Crash:     rate(850, 4*time.Second, 30*time.Second),
		Blackout:  rate(350, 20*time.Second, 60*time.Second),
		Restart:   rate(400, 10*time.Second, 60*time.Second),
		Pause:     rate(500, 5*time.Second, 40*time.Second),
		Partition: rate(750, 5*time.Second, 30*time.Second),
		Storm:     rate(500, 10*time.Second, 40*time.Second),
		SlowDisk:  rate(400, 10*time.Second, 60*time.Second),
		BadDisk:   rate(350, 15*time.Second, 60*time.Second),
		Usurper:   rate(350, 5*time.Second, 40*time.Second),
	}
	wipes := prng.New(seed, "wipes")
	if d := wipes.Duration(2*time.Second, 30*time.Second); wipes.Permille(300) {
		c.Wipe = d
		if c.Members >= 3 && wipes.Permille(400) {
			c.Asked, c.Wipe = 1+wipes.Intn(c.Members-1), d/3
		}
	}
	if succession > 0 {
		c.Wipe, c.Asked = 0, 0
		c.Faults = FaultRates{Depose: succession}
		return c
	}
	if d := prng.New(seed, "old copies"); d.Permille(250) {
		c.OldCopy = d.Duration(5*time.Second, 25*time.Second)
	}
	// (None of the seeds that are kept for a bug has these: they show what they showed.)
	if d := prng.New(seed, "forgotten votes"); d.Permille(150) {
		c.LostVote = d.Duration(8*time.Second, 25*time.Second)
	}
	if d := prng.New(seed, "damage"); d.Permille(400) {
		c.Faults.Damage = d.Duration(5*time.Second, 30*time.Second)
	}
	return c
}

// pickRetention draws how much of the log is kept for members that lag. In every other run the disks have no room to spare for that, so
// that a member that missed something needs a snapshot.
func (c *Setup) pickRetention() {
	s := prng.New(c.Seed, "retention")
	c.Node.RetainBytes = s.Between(1, 64<<10)
	if c.TightDisks = s.Permille(600); c.TightDisks {
		c.Node.SegmentBytes, c.Node.SnapshotEntries = s.Between(4<<10, 6<<10), uint64(s.Between(8, 40))
	}
}

// pickSuccession makes some runs long and calm, with one kind of trouble only: leaders succeed each other at even intervals. Each has the time to
// do what it owes to leases that outlive it. The mean interval is returned; 0: this is not such a run.
func (c *Setup) pickSuccession() time.Duration {
	s := prng.New(c.Seed, "succession")
	if !s.Permille(120) || c.Members == 1 {
		return 0
	}
	c.Trouble, c.LongLeases, c.Holders = s.Duration(140*time.Second, 220*time.Second), true, 2+s.Intn(3)
	c.Mix.Shared = true
	return s.Duration(12*time.Second, 20*time.Second)
}

// pickNode draws bounds far below those of production, so that a short run reaches them: rotation of the log, snapshots, members too
// far behind for the log, full queues.
func pickNode(s *prng.Source) node.Config {
	return node.Config{
		TickInterval:    s.Duration(50*time.Millisecond, 100*time.Millisecond),
		ElectionTicks:   5 + s.Intn(8),
		DisablePreVote:  s.Permille(150),
		SegmentBytes:    s.Between(8<<10, 128<<10),
		SnapshotBytes:   s.Between(16<<10, 256<<10),
		SnapshotEntries: []uint64{0, 20, 100, 300}[s.Weighted([]int{2, 2, 4, 2})],
		CatchUpEntries:  []uint64{10, 50, 5000}[s.Weighted([]int{4, 4, 2})],
		ChunkBytes:      int(s.Between(1<<10, 16<<10)),
		RequestTimeout:  s.Duration(2*time.Second, 7*time.Second),

		LeaseCheckpointInterval: s.Duration(time.Second, 5*time.Second),
	}
}

const clusterToken = "detcd-simulation"

// bootstrap lists the members that a run begins with.
func (c *Setup) bootstrap() (peers []node.Peer, cluster uint64) {
	var ids []port.MemberID
	for i := range c.Members {
		name := "m" + strconv.Itoa(i)
		urls := []string{"http://" + name + ".simulated:2380"}
		id := node.MemberIDFor(urls, clusterToken)
		ids = append(ids, id)
		peers = append(peers, node.Peer{ID: id, Name: name, PeerURLs: urls})
	}
	return peers, node.ClusterIDFor(ids)
}
