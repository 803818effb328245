package node

import (
	"encoding/binary"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/raft/v3"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/window"
	"github.com/detcd/detcd/statemachine"
)

// reads are the linearizable reads under way, by raft's ReadIndex (thesis, section 6.4): a read may be answered from the state
// at an index that was committed when a quorum still followed the leader, after the read began. Reads that wait together are one round. A round
// that is confirmed has landed, and waits for the state machine to reach its index.
type reads struct {
	*core
	window *window.Window[struct{}, *statemachine.View, round]
	views  *views
	// postponed says that a round could not be asked for yet (see mayAsk).
	postponed bool
}

type round struct{ index uint64 } // once it is confirmed

type readRound = window.Flight[struct{}, *statemachine.View, round]

const (
	// maxRounds is how many rounds are under way at a time; reads that come meanwhile share the next.
	maxRounds = 8
	// readRetryTicks is after how many ticks a round that was not answered is asked again.
	readRetryTicks = 5
)

func newReads(c *core, v *views) *reads {
	r := &reads{core: c, views: v}
	retry := readRetryTicks * c.config.TickInterval
	r.window = window.New(window.Options{
		UnderWay:    maxRounds,
		Timeout:     c.config.RequestTimeout,
		Alone:       true,
		Retry:       retry,
		RetryUnsent: retry,
		Renumber:    true, // a late answer to an earlier asking never counts for a later one
	}, r, c.later)
	return r
}

// Linearize asks for a view of the state that holds everything which was acknowledged before this call, by any member. done is
// called in a later turn, with a pinned view that it must release, or with an error.
func (m *Member) Linearize(done func(*statemachine.View, error)) {
	if m.stopping || m.failed != nil {
		m.later(func() { done(nil, ErrStopped) })
		return
	}
	m.reads.linearize(m.config.MaxPendingRequests, done)
}

// linearize is Linearize where up to limit reads may wait. What keeps leases alive is not refused for the number of clients' reads.
func (r *reads) linearize(limit int, done func(*statemachine.View, error)) {
	if v, ok := r.views.TryLinearize(); ok {
		r.later(func() { done(v, nil) })
		return
	}
	if r.window.Count() >= limit {
		r.later(func() { done(nil, rpctypes.ErrGRPCRequestTooManyRequests) })
		return
	}
	r.wanted = true
	r.window.Add(r.now(), struct{}{}, 0, done)
}

// ask begins a round for all reads that wait.
func (r *reads) ask() { r.window.Fill(r.now()) }

// begin asks for all rounds anew: there is another leader.
func (r *reads) begin() {
	if r.leader != 0 {
		r.window.SendAll(r.now())
	}
}

// tick asks again where no answer came, and gives up what took too long.
func (r *reads) tick() { r.window.Tick(r.now()) }

// stop answers everything that waits.
func (r *reads) stop() { r.window.Stop(ErrStopped) }

// Take implements window.Carrier: a round is for all that wait.
func (r *reads) Take(waiting []window.Request[struct{}, *statemachine.View]) int { return len(waiting) }

// Send implements window.Carrier: it asks raft.
func (r *reads) Send(f *readRound) bool {
	if !r.mayAsk() {
		r.postponed = true
		return false
	}
	context := make([]byte, 0, contextBytes)
	context = binary.LittleEndian.AppendUint64(context, uint64(r.config.ID))
	context = binary.LittleEndian.AppendUint64(context, r.incarnation)
	context = binary.LittleEndian.AppendUint64(context, f.Number)
	r.raft.ReadIndex(context)
	return true
}

// contextBytes is the size of a round's context: the member that asks, its incarnation, the round's number.
const contextBytes = 3 * 8

// find returns the round that a context names, nil if it is none of this run that is under way.
func (r *reads) find(context []byte) *readRound {
	if len(context) != contextBytes || binary.LittleEndian.Uint64(context) != uint64(r.config.ID) ||
		binary.LittleEndian.Uint64(context[8:]) != r.incarnation {
		return nil
	}
	return r.window.Find(binary.LittleEndian.Uint64(context[16:]))
}

// MayBeLost implements window.Carrier: also a leader asks the others.
func (r *reads) MayBeLost() bool { return true }

// TooLate implements window.Carrier.
func (r *reads) TooLate(port.Instant, *readRound) error { return rpctypes.ErrGRPCTimeout }

// mayAsk says whether the answer to a question asked now can be trusted, and whether there is someone to ask. A leader has to apply an
// entry of its own term first: before that it does not know how far the log was committed. Raft sees to that, except where the
// leader is the only voter: then it answers with whatever commit index was on the disk, which may be older than what was acknowledged.
func (r *reads) mayAsk() bool {
	if !r.leads() {
		return r.leader != 0
	}
	return r.appliedOwnTerm()
}

// askPostponed asks for the rounds that could not be asked for before.
func (r *reads) askPostponed() {
	if r.postponed && r.mayAsk() {
		r.postponed = false
		r.window.SendUnsent(r.now())
	}
}

// confirm takes raft's answers: these rounds may be served once their index is applied.
func (r *reads) confirm(states []raft.ReadState) {
	for _, s := range states {
		if f := r.find(s.RequestCtx); f != nil {
			f.Load.index = s.Index
			r.window.Land(f)
		}
	}
}

// serve answers the confirmed rounds that the published state has reached.
func (r *reads) serve() {
	applied, _ := r.machine.Applied()
	for f := range r.window.Landed {
		if f.Load.index > applied {
			continue
		}
		readers := r.window.Take(f)
		// The newest view: at least as new as the index asked for. Each reader releases it.
		v := r.views.AcquireView()
		for range readers[1:] {
			v.Acquire()
		}
		r.later(func() {
			for i := range readers {
				readers[i].Done(v, nil)
			}
		})
	}
}
