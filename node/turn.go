package node

// step is one of those that a turn's end, or a tick, goes through.
type step struct {
	name string
	// why says why the step stands where it stands.
	why string
	do  func(*Member)
}

// endOfTurn are the steps at the end of a turn. (Those of a newborn are in newborn.go.) Where two steps may be swapped, neither reason names the other.
var endOfTurn = []step{
	{"clear leases", "before proposing: what it asks for goes into the log in this turn", func(m *Member) { m.leases.clear() }},
	{"propose", "before raft is asked what is ready: one Ready then holds all requests of the turn", func(m *Member) { m.proposals.gather() }},
	{"ask about leases", "before the leader proves itself: its own questions are in the same round", func(m *Member) { m.asks.gather() }},
	{"prove leases", "after all questions of the turn are in, and before reads are asked for: it is one of them", func(m *Member) { m.leases.prove() }},
	{"ask for reads", "after all that reads in this turn, so that one round serves it, and before raft is asked what is ready", func(m *Member) { m.reads.ask() }},
	{"raft", "after all that gives raft work; before the log is written and the state published, which is what raft decides here", (*Member).handleReady},
	{"version", "after raft: the cluster version is asked for once an entry of the leader's term is applied", (*Member).decideVersion},
	{"peers", "after entries were applied: they say who the members are; once a turn, since one that is left out for a moment is taken for removed", (*Member).tellPeers},
	{"write", "after raft: all entries of the turn share one write; before the rest, so that the disk works while the member does", func(m *Member) { m.writer.start() }},
	{"publish", "after raft has applied what is committed; before everything that answers from the published state", func(m *Member) { m.publish() }},
	{"serve reads", "after publishing: a read is answered from a view that has reached its index", func(m *Member) { m.reads.serve() }},
	{"duties", "after publishing, which is what they are told of", func(m *Member) {
		index, _ := m.machine.Applied()
		m.duties.applied(index)
	}},
}

// atTick are the steps of a tick.
var atTick = []step{
	{"raft", "first: what follows asks who leads, and for how long", (*Member).tickRaft},
	{"proposals", "", func(m *Member) { m.proposals.tick() }},
	{"reads", "", func(m *Member) { m.reads.tick() }},
	{"asks", "", func(m *Member) { m.asks.tick() }},
	{"duties", "", func(m *Member) { m.duties.tick(m.now()) }},
	{"settle", "last: the log is at rest only if nothing before has something to write", func(m *Member) { m.writer.settle() }},
}

// EndTurn does the work that the calls of this turn have made necessary: messages leave, the log is written, committed entries are
// applied, answers are given. The driver calls it once after each batch of calls.
func (m *Member) EndTurn() {
	m.wanted = false
	switch {
	case m.failed != nil:
	case m.newborn != nil:
		m.newborn.endTurn()
	default:
		for i := range endOfTurn {
			if endOfTurn[i].do(m); m.failed != nil {
				break
			}
		}
	}
	m.giveOutcomes()
	if m.wanted && m.failed == nil {
		m.ports.Clock.After(0, func() {}) // a turn at once
	}
	m.turn.begun = false
}

// giveOutcomes gives the answers of this turn. An answer may lead to further ones.
func (m *Member) giveOutcomes() {
	for len(m.outcomes) > 0 {
		outcomes := m.outcomes
		m.outcomes = nil
		for _, f := range outcomes {
			f()
		}
	}
}

// tick is raft's unit of time passing.
func (m *Member) tick() {
	if m.failed != nil || m.writer.closed {
		return
	}
	m.ports.Clock.After(m.config.TickInterval, m.tick)
	for i := range atTick {
		atTick[i].do(m)
	}
}

// tickRaft has raft count the time, or a newborn, for which there is no raft to do that yet.
func (m *Member) tickRaft() {
	if m.newborn != nil {
		m.newborn.tick()
	} else {
		m.raft.Tick()
	}
	m.campaignAlone()
}
