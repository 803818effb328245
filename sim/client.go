package sim

import (
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/sim/workload"
	"github.com/detcd/detcd/sim/world"
)

// client is a client of the cluster. It has one request under way at a time. A member carries it out with the code that the doors use
// (package call). All its requests are in the history.
type client struct {
	connection
	make   *workload.Generator
	op     int   // index in the history of the request under way; -1: none
	seen   int64 // the newest revision in an answer
	last   workload.Request
	done   func(ok bool) // what follows a request; nil: the client goes on by itself
	audits uint64        // requests that were made through done
}

func (r *Run) addClient() *client {
	id := len(r.clients)
	s := r.world.Stream("client " + strconv.Itoa(id))
	c := &client{connection: connection{run: r, id: id, chance: s}, make: workload.New(r.setup.Mix, s), op: -1}
	c.make.NameValues(strconv.Itoa(id) + ".")
	c.move()
	r.clients = append(r.clients, c)
	return c
}

// think has the client make its next request after a while.
func (c *client) think() {
	d := c.chance.Duration(0, 2*c.run.setup.Think)
	if c.chance.Permille(300) {
		d = c.chance.Duration(0, 20*time.Millisecond) // bursts are when requests meet
	}
	c.run.world.After(d, world.Client, c.next)
}

// next makes the next request, after a lull if there is one.
func (c *client) next() {
	r := c.run
	if wait := r.lull - r.now(); wait > 0 {
		r.world.After(time.Duration(wait), world.Client, c.next)
		return
	}
	if r.quiet || len(r.history) >= r.setup.OpsMost {
		return
	}
	if c.chance.Permille(50) {
		c.move()
	}
	c.last = c.make.Next(c.seen)
	c.send(c.last.Message, c.last.Group)
}

// send makes a request of the client's member, and returns its place in the history.
func (c *client) send(msg proto.Message, group string) int {
	c.ask(msg, group).setOut()
	return c.op
}

// ask notes a request in the history. It has yet to set out.
func (c *client) ask(msg proto.Message, group string) *errand {
	r := c.run
	c.op = len(r.history)
	op, s := c.op, c.at
	r.history = append(r.history, linearizability.Operation{Client: c.id, Call: r.stamp(), Return: linearizability.Never,
		Request: msg, Outcome: linearizability.Unknown, Member: uint64(s.peer.ID)})
	r.groups = append(r.groups, group)
	r.story.say("op %d: client %d asks %s: %v", op, c.id, s.name, told{msg})
	e := c.errand(r.setup.Patience, func(m *node.Member, answered func(any)) func() {
		do(m, r.gate, msg, func(a answer) { answered(a) })
		return nil
	}, func(p reply) {
		switch {
		case p.got:
			c.take(op, p.value.(answer), p.epoch)
		case p.refused:
			c.take(op, answer{err: errConnection, certain: true, nobody: true}, 0)
		default:
			r.story.say("op %d: client %d has no patience left", op, c.id)
			c.over(op, false)
		}
	})
	e.evenLate = true
	return e
}

// take takes an answer from a life of a member.
func (c *client) take(op int, a answer, epoch uint32) {
	r := c.run
	o := &r.history[op]
	o.Err, o.Index, o.Position, o.Incarnation = a.err, a.index, a.position, uint64(epoch)
	switch {
	case a.err == nil:
		o.Outcome, o.Response, o.Return = linearizability.Answered, a.response, r.stamp()
		c.seen = max(c.seen, headerOf(a.response).GetRevision())
		r.counts.Answered++
	case a.certain:
		o.Outcome, o.Return = linearizability.Refused, r.stamp()
		r.counts.Refused++
	default:
		r.counts.Unknown++
	}
	r.world.Note(world.Judged, o.Member, a.index, a.hash())
	r.story.say("op %d: client %d is answered: %v", op, c.id, a)
	if a.nobody && c.done == nil && c.chance.Permille(400) {
		c.op = -1
		c.await(c.chance.Permille(600))
		return
	}
	c.over(op, a.err == nil)
}

// await makes the last request again as soon as the member is back; with leader set, and only one member in the cluster, as soon as it leads. A
// member that has just started may not know yet what it had promised, so that is a good time to ask it.
func (c *client) await(leader bool) {
	alone := len(c.run.seats) == 1
	pause := 20 * time.Millisecond
	if alone && c.at.now != nil {
		pause = 2 * time.Millisecond
	}
	c.run.world.After(c.chance.Duration(0, pause), world.Client, func() {
		switch now := c.at.now; {
		case c.run.quiet || len(c.run.history) >= c.run.setup.OpsMost:
		case now == nil && !c.at.absent, now != nil && alone && leader && now.role != node.Leader:
			c.await(leader)
		default:
			c.send(proto.Clone(c.last.Message), c.last.Group)
		}
	})
}

// over ends the request under way.
func (c *client) over(op int, ok bool) {
	c.op = -1
	r := c.run
	if r.history[op].Outcome == linearizability.Unknown && r.history[op].Err == nil {
		r.counts.Unknown++
	}
	if c.done != nil {
		c.done(ok)
		return
	}
	unlucky := !ok && (r.history[op].Index == 0)
	if unlucky && c.chance.Permille(600) {
		c.move()
		if c.chance.Permille(400) && !r.quiet && len(r.history) < r.setup.OpsMost {
			// Tries again elsewhere, as client libraries do: a request of its own.
			c.send(proto.Clone(c.last.Message), c.last.Group)
			return
		}
	}
	c.think()
}

// answer is what came of a request.
type answer struct {
	response proto.Message
	err      error
	certain  bool // with err: the request certainly had no effect
	nobody   bool // there was no member to take the request
	index    uint64
	position uint32
}

type connectionError struct{}

func (connectionError) Error() string { return "connection refused" }

var errConnection = connectionError{}

func (a answer) hash() uint64 {
	if a.err != nil {
		return xxhash.Sum64String(a.err.Error())
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(a.response)
	if err != nil {
		panic("sim: an answer can't be encoded: " + err.Error())
	}
	return xxhash.Sum64(b)
}

// do has the member serve one request.
func do(m *node.Member, g *call.Gate, msg proto.Message, done func(answer)) {
	switch r := msg.(type) {
	case *pb.RangeRequest:
		serve(m, g, &call.Range, r, func(a call.RangeAnswer) proto.Message { return a.Response() }, true, done)
	case *pb.PutRequest:
		serve(m, g, &call.Put, r, identity[*pb.PutResponse], false, done)
	case *pb.DeleteRangeRequest:
		serve(m, g, &call.DeleteRange, r, identity[*pb.DeleteRangeResponse], false, done)
	case *pb.TxnRequest:
		serve(m, g, &call.Txn, r, identity[*pb.TxnResponse], false, done)
	case *pb.CompactionRequest:
		serve(m, g, &call.Compact, r, identity[*pb.CompactionResponse], false, done)
	case *pb.LeaseGrantRequest:
		serve(m, g, &call.LeaseGrant, r, identity[*pb.LeaseGrantResponse], false, done)
	case *pb.LeaseRevokeRequest:
		serve(m, g, &call.LeaseRevoke, r, identity[*pb.LeaseRevokeResponse], false, done)
	}
}

func identity[R proto.Message](r R) proto.Message { return r }

func serve[Req, Resp any](m *node.Member, g *call.Gate, u *call.Unary[Req, Resp], r Req, message func(Resp) proto.Message, reads bool, done func(answer)) {
	call.Do(g, m, call.Caller{}, u, r, func(resp Resp, o *call.Outcome, err error) {
		a := answer{err: err, index: o.Applied.Index, position: o.Applied.Position}
		if o.View != nil {
			a.index, _ = o.View.Applied()
			reads = true
		}
		if err == nil {
			a.response = message(resp)
		} else {
			refused := o.Status.ID == 0 // by validation: there is no outcome at all
			a.certain = reads || refused || o.Applied.Index != 0 || node.CertainlyNotApplied(err)
		}
		done(a)
	})
}

// headerOf returns a response's header.
func headerOf(m proto.Message) *pb.ResponseHeader {
	switch r := m.(type) {
	case interface{ GetHeader() *pb.ResponseHeader }:
		return r.GetHeader()
	}
	return nil
}
