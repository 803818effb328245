package call_test

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/statemachine"
)

// contending is one client that waits for a lock or an election with a lease of its own, and then holds it.
type contending struct {
	*fakeMember
	lease  int64
	cancel func()
	over   bool
	err    error
	key    string
	// shown is the revision of the state that showed the client to be the first one.
	shown int64
	// asked is the head's revision as of the last linearized read that the call began.
	asked int64
	// unseen says that an answer to a proposal was lost.
	unseen bool
}

// Propose notes that the call did not learn what came of a request.
func (c *contending) Propose(r *pb.InternalRaftRequest, done func(node.Applied, error)) {
	c.fakeMember.Propose(r, func(a node.Applied, err error) {
		c.unseen = c.unseen || a.Index == 0
		done(a, err)
	})
}

// Linearize notes what the read must see.
func (c *contending) Linearize(done func(*statemachine.View, error)) {
	c.asked = c.cluster.head.Revision()
	c.fakeMember.Linearize(done)
}

// rivals is some clients, the members they use, and what may go wrong with those.
type rivals struct {
	*fakeCluster
	elects  bool
	clients []*contending
	leases  int64
	ended   map[int64]bool
	faulty  bool
	// canceled are calls that were, by their keys.
	canceled map[string]*contending
}

func (r *rivals) begin(t *rapid.T) {
	r.leases++
	c := &contending{fakeMember: r.members[rapid.IntRange(0, len(r.members)-1).Draw(t, "member")], lease: r.leases}
	r.grant(c.lease, 60)
	r.clients = append(r.clients, c)
	done := func(h *pb.ResponseHeader, key []byte, err error) {
		if c.over {
			panic("a call was answered twice")
		}
		c.over, c.err, c.key, c.shown = true, err, string(key), h.GetRevision()
	}
	if r.elects {
		c.cancel = call.Campaign(newGate(), c, call.Caller{}, &v3electionpb.CampaignRequest{Name: []byte("n"), Lease: c.lease},
			func(resp *v3electionpb.CampaignResponse, err error) {
				done(resp.GetHeader(), resp.GetLeader().GetKey(), err)
			})
		return
	}
	c.cancel = call.Lock(newGate(), c, call.Caller{}, &v3lockpb.LockRequest{Name: []byte("n"), Lease: c.lease},
		func(resp *v3lockpb.LockResponse, err error) { done(resp.GetHeader(), resp.GetKey(), err) })
}

// check looks at the calls that were answered since the last one.
func (r *rivals) check(t *rapid.T) {
	for i := 0; i < len(r.clients); i++ {
		c := r.clients[i]
		if !c.over {
			continue
		}
		r.clients = append(r.clients[:i], r.clients[i+1:]...)
		i--
		if c.err != nil {
			r.checkError(t, c)
			continue
		}
		if want := fmt.Sprintf("n/%x", c.lease); c.key != want {
			t.Fatalf("key %q, want %q", c.key, want)
		}
		r.checkHolder(t, c)
		if rapid.Bool().Draw(t, "unlock") {
			r.delete(c.key)
		} else {
			r.end(c.lease)
		}
	}
}

// checkHolder wants the client to be the first one in a state that is as new as the last thing it asked. A lock's answer names that
// state; an election's header is of the entry.
func (r *rivals) checkHolder(t *rapid.T, c *contending) {
	if !r.elects && c.shown < c.asked {
		t.Fatalf("shown by revision %d, asked for at least %d", c.shown, c.asked)
	}
	to := c.shown
	if r.elects {
		to = r.head.Revision()
	}
	for rev := max(c.shown, c.asked); rev <= to; rev++ {
		res, err := r.view().Range(&pb.RangeRequest{Key: []byte("n/"), RangeEnd: []byte("n0"), Revision: rev,
			SortTarget: pb.RangeRequest_CREATE, SortOrder: pb.RangeRequest_ASCEND, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if res.Len() > 0 && string(res.KeyValue(0).GetKey()) == c.key {
			return
		}
	}
	t.Fatalf("%s was not the first one at revision %d", c.key, to)
}

func (r *rivals) checkError(t *rapid.T, c *contending) {
	text := status.Convert(c.err).Message()
	switch {
	case c.err == rpctypes.ErrGRPCCanceled:
		r.canceled[fmt.Sprintf("n/%x", c.lease)] = c
	case text == rpctypes.ErrorDesc(rpctypes.ErrGRPCLeaseNotFound), text == "mutex: session is expired", text == "election: not leader":
		if !r.ended[c.lease] {
			t.Fatalf("%q, but lease %d has not ended", text, c.lease)
		}
	default:
		t.Fatal(c.err)
	}
}

func (r *rivals) end(lease int64) {
	r.ended[lease] = true
	r.expire(lease)
}

func checkQueue(tb *testing.T, elects bool) {
	rapid.Check(tb, func(t *rapid.T) {
		r := &rivals{fakeCluster: newCluster(tb, 3), elects: elects, ended: map[int64]bool{}, canceled: map[string]*contending{}}
		r.faulty = rapid.Bool().Draw(t, "faulty")
		fates := []fate{applied, applied, applied, lost, answerLost}
		for _, m := range r.members {
			m.fate = func(*pb.InternalRaftRequest) fate {
				if !r.faulty {
					return applied
				}
				return rapid.SampledFrom(fates).Draw(t, "fate")
			}
			m.readFate = func(*pb.InternalRaftRequest) fate {
				if !r.faulty {
					return applied
				}
				return rapid.SampledFrom([]fate{applied, lost}).Draw(t, "read")
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"":      r.check,
			"begin": func(t *rapid.T) { r.begin(t) },
			"turn": func(t *rapid.T) {
				m := r.members[rapid.IntRange(0, len(r.members)-1).Draw(t, "member")]
				m.turn(rapid.IntRange(m.applied, len(r.log)).Draw(t, "upTo"))
			},
			"turn of all": func(t *rapid.T) {
				for _, m := range r.members {
					m.turn(len(r.log))
				}
			},
			"cancel": func(t *rapid.T) {
				if len(r.clients) > 0 {
					r.clients[rapid.IntRange(0, len(r.clients)-1).Draw(t, "client")].cancel()
				}
			},
			"lease ends": func(t *rapid.T) {
				if len(r.clients) > 0 {
					r.end(r.clients[rapid.IntRange(0, len(r.clients)-1).Draw(t, "client")].lease)
				}
			},
			"snapshot": func(t *rapid.T) { r.members[rapid.IntRange(0, len(r.members)-1).Draw(t, "member")].jump() },
		})
		// With the faults over, everybody who waits gets what it waits for as those before it leave.
		r.faulty = false
		for len(r.clients) > 0 {
			before := len(r.clients)
			r.settle()
			r.check(t)
			if len(r.clients) == before {
				r.clear(t)
			}
		}
		r.settle()
		for len(r.keys("n/")) > 0 {
			r.clear(t)
		}
		for _, m := range r.members {
			if n := m.hub.Stats().Interests; n != 0 {
				t.Fatalf("%d interests are left", n)
			}
		}
	})
}

// clear ends the lease of a call that left the first place behind. It may do so only when it was cancelled and could not know that the
// place was its own.
func (r *rivals) clear(t *rapid.T) {
	keys := r.keys("n/")
	if len(keys) == 0 {
		t.Fatalf("%d clients wait for nobody", len(r.clients))
	}
	c := r.canceled[keys[0]]
	if c == nil || !c.unseen || r.ended[c.lease] {
		t.Fatalf("%s is left behind before %q, with %d clients waiting", keys[0], keys[1:], len(r.clients))
	}
	r.end(c.lease)
}

func TestLock_OneHolderAtATimeAndNobodyForgotten(t *testing.T) { checkQueue(t, false) }

func TestCampaign_OneLeaderAtATimeAndNobodyForgotten(t *testing.T) { checkQueue(t, true) }
