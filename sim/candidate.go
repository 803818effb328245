package sim

import (
	"fmt"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/linearizability/locks"
	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/sim/world"
)

// electionGroup is the group of the keys of elections.
const electionGroup = "e"

// electionName is the election that all stand for.
var electionName = []byte(electionGroup + "/leader")

// addCandidates adds clients that campaign against each other, proclaim values while they lead, and resign or vanish; and, if there are
// any, one that asks who leads.
func (r *Run) addCandidates() {
	for i := range r.setup.Candidates {
		c := &candidate{session: r.addSession(fmt.Sprintf("candidate %d", i), candidateIDs+i)}
		c.begin()
	}
	if r.setup.Candidates == 0 {
		return
	}
	asker := &connection{run: r, id: candidateIDs + 100, chance: r.world.Stream("asker"), at: r.seats[0]}
	r.askLeader(asker)
	o := &onlooker{connection: connection{run: r, id: observerIDs, chance: r.world.Stream("onlooker"), at: r.seats[len(r.seats)-1]}}
	r.onlookers = append(r.onlookers, o)
	o.openSoon()
}

type candidate struct {
	*session
	values int
}

func (c *candidate) over() bool { return c.run.healed || len(c.run.history) >= c.run.setup.OpsMost }

func (c *candidate) begin() {
	c.run.world.After(c.chance.Duration(0, 3*time.Second), world.Client, func() {
		if c.over() {
			return
		}
		c.open(func(ok bool) {
			if !ok {
				c.client.move()
				c.begin()
				return
			}
			c.campaign()
		})
	})
}

func (c *candidate) value() []byte {
	c.values++
	return fmt.Appendf(nil, "candidate %d.%d", c.client.id, c.values)
}

func (c *candidate) record(kind locks.ElectionKind) *locks.ElectionRecord {
	rec := &locks.ElectionRecord{Kind: kind, Client: c.client.id, Name: electionName, Call: c.run.stamp(), Return: linearizability.Never}
	c.run.elections = append(c.run.elections, rec)
	return rec
}

func (c *candidate) campaign() {
	r := c.run
	rec := c.record(locks.Campaign)
	rec.Value = c.value()
	if c.chance.Permille(300) {
		c.calls.move()
	}
	c.calls.visit(c.chance.Duration(time.Second, 25*time.Second), func(m *node.Member, done func(any, uint64)) func() {
		return call.Campaign(r.gate, m, call.Caller{}, &v3electionpb.CampaignRequest{Name: rec.Name, Lease: c.lease.ID, Value: rec.Value},
			func(resp *v3electionpb.CampaignResponse, err error) { answered(done, resp, err) })
	}, func(p reply) {
		resp, ok := p.value.(*v3electionpb.CampaignResponse)
		if !ok {
			c.leave(nil)
			return
		}
		r.counts.Elected++
		rec.Outcome, rec.Return = linearizability.Answered, r.stamp()
		rec.Key, rec.Revision = resp.GetLeader().GetKey(), resp.GetLeader().GetRev()
		r.story.say("candidate %d is elected: %q", c.client.id, rec.Key)
		c.lead(resp.GetLeader(), c.chance.Intn(4))
	})
}

// answered hands an answer, or an error, on to the client.
func answered(done func(any, uint64), resp proto.Message, err error) {
	if err != nil {
		done(err, answer{err: err}.hash())
		return
	}
	done(resp, answer{response: resp}.hash())
}

// lead proclaims values, and then ends the leadership.
func (c *candidate) lead(key *v3electionpb.LeaderKey, more int) {
	r := c.run
	wait := c.chance.Duration(0, time.Second)
	if c.chance.Permille(200) {
		wait = c.chance.Duration(0, 15*time.Second)
		if c.chance.Permille(300) {
			c.abandon()
		}
	}
	r.world.After(wait, world.Client, func() {
		if more == 0 {
			c.leave(key)
			return
		}
		rec := c.record(locks.Proclaim)
		rec.Key, rec.Revision, rec.Value = key.GetKey(), key.GetRev(), c.value()
		c.calls.visit(4*time.Second, func(m *node.Member, done func(any, uint64)) func() {
			call.Proclaim(r.gate, m, call.Caller{}, &v3electionpb.ProclaimRequest{Leader: key, Value: rec.Value},
				func(resp *v3electionpb.ProclaimResponse, err error) { answered(done, resp, err) })
			return nil
		}, func(p reply) {
			switch {
			case is[*v3electionpb.ProclaimResponse](p.value):
				rec.Outcome, rec.Return = linearizability.Answered, r.stamp()
			case says(p.value, "election: not leader"):
				rec.Outcome, rec.Return = linearizability.Refused, r.stamp()
				c.leave(nil)
				return
			}
			c.lead(key, more-1)
		})
	})
}

func is[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

// says says whether an answer is the error with that text.
func says(v any, text string) bool {
	err, ok := v.(error)
	return ok && status.Convert(err).Message() == text
}

// leave resigns, with a key, or vanishes, and begins anew.
func (c *candidate) leave(key *v3electionpb.LeaderKey) {
	r := c.run
	if key == nil || c.chance.Permille(300) {
		if c.chance.Permille(500) || c.gone || c.over() {
			c.abandon()
			c.begin()
			return
		}
		c.revoke(c.begin)
		return
	}
	rec := c.record(locks.Resign)
	rec.Key, rec.Revision = key.GetKey(), key.GetRev()
	c.calls.visit(4*time.Second, func(m *node.Member, done func(any, uint64)) func() {
		call.Resign(r.gate, m, call.Caller{}, &v3electionpb.ResignRequest{Leader: key}, func(resp *v3electionpb.ResignResponse, err error) { answered(done, resp, err) })
		return nil
	}, func(p reply) {
		if is[*v3electionpb.ResignResponse](p.value) {
			rec.Outcome, rec.Return = linearizability.Answered, r.stamp()
		}
		c.abandon()
		c.begin()
	})
}

// askLeader has a client ask now and then who leads.
func (r *Run) askLeader(c *connection) {
	r.world.After(c.chance.Duration(0, 4*time.Second), world.Client, func() {
		if r.healed {
			return
		}
		c.move()
		rec := &locks.ElectionRecord{Kind: locks.Leader, Client: c.id, Name: electionName, Call: r.stamp(), Return: linearizability.Never}
		r.elections = append(r.elections, rec)
		c.visit(4*time.Second, func(m *node.Member, done func(any, uint64)) func() {
			call.Leader(r.gate, m, call.Caller{}, &v3electionpb.LeaderRequest{Name: rec.Name}, func(resp *v3electionpb.LeaderResponse, err error) { answered(done, resp, err) })
			return nil
		}, func(p reply) {
			switch v := p.value.(type) {
			case *v3electionpb.LeaderResponse:
				rec.Outcome, rec.KV, rec.Return = linearizability.Answered, v.GetKv(), r.stamp()
			case error:
				if says(v, "election: no leader") {
					rec.Outcome, rec.Return = linearizability.Refused, r.stamp()
				}
			}
			r.askLeader(c)
		})
	})
}
