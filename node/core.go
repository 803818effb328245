package node

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
)

// core is what all parts of a member share: who it is, its ports, raft and the state machine, what it knows of its term, and the turn that
// runs. A part keeps a pointer to it. It does not know the other parts; the member, which does, sequences them.
type core struct {
	config Config
	ports  Ports
	// incarnation tells this run of the member from its earlier ones; it is durable in the log.
	incarnation uint64

	raft      *raft.RawNode
	machine   *statemachine.Machine
	confState *raftpb.ConfState

	standing
	turn

	stopping bool
	failed   error // why the member can't go on; nil while it can
	// halted has all that waits answered when the member can't go on.
	halted func()
}

// standing is where a member stands in its cluster, as raft said last.
type standing struct {
	term   uint64
	leader port.MemberID // 0: none known
	role   Role
	// leaderLostAt is when the last known leader was lost.
	leaderLostAt port.Instant
}

// turn is what belongs to the turn that runs.
type turn struct {
	now   port.Instant // the time of this turn, once it was asked for
	begun bool         // now is set
	// outcomes are called when the turn's state is published.
	outcomes []func()
	// wanted: something was asked for since the turn's end began, which takes another turn.
	wanted bool
}

// now is the time of this turn.
func (c *core) now() port.Instant {
	if !c.turn.begun {
		c.turn.now, c.turn.begun = c.ports.Clock.Now(), true
	}
	return c.turn.now
}

// later has f called at the end of the turn, when its state is published.
func (c *core) later(f func()) { c.outcomes = append(c.outcomes, f) }

func (c *core) log(level port.Level, msg string, kv ...any) { c.ports.Logger.Log(level, msg, kv...) }

func (c *core) electionTimeout() time.Duration {
	return time.Duration(c.config.ElectionTicks) * c.config.TickInterval
}

// leads says whether this member leads, as raft said last.
func (c *core) leads() bool { return c.leader == c.config.ID }

// leadsFor says whether this member leads in that term as far as raft, which may have heard of another leader in this very turn, knows.
func (c *core) leadsFor(term uint64) bool {
	s := c.raft.BasicStatus()
	return s.RaftState == raft.StateLeader && s.GetTerm() == term
}

// appliedOwnTerm says whether an entry of the present term is applied. A leader of which that is true has applied all that former leaders had
// committed.
func (c *core) appliedOwnTerm() bool {
	_, term := c.machine.Applied()
	return term == c.term
}

// soleVoter says whether nobody but this member votes.
func (c *core) soleVoter() bool {
	cs := c.confState
	return len(cs.GetVoters()) == 1 && cs.GetVoters()[0] == uint64(c.config.ID) && len(cs.GetVotersOutgoing()) == 0
}

// fail stops the member for good: what its disk holds is no longer known.
func (c *core) fail(err error) {
	if c.failed != nil {
		return
	}
	what := "the member can't go on: its disk failed; mend the disk and start it again"
	if errors.Is(err, port.ErrNoSpace) {
		what = "the member can't go on: its disk is full; make room on it and start the member again, nothing acknowledged is lost"
	}
	c.log(port.Error, what, "error", err)
	c.halt(err)
}

// halt is the end of a member that can't go on.
func (c *core) halt(err error) {
	c.failed = err
	c.halted()
	c.ports.Observer.Failed(err)
}

// step steps raft with a message of its own. Raft refuses those of a member that was removed meanwhile.
func (c *core) step(msg *raftpb.Message) {
	if err := c.raft.Step(msg); err != nil && !errors.Is(err, raft.ErrStepPeerNotFound) {
		panic(fmt.Sprintf("node: raft refuses its own %v: %v", msg.GetType(), err))
	}
}

// maxCommittedBytesPerReady bounds what is applied between two looks at everything else.
const maxCommittedBytesPerReady = 16 << 20

// startRaft has raft begin from what the log holds.
func (c *core) startRaft(storage raft.Storage) error {
	applied, _ := c.machine.Applied()
	rn, err := raft.NewRawNode(&raft.Config{
		ID:                        uint64(c.config.ID),
		ElectionTick:              c.config.ElectionTicks,
		HeartbeatTick:             heartbeatTicks,
		Storage:                   storage,
		Applied:                   applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             maxAppendBytes,
		MaxCommittedSizePerReady:  maxCommittedBytesPerReady,
		MaxUncommittedEntriesSize: uint64(c.config.MaxPendingBytes),
		MaxInflightMsgs:           maxInflightAppends,
		MaxInflightBytes:          maxInflightBytes,
		CheckQuorum:               true,
		PreVote:                   !c.config.DisablePreVote,
		ReadOnlyOption:            raft.ReadOnlySafe,
		Logger:                    newRaftLogger(c.ports.Logger),
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
	})
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	c.raft = rn
	return nil
}

// campaignAlone has a sole voter lead at once: there is nobody to wait for.
func (c *core) campaignAlone() {
	if c.leader != 0 || c.role != Follower || !c.soleVoter() || c.stopping {
		return
	}
	if err := c.raft.Campaign(); err != nil {
		c.log(port.Warn, "raft refused to campaign", "error", err)
	}
}
