package sim

import (
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/linearizability/leases"
	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/sim/world"
)

// session is a client with a lease: it keeps that alive for as long as it cares to.
type session struct {
	*client
	calls *connection
	lease *leases.Record
	// keeping: renewals go on.
	keeping bool
	gone    bool // a member has said that the lease is gone
	// name, if not 0, is the id that its leases are to have.
	name   int64
	rounds int
}

// addSession makes a session's client; nothing happens until open.
func (r *Run) addSession(name string, id int) *session {
	c := r.addClient()
	s := &session{client: c, calls: &connection{run: r, id: id, chance: r.world.Stream(name), at: c.at}}
	r.sessions = append(r.sessions, s)
	return s
}

// ask makes a request that belongs in the history, and goes on with then: op is its place there.
func (s *session) ask(group string, r proto.Message, then func(op int, ok bool)) {
	op := -1
	s.client.done = func(ok bool) { then(op, ok) }
	op = s.client.send(r, group)
}

// open grants a lease of any kind, and begins to keep it alive.
func (s *session) open(then func(ok bool)) {
	c := s.chance
	request := &pb.LeaseGrantRequest{TTL: s.run.setup.leaseTTL(c)}
	if c.Permille(200) {
		request.ID = c.Between(1, 1<<40)
	}
	if s.name != 0 {
		request.ID, request.TTL = s.name, 1
	}
	s.grant(request, then)
}

// grant asks for a lease and begins to keep it alive.
func (s *session) grant(request *pb.LeaseGrantRequest, then func(ok bool)) {
	s.lease = &leases.Record{Client: s.client.id, ID: request.ID, TTL: request.TTL,
		Grant: leases.Act{Asked: s.run.now(), Until: leases.Forever, Outcome: linearizability.Unknown}}
	rec := s.lease
	s.run.leases = append(s.run.leases, rec)
	s.gone, s.keeping = false, false
	s.ask("", request, func(op int, ok bool) {
		o := &s.run.history[op]
		if ok {
			resp := o.Response.(*pb.LeaseGrantResponse)
			rec.ID, rec.TTL, rec.Index, rec.Position = resp.GetID(), resp.GetTTL(), o.Index, o.Position
			rec.Grant.Until, rec.Grant.Outcome = s.run.now(), linearizability.Answered
			s.keep()
		} else if o.Outcome == linearizability.Refused {
			rec.Grant.Until, rec.Grant.Outcome = s.run.now(), linearizability.Refused
		}
		then(ok)
	})
}

// keep begins to renew the lease, three times or so in each TTL.
func (s *session) keep() {
	s.keeping = true
	s.rounds++
	s.renewSoon(s.rounds, s.lease, false)
}

func (s *session) renewSoon(round int, rec *leases.Record, hurry bool) {
	ttl := time.Duration(rec.TTL) * time.Second
	wait := s.calls.chance.Duration(ttl/6, ttl/2)
	if hurry {
		wait = s.calls.chance.Duration(0, 300*time.Millisecond)
	}
	s.run.world.After(wait, world.Client, func() {
		if s.keeping && s.rounds == round && !s.run.quiet {
			s.renew(round, rec)
		}
	})
}

// unknownFor bounds how long after the question a renewal of unknown outcome can still take effect. The member may be held still before it takes
// the question, then it waits for the leader, and the leader may be held still, too.
const unknownFor = 90 * time.Second

func (s *session) renew(round int, rec *leases.Record) {
	at := len(rec.Renewals)
	asked := s.run.now()
	rec.Renewals = append(rec.Renewals, leases.Answer{Act: leases.Act{
		Asked: asked, Until: asked + int64(unknownFor), Outcome: linearizability.Unknown}})
	patience := s.calls.chance.Duration(300*time.Millisecond, 3*time.Second)
	s.calls.visit(patience, func(m *node.Member, done func(any, uint64)) func() {
		call.Do(s.run.gate, m, call.Caller{}, &call.LeaseKeepAlive, &pb.LeaseKeepAliveRequest{ID: rec.ID}, func(resp *pb.LeaseKeepAliveResponse, _ *call.Outcome, err error) {
			answered(done, resp, err)
		})
		return nil
	}, func(p reply) {
		act := &rec.Renewals[at]
		hurry := false
		switch v := p.value.(type) {
		case *pb.LeaseKeepAliveResponse:
			act.Until, act.Outcome, act.TTL = s.run.now(), linearizability.Answered, v.GetTTL()
			if v.GetTTL() == 0 {
				act.Outcome = linearizability.Refused
				s.gone, s.keeping = true, false
				s.run.story.say("session %d: lease %x is gone", s.client.id, rec.ID)
				return
			}
			s.run.counts.Renewed++
		default:
			if p.refused {
				rec.Renewals = rec.Renewals[:at] // no member has seen it
			}
			s.calls.move()
			hurry = true
		}
		s.renewSoon(round, rec, hurry)
	})
}

// look asks how much is left of the lease.
func (s *session) look() {
	rec, asked := s.lease, s.run.now()
	if rec.ID == 0 {
		return
	}
	s.calls.visit(4*time.Second, func(m *node.Member, done func(any, uint64)) func() {
		call.Do(s.run.gate, m, call.Caller{}, &call.LeaseTimeToLive, &pb.LeaseTimeToLiveRequest{ID: rec.ID, Keys: true},
			func(resp *pb.LeaseTimeToLiveResponse, _ *call.Outcome, err error) { answered(done, resp, err) })
		return nil
	}, func(p reply) {
		v, ok := p.value.(*pb.LeaseTimeToLiveResponse)
		if !ok {
			return
		}
		a := leases.Answer{Act: leases.Act{Asked: asked, Until: s.run.now(), Outcome: linearizability.Answered},
			TTL: v.GetGrantedTTL(), Remaining: v.GetTTL()}
		if v.GetTTL() < 0 {
			a.Outcome = linearizability.Refused
		}
		rec.Looks = append(rec.Looks, a)
	})
}

// abandon stops to keep the lease alive: it is to end by itself.
func (s *session) abandon() {
	s.keeping = false
	s.rounds++
}

// revoke ends the lease.
func (s *session) revoke(then func()) {
	s.abandon()
	rec := s.lease
	at := len(rec.Revokes)
	rec.Revokes = append(rec.Revokes, leases.Act{Asked: s.run.now(), Until: leases.Forever, Outcome: linearizability.Unknown})
	s.ask("", &pb.LeaseRevokeRequest{ID: rec.ID}, func(op int, ok bool) {
		act, o := &rec.Revokes[at], &s.run.history[op]
		switch {
		case ok:
			act.Until, act.Outcome, act.Index, act.Position = s.run.now(), linearizability.Answered, o.Index, o.Position
		case o.Index > 0 && errors.Is(o.Err, rpctypes.ErrGRPCLeaseNotFound), o.Outcome == linearizability.Refused:
			act.Until, act.Outcome = s.run.now(), linearizability.Refused
		}
		then()
	})
}

// leaseTTL draws a TTL in seconds.
func (c *Setup) leaseTTL(s source) int64 {
	if c.LongLeases {
		return s.Between(25, 40)
	}
	if s.Permille(250) {
		return s.Between(15, 40)
	}
	return s.Between(1, 12)
}

// source is what draws.
type source interface {
	Permille(int) bool
	Between(lo, hi int64) int64
}
