package sim

import (
	"time"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/sim/prng"
	"github.com/detcd/detcd/sim/world"
)

// connection is a client's way to the members. What it carries comes late, or not at all. A call and its answer are an errand; a stream is
// what stays open.
type connection struct {
	run    *Run
	id     int // the client's number
	chance *prng.Source
	at     *seat // the member that it leads to
}

// move has the connection lead to another member, or to the same one again.
func (c *connection) move() { c.at = c.run.asked(c.chance) }

// asked draws the member that a client goes to: any of them, or one of the few that clients know of (Setup.Asked).
func (r *Run) asked(chance *prng.Source) *seat {
	n := chance.Intn(len(r.seats))
	if r.setup.Asked > 0 {
		n %= r.setup.Asked
	}
	return r.seats[n]
}

// delay is how long a message is under way.
func (c *connection) delay() time.Duration {
	fair := &c.run.setup.Fair
	return c.chance.Duration(fair.DelayLeast, fair.DelayMost)
}

// lost says whether a message is lost: now and then, while there is trouble.
func (c *connection) lost() bool {
	lost := c.chance.Permille(c.run.setup.ClientLoss)
	return lost && !c.run.healed
}

// reply is what came of a call. Where it is neither got nor refused, the client's patience ended before anything came.
type reply struct {
	value   any    // what the member answered
	got     bool   // it did
	refused bool   // there was no member to take the call, so it certainly had no effect
	epoch   uint32 // the life of the member that answered
}

// errand is one call on its way to a member, and the answer on its way back.
type errand struct {
	conn *connection
	to   *seat
	// begin begins the call in a turn of the member. It calls answered once, in a turn, unless the member ends. The cancel that it
	// returns, which may be nil, ends the call in a turn.
	begin func(m *node.Member, answered func(value any)) (cancel func())
	// over is told what came of the call, once. After that it is nil.
	over func(reply)
	// evenLate: the member carries the call out also where it comes when the client has given up. Others are dropped then, as by a door that finds
	// the stream gone.
	evenLate bool

	there, back         time.Duration
	lostThere, lostBack bool

	cancel func() // once the call has begun
	epoch  uint32 // the life of the member in which it began
}

// errand makes a call ready that has yet to set out. The client's patience begins now.
func (c *connection) errand(patience time.Duration, begin func(*node.Member, func(any)) func(), over func(reply)) *errand {
	e := &errand{conn: c, to: c.at, begin: begin, over: over}
	e.there, e.back = c.delay(), c.delay()
	e.lostThere, e.lostBack = c.lost(), c.lost()
	c.run.world.After(patience, world.Client, e.giveUp)
	return e
}

// setOut takes the call to its member.
func (e *errand) setOut() { e.travel(e.arrive, e.refuse) }

// travel has arrive called in a turn of the member, or refuse if there is no member then.
func (e *errand) travel(arrive, refuse func()) {
	if !e.lostThere {
		e.to.host.Visit(e.there, world.Request, arrive, refuse)
	}
}

// arrive has the member carry the call out. It is called in a turn.
func (e *errand) arrive() {
	if e.to.now == nil || e.over == nil && !e.evenLate {
		return
	}
	e.epoch = e.to.host.Epoch()
	e.cancel = e.begin(e.to.now.member, func(value any) {
		if !e.lostBack {
			e.comesBack(reply{value: value, got: true, epoch: e.epoch})
		}
	})
}

// refuse tells the client that there is no member.
func (e *errand) refuse() { e.comesBack(reply{refused: true}) }

func (e *errand) comesBack(p reply) {
	e.conn.run.world.After(e.back, world.Answer, func() { e.end(p) })
}

// giveUp ends the client's patience.
func (e *errand) giveUp() {
	if e.over != nil && e.cancel != nil && e.to.host.Up() && e.to.host.Epoch() == e.epoch {
		e.to.host.Do(0, world.Request, e.cancel)
	}
	e.end(reply{})
}

func (e *errand) end(p reply) {
	if over := e.over; over != nil {
		e.over = nil
		over(p)
	}
}

// visit makes a call that is not in the history of requests: a renewal of a lease, or one of the lock or election service. begin hands on
// what the member answers, and its hash.
func (c *connection) visit(patience time.Duration, begin func(m *node.Member, done func(value any, hash uint64)) (cancel func()), over func(reply)) {
	to := c.at
	c.errand(patience, func(m *node.Member, answered func(any)) func() {
		return begin(m, func(value any, hash uint64) {
			c.run.world.Note(world.Judged, uint64(to.peer.ID), uint64(c.id), hash)
			answered(value)
		})
	}, over).setOut()
}

// stream is a connection that stays open, to a member in one life of it. What goes one way keeps its order.
type stream struct {
	conn     *connection
	to       *seat
	res      *resident
	asked    time.Duration // when the last request arrives at the member
	answered time.Duration // when the last answer arrives at the client
	inFlight int           // requests and answers on their way
}

// openStream opens a stream to the connection's member, which must be there.
func (c *connection) openStream() *stream { return &stream{conn: c, to: c.at, res: c.at.now} }

// stands says whether the member still lives.
func (s *stream) stands() bool { return s.to.now == s.res }

// ask takes a request to the member: arrive is called in a turn, if the member still lives then.
func (s *stream) ask(arrive func()) {
	s.asked = s.after(s.asked, s.conn.delay())
	s.turn(s.asked, arrive)
}

// turn has fn called in a turn of the member at a time, if it still lives then.
func (s *stream) turn(at time.Duration, fn func()) {
	s.inFlight++
	s.to.host.Do(at-s.conn.run.world.Now(), world.Request, func() {
		s.inFlight--
		fn()
	})
}

// answer takes an answer to the client.
func (s *stream) answer(arrive func()) {
	s.answered = s.after(s.answered, s.conn.delay())
	s.inFlight++
	s.conn.run.world.After(s.answered-s.conn.run.world.Now(), world.Answer, func() {
		s.inFlight--
		arrive()
	})
}

// after returns the time d from now, but not before an earlier one: what goes one way keeps its order.
func (s *stream) after(last, d time.Duration) time.Duration {
	return max(last, s.conn.run.world.Now()+d)
}

// look looks after the stream some time later.
func (s *stream) look(then func()) {
	s.conn.run.world.After(s.conn.chance.Duration(10*time.Millisecond, 500*time.Millisecond), world.Client, then)
}
