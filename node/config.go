package node

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/statemachine/format"
)

// Peer is a member of a cluster that is being started for the first time.
type Peer struct {
	ID       port.MemberID
	Name     string
	PeerURLs []string
}

// sortedPeers returns the peers in the order of their ids.
func sortedPeers(peers []Peer) []Peer {
	return slices.SortedFunc(slices.Values(peers), func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
}

// Config is what a member is told about itself. Zero values of the optional fields mean the default.
type Config struct {
	// ID and ClusterID name the member and its cluster; both are required (see MemberIDFor and ClusterIDFor).
	ID        port.MemberID
	ClusterID uint64
	// Bootstrap lists all members of a new cluster, this one included. It is used only when the disk is empty.
	Bootstrap []Peer
	// Life tells this run of the member from all others of the same id, those whose data was lost included: a number drawn at random, by whoever
	// opens the member. It lets a member with an empty disk tell answers to its own questions from those to an earlier run.
	Life uint64
	// Lived says that the member is known to have run before, apart from what its disks say: then it does not begin with an empty one.
	Lived bool

	// TickInterval is raft's unit of time and the interval of heartbeats (default 100 ms).
	TickInterval time.Duration
	// ElectionTicks is how many ticks without a leader start an election (default 10); the draw is between once and twice that.
	ElectionTicks int
	// DisablePreVote turns the pre-vote phase of elections off (etcd's --pre-vote=false).
	DisablePreVote bool

	// SnapshotBytes is how many bytes of log since the last snapshot start a new one, if that snapshot was not larger
	// (default 64 MiB).
	SnapshotBytes int64
	// SnapshotEntries, if not zero, also starts a snapshot after that many log entries.
	SnapshotEntries uint64
	// CatchUpEntries and CatchUpBytes bound the applied entries kept in memory for followers that lag (defaults 5,000 and 64 MiB). The
	// log on the disk keeps more; a follower behind that is sent a snapshot.
	CatchUpEntries uint64
	CatchUpBytes   int64
	// RetainBytes is how much of the log the disk keeps at least for followers that lag, if the state is not larger (default 64 MiB); and
	// it keeps CatchUpEntries entries, within reason. See retention.go.
	RetainBytes int64
	// SegmentBytes is the size of a file of the log (default 64 MiB).
	SegmentBytes int64

	// MaxPendingRequests and MaxPendingBytes bound the proposals that wait in this member (defaults 20,000 and 256 MiB); more are
	// refused with ErrTooManyRequests.
	MaxPendingRequests int
	MaxPendingBytes    int
	// MaxPendingLeaseAsks bounds the renewals of leases, and other questions about them, that wait in this member (default 1,048,576); more
	// are refused likewise. They are small, and a cluster's clients may come with all of theirs at once, as when they find it again.
	MaxPendingLeaseAsks int
	// MaxBatchRequests and MaxBatchBytes bound one log entry (defaults 1,024 and 1 MiB); a single larger request still travels alone.
	MaxBatchRequests int
	MaxBatchBytes    int
	// RequestTimeout is how long a proposal or linearizable read may take before its outcome is called unknown (default 5 s and
	// twice the election timeout, as etcd).
	RequestTimeout time.Duration
	// LeaseCheckpointInterval is how much of a lease's time passes without a renewal until what remains is written into the log, so that the
	// next leader goes on from there (default 5 minutes).
	LeaseCheckpointInterval time.Duration
	// KnownFormat is the newest format version that this member reads (default: all that this build knows). Tests have members of older builds with it.
	KnownFormat format.Version
	// ChunkBytes is the size of a piece of a snapshot on its way to another member (default 256 KiB).
	ChunkBytes int
}

const (
	defaultTickInterval       = 100 * time.Millisecond
	defaultElectionTicks      = 10
	defaultSnapshotBytes      = 64 << 20
	defaultCatchUpEntries     = 5000
	defaultCatchUpBytes       = 64 << 20
	defaultRetainBytes        = 64 << 20
	defaultSegmentBytes       = 64 << 20
	defaultMaxPendingRequests = 20000
	defaultMaxPendingBytes    = 256 << 20
	defaultMaxPendingAsks     = 1 << 20
	defaultMaxBatchRequests   = 1024
	defaultMaxBatchBytes      = 1 << 20
	defaultRequestTimeout     = 5 * time.Second
	defaultChunkBytes         = 256 << 10
	defaultLeaseCheckpoint    = 5 * time.Minute

	// heartbeatTicks: a heartbeat each tick, so that TickInterval is etcd's heartbeat interval.
	heartbeatTicks = 1
	// maxAppendBytes bounds one append message between members, and maxInflightAppends how many may be unanswered.
	maxAppendBytes     = 1 << 20
	maxInflightAppends = 512
	// maxInflightBytes bounds what these hold: less than the network keeps waiting for a peer, since of more it drops some, and raft has
	// to go back for that.
	maxInflightBytes = 32 << 20
)

func defaulted[T int | int64 | uint64 | time.Duration | format.Version](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// withDefaults returns the configuration with every optional field set, or says what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.ID == 0 || c.ClusterID == 0 {
		return c, errors.New("node: member id and cluster id must not be zero")
	}
	defaulted(&c.TickInterval, defaultTickInterval)
	defaulted(&c.ElectionTicks, defaultElectionTicks)
	defaulted(&c.SnapshotBytes, defaultSnapshotBytes)
	defaulted(&c.CatchUpEntries, defaultCatchUpEntries)
	defaulted(&c.CatchUpBytes, defaultCatchUpBytes)
	defaulted(&c.RetainBytes, defaultRetainBytes)
	defaulted(&c.SegmentBytes, defaultSegmentBytes)
	defaulted(&c.MaxPendingRequests, defaultMaxPendingRequests)
	defaulted(&c.MaxPendingBytes, defaultMaxPendingBytes)
	defaulted(&c.MaxPendingLeaseAsks, defaultMaxPendingAsks)
	defaulted(&c.MaxBatchRequests, defaultMaxBatchRequests)
	defaulted(&c.MaxBatchBytes, defaultMaxBatchBytes)
	defaulted(&c.KnownFormat, format.Newest)
	defaulted(&c.ChunkBytes, defaultChunkBytes)
	defaulted(&c.LeaseCheckpointInterval, defaultLeaseCheckpoint)
	defaulted(&c.RequestTimeout, defaultRequestTimeout+2*time.Duration(c.ElectionTicks)*c.TickInterval)
	if c.ElectionTicks <= heartbeatTicks {
		return c, fmt.Errorf("node: the election timeout is %d heartbeat intervals; it must be more than %d", c.ElectionTicks, heartbeatTicks)
	}
	if c.LeaseCheckpointInterval < 0 {
		return c, fmt.Errorf("node: the lease checkpoint interval is %v", c.LeaseCheckpointInterval)
	}
	return c, nil
}

func (c *Config) identity() wal.Identity {
	return wal.Identity{Cluster: c.ClusterID, Member: uint64(c.ID)}
}

// Ports are the doors of a member to the outside. All are required, except HistoryLane and Observer.
type Ports struct {
	Clock   port.Clock
	Network port.Network
	// WALDisk holds the log, SnapshotDisk the snapshots and how far the log reaches; they may be one and the same.
	WALDisk, SnapshotDisk port.Disk
	// WALLane runs the log's writes, SnapshotLane the reading and writing of snapshots, ReachLane the syncs of the file that says how far the
	// log reaches, HistoryLane the reading of old entries of the log (nil: SnapshotLane does that too).
	WALLane, SnapshotLane, ReachLane, HistoryLane port.Lane
	Logger                                        port.Logger
	Observer                                      Observer
}

// Role is what a member is in its cluster.
type Role uint8

// Roles, in raft's terms.
const (
	Follower Role = iota
	Candidate
	Leader
)

func (r Role) String() string {
	return [...]string{"follower", "candidate", "leader"}[r]
}

// LogEntry is an entry of the log.
type LogEntry struct {
	Index, Term uint64
	Data        []byte // empty for raft's own entries
}

// StateMark names a state: the entry that was applied last, and the state hash. Members that applied the same entries have the same marks.
type StateMark struct{ Index, Hash uint64 }

// Standing is what a member knows of its term.
type Standing struct {
	Term   uint64
	Leader port.MemberID // 0: none known
	Role   Role
}

// Observer is told what a member does: the simulator's checkers and the metrics listen here. Calls are made within turns, except where a
// member is being opened; they must not call the member.
type Observer interface {
	// Committed is told of each entry of the log when it is about to be applied, in order.
	Committed(e LogEntry)
	// Applied is told of the state once the entry is applied.
	Applied(s StateMark)
	// RoleChanged is told of each change of the member's standing.
	RoleChanged(s Standing)
	// Installed is told of the state with which a snapshot from another member replaced this member's.
	Installed(s StateMark)
	// CatchingUp is told when this leader begins to send a follower what memory no longer holds of the log: a snapshot, or old entries.
	CatchingUp(follower port.MemberID, snapshot bool)
	// SnapshotSent is told of the end of a snapshot's transfer: the follower has it, or the transfer was given up.
	SnapshotSent(follower port.MemberID, there bool)
	// Failed is told once, when the member can't go on: a disk that failed, ErrRemoved, ErrBootstrapped or ErrDataLost. It does nothing any more from then on.
	Failed(err error)
}

// Ignore is an Observer that ignores all it is told. Embed it to observe only some things.
type Ignore struct{}

var _ Observer = Ignore{}

// Committed implements Observer.
func (Ignore) Committed(LogEntry) {}

// Applied implements Observer.
func (Ignore) Applied(StateMark) {}

// RoleChanged implements Observer.
func (Ignore) RoleChanged(Standing) {}

// Installed implements Observer.
func (Ignore) Installed(StateMark) {}

// CatchingUp implements Observer.
func (Ignore) CatchingUp(port.MemberID, bool) {}

// SnapshotSent implements Observer.
func (Ignore) SnapshotSent(port.MemberID, bool) {}

// Failed implements Observer.
func (Ignore) Failed(error) {}
