package sim

import (
	"bytes"
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/linearizability/leases"
	"github.com/detcd/detcd/linearizability/locks"
	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
)

// scriptGroup is the group of all keys that scripts read and write.
const scriptGroup = "s"

// ask has a client ask a member something.
func (c command) ask() {
	switch c.name {
	case "begin":
		begun := c
		begun.name, begun.words = c.word(0), c.words[1:]
		begun.send(begun.request())
	case "fill":
		for i := range c.number(1) {
			put := &pb.PutRequest{Key: fmt.Appendf(nil, "filled%d", i), Value: bytes.Repeat([]byte{'v'}, int(c.number(2)))}
			op := c.sendQuietly(put, func(int) {})
			c.until("the answer", func() bool { return c.r.history[op].Return != linearizability.Never })
		}
	default:
		answered := c.send(c.request())
		c.until("there is an answer", answered)
	}
}

// request is what a command asks for.
func (c command) request() proto.Message {
	switch key := []byte(c.word(1)); c.name {
	case "put":
		r := &pb.PutRequest{Key: key, Value: []byte(c.word(2))}
		if name, is := c.option("lease"); is {
			r.Lease = c.actor(name).session.lease.ID
		}
		return r
	case "get":
		return &pb.RangeRequest{Key: key}
	case "delete":
		return &pb.DeleteRangeRequest{Key: key}
	case "compact":
		return &pb.CompactionRequest{Revision: c.number(1)}
	}
	c.t.Fatalf("unknown request %s", c.name)
	return nil
}

// send sends a request to the member that the first word names, and tells of the answer when it comes. answered says whether it has.
func (c command) send(r proto.Message) (answered func() bool) {
	come, text := false, c.name+" "+strings.Join(c.words, " ")
	c.sendQuietly(r, func(op int) {
		come = true
		c.say("%s: %s", text, outcome(&c.r.history[op]))
	})
	return func() bool { return come }
}

// sendQuietly sends a request by a client of the member's that has nothing else under way.
func (c command) sendQuietly(r proto.Message, done func(op int)) (op int) {
	x := c.seat(0)
	var with *client
	for _, cl := range c.clients {
		if cl.at == x && cl.op < 0 {
			with = cl
		}
	}
	if with == nil {
		with = c.r.addClient()
		with.at = x
		c.script.clients = append(c.script.clients, with)
	}
	with.done = func(bool) { done(op) }
	op = with.send(r, scriptGroup)
	return op
}

// outcome says what came of a request.
func outcome(o *linearizability.Operation) string {
	switch {
	case o.Outcome == linearizability.Answered:
		return told{o.Response}.String()
	case o.Outcome == linearizability.Refused:
		return fmt.Sprintf("refused: %v", o.Err)
	case o.Err == nil:
		return "no answer: nobody knows what came of it"
	}
	return fmt.Sprintf("%v: nobody knows what came of it", o.Err)
}

func (s *script) actor(name string) *actor {
	s.t.Helper()
	if s.actors[name] == nil {
		s.t.Fatalf("there is nobody called %s", name)
	}
	return s.actors[name]
}

// act carries out a command of a client that has a name.
func (c command) act() {
	name := c.word(0)
	switch c.name {
	case "watch":
		c.watch(name)
	case "resume":
		a := c.actor(name)
		a.watcher.at = c.seat(1)
		a.watcher.goOn()
		c.until("the watch stands", func() bool { return a.watcher.stream.settled() })
	case "lease":
		c.lease(name)
	case "abandon":
		c.actor(name).session.abandon()
	case "revoke":
		over := false
		c.actor(name).session.revoke(func() { over = true })
		c.until("the lease is revoked", func() bool { return over })
		c.say("%s's lease is revoked", name)
	case "look":
		c.look(name)
	case "lock":
		c.lock(name)
	case "unlock":
		c.unlock(name)
	}
}

// watch begins a watch of one key.
func (c command) watch(name string) {
	s := c.seat(1)
	w := &watcher{connection: connection{run: c.r, id: watcherIDs + len(c.r.watchers), chance: c.r.world.Stream("watcher " + name), at: s},
		packs: c.r.world.Stream("packs " + name)}
	c.r.watchers = append(c.r.watchers, w)
	c.actors[name] = &actor{watcher: w}
	r := &pb.WatchCreateRequest{Key: []byte(c.word(2))}
	if start, is := c.option("start"); is {
		if _, err := fmt.Sscan(start, &r.StartRevision); err != nil {
			c.t.Fatal(err)
		}
	}
	w.stream = newWatchStream(w)
	w.create(r, nil)
	c.until("the watch stands", w.stream.settled)
}

// goOn has a watcher begin where it was, on a stream of its own.
func (w *watcher) goOn() {
	old := w.stream
	old.close()
	w.stream = newWatchStream(w)
	for _, rec := range old.records {
		rec.Live = false
		if !old.ended[rec] {
			r := proto.CloneOf(rec.Request)
			r.StartRevision = rec.Next()
			w.create(r, rec)
		}
	}
}

// reconnect has the watchers go on whose member has ended.
func (s *script) reconnect() {
	for _, w := range s.r.watchers {
		if w.stream.stands() {
			continue
		}
		s.until("somebody lives", func() bool { return w.at.now != nil })
		w.goOn()
	}
}

func (c command) lease(name string) {
	x := c.seat(1)
	s := c.r.addSession(name, sessionIDs+len(c.r.sessions))
	s.client.at, s.calls.at = x, x
	c.actors[name] = &actor{session: s}
	over := false
	s.grant(&pb.LeaseGrantRequest{ID: int64(100 + len(c.r.sessions)), TTL: c.number(2)}, func(ok bool) {
		over = true
		c.say("%s's lease is granted: %v", name, ok)
	})
	c.until("the lease is granted", func() bool { return over })
}

func (c command) look(name string) {
	s := c.actor(name).session
	if len(c.words) > 1 {
		s.calls.at = c.seat(1)
	}
	before := len(s.lease.Looks)
	s.look()
	c.until("there is an answer", func() bool { return len(s.lease.Looks) > before })
	l := s.lease.Looks[before]
	if l.Outcome == linearizability.Refused {
		c.say("%s's lease is gone", name)
		return
	}
	c.say("%s's lease has %d of %d s left", name, l.Remaining, l.TTL)
}

// held is a lock that an actor has asked for.
type held struct{ rec *locks.Record }

// lock asks for the lock, and tells when it is there.
func (c command) lock(name string) {
	a, r := c.actor(name), c.r
	rec := &locks.Record{Client: a.session.client.id, Name: lockName, Lease: a.session.lease, Call: r.stamp(),
		Return: linearizability.Never, Until: leases.Forever}
	r.locks = append(r.locks, rec)
	a.lock = &held{rec}
	a.session.calls.visit(r.setup.Patience*6, func(m *node.Member, done func(any, uint64)) func() {
		return call.Lock(r.gate, m, call.Caller{}, &v3lockpb.LockRequest{Name: rec.Name, Lease: rec.Lease.ID},
			func(resp *v3lockpb.LockResponse, err error) { answered(done, resp, err) })
	}, func(p reply) {
		resp, ok := p.value.(*v3lockpb.LockResponse)
		if !ok {
			c.say("%s did not get the lock: %v", name, p.value)
			return
		}
		rec.Outcome, rec.Key, rec.From, rec.Return = linearizability.Answered, resp.GetKey(), r.now(), r.stamp()
		c.say("%s has the lock", name)
	})
}

func (c command) unlock(name string) {
	a, r, over := c.actor(name), c.r, false
	a.lock.rec.Until = r.now()
	a.session.calls.visit(r.setup.Patience, func(m *node.Member, done func(any, uint64)) func() {
		call.Unlock(r.gate, m, call.Caller{}, &v3lockpb.UnlockRequest{Key: a.lock.rec.Key}, func(resp *v3lockpb.UnlockResponse, err error) { answered(done, resp, err) })
		return nil
	}, func(reply) { over = true })
	c.until("the lock is given up", func() bool { return over })
	c.say("%s gives the lock up", name)
}
