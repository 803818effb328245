package node

import (
	"bytes"
	"encoding/binary"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/raft/v3"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
)

// reads are the linearizable reads under way, by raft's ReadIndex (thesis, section 6.4): a read may be answered from the state
// at an index that was committed when a quorum still followed the leader, after the read began.
type reads struct {
	waiting []read
	// rounds asked the leader and were not answered yet, oldest first.
	rounds []*round
	// confirmed wait for the state machine to reach their index.
	confirmed []*round
	// sequence is that of the newest context. A context names one asking only: a late answer to an earlier one never counts for
	// a later one.
	sequence uint64
	count    int
	// slow counts rounds that had to be asked again for want of an answer, since this member was opened.
	slow uint64
	// failed counts reads that were given up, since this member was opened.
	failed uint64
	// postponed rounds wait until this member may ask (see mayAsk).
	postponed bool
}

type read struct {
	done  func(*statemachine.View, error)
	start port.Instant
}

type round struct {
	context []byte
	askedAt port.Instant
	reads   []read
	index   uint64
}

const (
	// maxRounds is how many rounds are under way at a time; reads that come meanwhile share the next.
	maxRounds = 8
	// readRetryTicks is after how many ticks a round that was not answered is asked again.
	readRetryTicks = 5
)

// Linearize asks for a view of the state that holds everything which was acknowledged before this call, by any member. done is
// called in a later turn, with a pinned view that it must release, or with an error.
func (m *Member) Linearize(done func(*statemachine.View, error)) {
	if m.stopping || m.failed != nil {
		m.later(func() { done(nil, ErrStopped) })
		return
	}
	m.linearize(m.config.MaxPendingRequests, done)
}

// linearize is Linearize where up to limit reads may wait. What keeps leases alive is not refused for the number of clients' reads.
func (m *Member) linearize(limit int, done func(*statemachine.View, error)) {
	if v, ok := m.TryLinearize(); ok {
		m.later(func() { done(v, nil) })
		return
	}
	if m.reads.count >= limit {
		m.later(func() { done(nil, rpctypes.ErrGRPCRequestTooManyRequests) })
		return
	}
	m.wanted = true
	m.reads.count++
	m.reads.waiting = append(m.reads.waiting, read{done: done, start: m.now()})
}

// askReads begins a round for all reads that wait.
func (m *Member) askReads() {
	r := &m.reads
	if len(r.waiting) == 0 || len(r.rounds) >= maxRounds {
		return
	}
	n := &round{reads: r.waiting}
	r.waiting = nil
	r.rounds = append(r.rounds, n)
	m.ask(n)
}

func (m *Member) ask(n *round) {
	n.askedAt = m.now()
	if !m.mayAsk() {
		n.context, m.reads.postponed = nil, true
		return
	}
	m.reads.sequence++
	n.context = make([]byte, 0, 24)
	n.context = binary.LittleEndian.AppendUint64(n.context, uint64(m.config.ID))
	n.context = binary.LittleEndian.AppendUint64(n.context, m.incarnation)
	n.context = binary.LittleEndian.AppendUint64(n.context, m.reads.sequence)
	m.raft.ReadIndex(n.context)
}

// mayAsk says whether the answer to a question asked now can be trusted, and whether there is someone to ask. A leader has to apply an
// entry of its own term first: before that it does not know how far the log was committed. Raft sees to that, except where the
// leader is the only voter: then it answers with whatever commit index was on the disk, which may be older than what was acknowledged.
func (m *Member) mayAsk() bool {
	if m.leader != m.config.ID {
		return m.leader != 0
	}
	_, term := m.machine.Applied()
	return term == m.term
}

// askPostponed asks for the rounds that could not be asked for before.
func (m *Member) askPostponed() {
	if !m.reads.postponed || !m.mayAsk() {
		return
	}
	m.reads.postponed = false
	for _, n := range m.reads.rounds {
		if n.context == nil {
			m.ask(n)
		}
	}
}

// confirmReads takes raft's answers: these rounds may be served once their index is applied.
func (m *Member) confirmReads(states []raft.ReadState) {
	r := &m.reads
	for _, s := range states {
		for i, n := range r.rounds {
			if n.context != nil && bytes.Equal(n.context, s.RequestCtx) {
				n.index = s.Index
				r.rounds = append(r.rounds[:i], r.rounds[i+1:]...)
				r.confirmed = append(r.confirmed, n)
				break
			}
		}
	}
}

// serveReads answers the confirmed rounds that the published state has reached.
func (m *Member) serveReads() {
	r := &m.reads
	applied, _ := m.machine.Applied()
	keep := r.confirmed[:0]
	for _, n := range r.confirmed {
		if n.index > applied {
			keep = append(keep, n)
			continue
		}
		r.count -= len(n.reads)
		for _, w := range n.reads {
			// The newest view: at least as new as the index asked for.
			v := m.AcquireView()
			m.later(func() { w.done(v, nil) })
		}
	}
	clear(r.confirmed[len(keep):])
	r.confirmed = keep
}

// askAgain begins all unanswered rounds anew, with contexts of their own: the leader changed, or answers may be lost.
func (m *Member) askAgain() {
	for _, n := range m.reads.rounds {
		m.ask(n)
	}
}

// tickReads asks again where no answer came, and gives up what took too long.
func (m *Member) tickReads() {
	r := &m.reads
	now := m.now()
	expire := func(list []read) []read {
		n := 0
		for n < len(list) && now.Sub(list[n].start) >= m.config.RequestTimeout {
			w := list[n]
			m.later(func() { w.done(nil, rpctypes.ErrGRPCTimeout) })
			n++
		}
		r.count -= n
		r.failed += uint64(n)
		return list[n:]
	}
	expireRounds := func(rounds []*round) []*round {
		keep := rounds[:0]
		for _, n := range rounds {
			if n.reads = expire(n.reads); len(n.reads) > 0 {
				keep = append(keep, n)
			}
		}
		clear(rounds[len(keep):])
		return keep
	}
	r.rounds = expireRounds(r.rounds)
	r.confirmed = expireRounds(r.confirmed)
	r.waiting = expire(r.waiting)
	for _, n := range r.rounds {
		if now.Sub(n.askedAt) >= readRetryTicks*m.config.TickInterval {
			r.slow++
			m.ask(n)
		}
	}
}

// stopReads answers everything that waits.
func (m *Member) stopReads() {
	r := &m.reads
	all := r.waiting
	for _, n := range append(r.rounds, r.confirmed...) {
		all = append(all, n.reads...)
	}
	for _, w := range all {
		m.later(func() { w.done(nil, ErrStopped) })
	}
	*r = reads{sequence: r.sequence, slow: r.slow, failed: r.failed}
}
