package node

// step is one of those that the end of a turn, or a tick, goes through.
type step struct {
	name string
	// why says why the step stands where it stands. Empty: it may stand anywhere.
	why string
	do  func(*Member)
}

// endOfTurn are the steps at the end of a turn, in their order. A newborn has an end of its own (newborn.endTurn). DESIGN.md shows the same table.
var endOfTurn = []step{
	{"clear leases", "Before propose: its checkpoints go into this turn's batches.",
		func(m *Member) { m.leases.clear() }},
	{"propose", "Before raft: one Ready then takes all requests of the turn. After it they would wait for the next turn, which nobody has asked for.",
		func(m *Member) { m.proposals.gather() }},
	{"ask about leases", "Before prove leases: a leader's own questions are proved in the same round as the others'.",
		func(m *Member) { m.asks.gather() }},
	{"prove leases", "Before ask for reads: the proof is a read, and joins this turn's round.",
		func(m *Member) { m.leases.prove() }},
	{"ask for reads", "Before raft, which sends the question on. After all that reads in this turn: one round serves it.",
		func(m *Member) { m.reads.ask() }},
	{"raft", "In the middle: what stands before gives raft work, what stands after carries out what raft has decided. Raft's messages leave and committed entries are applied here.",
		(*Member).handleReady},
	{"version", "After raft: the cluster version is asked for once an entry of the leader's term is applied.",
		(*Member).decideVersion},
	{"peers", "After raft: applied entries say who the members are. Once a turn: a member that is left out for a moment is taken for removed.",
		(*Member).tellPeers},
	{"write", "After raft: all entries of the turn share one write. Before the rest: the disk works while this member goes on.",
		func(m *Member) { m.writer.start() }},
	{"publish", "After raft: the view holds all that was applied. Answers are given only when this is done, so whoever has one finds its effect in the view.",
		func(m *Member) { m.publish() }},
	{"serve reads", "After publish: a read gets the published view, which must have reached the read's index.",
		func(m *Member) { m.reads.serve() }},
	{"duties", "After publish: duties work with the published state. Last: clients' work goes first.",
		func(m *Member) {
			index, _ := m.machine.Applied()
			m.duties.applied(index)
		}},
}

// atTick are the steps of a tick.
var atTick = []step{
	{"raft", "", (*Member).tickRaft},
	{"proposals", "", func(m *Member) { m.proposals.tick() }},
	{"reads", "", func(m *Member) { m.reads.tick() }},
	{"asks", "", func(m *Member) { m.asks.tick() }},
	{"duties", "", func(m *Member) { m.duties.tick(m.now()) }},
	{"settle", "", func(m *Member) { m.writer.settle() }},
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
