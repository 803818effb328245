package call_test

import (
	"fmt"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
)

// said is what came of a call, in words.
func said(resp interface{ GetHeader() *pb.ResponseHeader }, err error) string {
	if err != nil {
		return status.Convert(err).Message()
	}
	return fmt.Sprintf("at %d", resp.GetHeader().GetRevision())
}

func campaign(m call.Replica, lease int64, value string) (answer *string, leader *v3electionpb.LeaderKey) {
	answer, leader = new(string), &v3electionpb.LeaderKey{}
	r := &v3electionpb.CampaignRequest{Name: []byte("n"), Lease: lease, Value: []byte(value)}
	call.Campaign(newGate(), m, call.Caller{}, r, func(resp *v3electionpb.CampaignResponse, err error) {
		*answer = said(resp, err)
		leader.Name, leader.Key = resp.GetLeader().GetName(), resp.GetLeader().GetKey()
		leader.Rev, leader.Lease = resp.GetLeader().GetRev(), resp.GetLeader().GetLease()
	})
	return answer, leader
}

func proclaim(c *fakeCluster, leader *v3electionpb.LeaderKey, value string) (answer string) {
	r := &v3electionpb.ProclaimRequest{Leader: leader, Value: []byte(value)}
	call.Proclaim(newGate(), c.members[0], call.Caller{}, r, func(resp *v3electionpb.ProclaimResponse, err error) { answer = said(resp, err) })
	c.settle()
	return answer
}

func resign(c *fakeCluster, leader *v3electionpb.LeaderKey) (answer string) {
	r := &v3electionpb.ResignRequest{Leader: leader}
	call.Resign(newGate(), c.members[0], call.Caller{}, r, func(resp *v3electionpb.ResignResponse, err error) { answer = said(resp, err) })
	c.settle()
	return answer
}

// whoLeads is the leader's key and value.
func whoLeads(c *fakeCluster) (answer string) {
	r := &v3electionpb.LeaderRequest{Name: []byte("n")}
	call.Leader(newGate(), c.members[0], call.Caller{}, r, func(resp *v3electionpb.LeaderResponse, err error) {
		if answer = said(resp, err); err == nil {
			answer = fmt.Sprintf("%s=%s", resp.GetKv().GetKey(), resp.GetKv().GetValue())
		}
	})
	c.settle()
	return answer
}

// The story of one election.
func TestElection_FromCampaignToResignation(t *testing.T) {
	c := newCluster(t, 2)
	c.grant(1, 60)
	c.grant(2, 60)
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	want("nobody leads", whoLeads(c), "election: no leader")
	first, leader := campaign(c.members[0], 1, "a")
	c.settle()
	want("the first campaign", *first, "at 2")
	if string(leader.Name) != "n" || string(leader.Key) != "n/1" || leader.Rev != 2 || leader.Lease != 1 {
		t.Errorf("leader %v", leader)
	}
	second, successor := campaign(c.members[1], 2, "b")
	c.settle()
	want("the second one waits", *second, "")
	want("who leads", whoLeads(c), "n/1=a")
	again, leader := campaign(c.members[1], 1, "c")
	c.settle()
	want("another campaign of the leader, of before its new value", *again, "at 3")
	if leader.Rev != 2 {
		t.Errorf("its key was created at %d", leader.Rev)
	}
	want("who leads", whoLeads(c), "n/1=c")
	want("a proclamation", proclaim(c, leader, "d"), "at 5")
	want("who leads", whoLeads(c), "n/1=d")
	want("one that waits proclaims", proclaim(c, &v3electionpb.LeaderKey{Key: []byte("n/2"), Rev: 2, Lease: 2}, "x"), "election: not leader")
	want("the leader resigns", resign(c, leader), "at 6")
	want("the second campaign", *second, "at 3") // its header is of the entry
	want("who leads", whoLeads(c), "n/2=b")
	want("a proclamation after that", proclaim(c, leader, "e"), "election: not leader")
	want("another resignation", resign(c, leader), "at 6")
	c.expire(2)
	want("of the second, whose lease has ended", proclaim(c, successor, "f"), "election: not leader")
	want("who leads", whoLeads(c), "election: no leader")
}

func TestElection_RequestsThatAreRefused(t *testing.T) {
	c := newCluster(t, 1)
	missing := `"leader" field must be provided`
	if got := proclaim(c, nil, "a"); got != missing {
		t.Errorf("proclaim: %q", got)
	}
	if got := resign(c, nil); got != missing {
		t.Errorf("resign: %q", got)
	}
	empty := &v3electionpb.LeaderKey{Lease: 1}
	if got := proclaim(c, empty, "a"); got != "etcdserver: key is not provided" {
		t.Errorf("proclaim: %q", got)
	}
	if got := resign(c, empty); got != "etcdserver: key is not provided" {
		t.Errorf("resign: %q", got)
	}
	if len(c.log) != 0 {
		t.Errorf("%d entries in the log", len(c.log))
	}
	if got := proclaim(c, &v3electionpb.LeaderKey{Key: []byte("n/5"), Lease: 5}, "a"); got != "etcdserver: requested lease not found" {
		t.Errorf("proclaim with a dead lease: %q", got)
	}
	answer, _ := campaign(c.members[0], 5, "a")
	c.settle()
	if *answer != "etcdserver: requested lease not found" {
		t.Errorf("campaign with a dead lease: %q", *answer)
	}
}

func TestProclaim_WithoutALeaseGetsOne(t *testing.T) {
	c := newCluster(t, 1)
	c.grant(1, 60)
	_, leader := campaign(c.members[0], 1, "a")
	c.settle()
	leader.Lease = 0
	if got := proclaim(c, leader, "b"); got != "at 3" {
		t.Fatalf("%q", got)
	}
	c.expire(1)
	if got := whoLeads(c); got != "n/1=b" {
		t.Errorf("after the end of the first lease: %q", got)
	}
}

// Row 28's other half: etcd would answer that it is elected.
func TestCampaign_IsNotWonByAnEndedLease(t *testing.T) {
	c := newCluster(t, 2)
	c.grant(1, 60)
	c.grant(2, 60)
	campaign(c.members[0], 1, "a")
	c.settle()
	answer, _ := campaign(c.members[1], 2, "b")
	c.settle()
	c.delete("n/1")
	freed := len(c.log)
	c.expire(2)
	for range 5 {
		c.members[1].turn(freed)
	}
	c.settle()
	if *answer != "election: not leader" {
		t.Errorf("%q", *answer)
	}
}

// observing is one call of Observe.
type observing struct {
	seen   []string
	err    error
	cancel func()
}

func observe(m call.Replica) *observing {
	o := &observing{}
	o.cancel = call.Observe(newGate(), m, call.Caller{}, &v3electionpb.LeaderRequest{Name: []byte("n")}, func(r *v3electionpb.LeaderResponse) {
		o.seen = append(o.seen, fmt.Sprintf("%d: %s=%s", r.GetHeader().GetRevision(), r.GetKv().GetKey(), r.GetKv().GetValue()))
	}, func(err error) { o.err = err })
	return o
}

func (o *observing) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(o.seen, want) {
		t.Errorf("observed %q, want %q", o.seen, want)
	}
}

func putKey(key, value string) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}
}

func TestObserve_TellsOfEachChangeOnce(t *testing.T) {
	c := newCluster(t, 1)
	o := observe(c.members[0])
	c.settle()
	o.want(t)
	c.append(putKey("n/1", "a"))  // 2: leads
	c.append(putKey("n/2", "b"))  // 3: waits
	c.append(putKey("n/2", "b2")) // 4: still
	c.append(putKey("m/1", "x"))  // 5: another election
	c.append(putKey("n/1", "a2")) // 6: a proclamation
	c.delete("n/2")               // 7: gives up
	c.delete("n/1")               // 8: nobody leads
	c.append(putKey("n/3", "c"))  // 9
	c.append(putKey("n/1", "d"))  // 10
	c.delete("n/3")               // 11
	c.settle()
	want := []string{"2: n/1=a", "6: n/1=a2", "9: n/3=c", "11: n/1=d"}
	o.want(t, want...)
	c.append(putKey("n/1", "d2")) // 12
	c.settle()
	o.want(t, append(want, "12: n/1=d2")...)
	late := observe(c.members[0])
	c.settle()
	late.want(t, "12: n/1=d2")
	o.cancel()
	c.append(putKey("n/1", "d3"))
	c.settle()
	if n := c.members[0].hub.Stats().Interests; n != 1 {
		t.Errorf("%d interests are left, want that of the second observer", n)
	}
	if o.err != rpctypes.ErrGRPCCanceled || len(o.seen) != 5 || len(late.seen) != 2 {
		t.Errorf("cancelled with %v; observed %q, %q", o.err, o.seen, late.seen)
	}
}

func TestObserve_GoesOnWithoutAQuorumAndEndsWithItsMember(t *testing.T) {
	c := newCluster(t, 1)
	o := observe(c.members[0])
	c.settle()
	c.members[0].readFate = func(*pb.InternalRaftRequest) fate { return refused }
	c.append(putKey("n/1", "a"))
	c.settle()
	o.want(t, "2: n/1=a")
	c.members[0].readFate = func(*pb.InternalRaftRequest) fate { return memberStops }
	c.append(putKey("n/1", "b"))
	c.settle()
	if o.err != node.ErrStopped {
		t.Errorf("%v", o.err)
	}
}

func TestObserve_OverCompactedHistoryTellsWhoLeadsNow(t *testing.T) {
	c := newCluster(t, 1)
	o := observe(c.members[0])
	c.append(putKey("n/1", "a"))
	c.settle()
	c.append(putKey("n/1", "b"))
	c.append(putKey("n/1", "c"))
	c.append(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: 4}})
	c.members[0].jump()
	c.settle()
	o.want(t, "2: n/1=a", "4: n/1=c")
	c.append(putKey("other", ""))
	c.append(putKey("other", ""))
	c.append(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: 6}})
	c.members[0].jump()
	c.settle()
	o.want(t, "2: n/1=a", "4: n/1=c")
}

func TestObserve_MatchesTheHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster(nil, 1)
		m := c.members[0]
		var observers []*observing
		var begun []int
		t.Repeat(map[string]func(*rapid.T){
			"observe": func(t *rapid.T) {
				observers, begun = append(observers, observe(m)), append(begun, len(c.log))
				c.settle() // its first look is at the log's end
			},
			"change": func(t *rapid.T) {
				var ops []*pb.RequestOp
				for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"n/1", "n/2", "n/3", "other"}), 1, 3, rapid.ID).Draw(t, "keys") {
					if rapid.Bool().Draw(t, "delete") {
						ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}}})
					} else {
						ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key)}}})
					}
				}
				c.append(&pb.InternalRaftRequest{Txn: &pb.TxnRequest{Success: ops}})
			},
			"turn": func(t *rapid.T) { m.turn(rapid.IntRange(m.applied, len(c.log)).Draw(t, "upTo")) },
		})
		c.settle()
		for i, o := range observers {
			if want := leadersSince(t, c, begun[i]); !slices.Equal(o.seen, want) {
				t.Fatalf("observed %q, want %q", o.seen, want)
			}
		}
	})
}

// leadersSince reads the whole history, from the place in the log on at which an observer began.
func leadersSince(t *rapid.T, c *fakeCluster, place int) (seen []string) {
	replay := newCluster(nil, 0)
	for _, r := range c.log[:place] {
		replay.append(r)
	}
	last := ""
	for rev := replay.head.Revision(); rev <= c.head.Revision(); rev++ {
		res, err := c.view().Range(&pb.RangeRequest{Key: []byte("n/"), RangeEnd: []byte("n0"), Revision: rev, SortTarget: pb.RangeRequest_CREATE})
		if err != nil {
			t.Fatal(err)
		}
		if res.Len() == 0 {
			continue
		}
		kv := res.KeyValue(0)
		if now := fmt.Sprintf("%s=%s", kv.GetKey(), kv.GetValue()); last != fmt.Sprint(now, kv.GetModRevision()) {
			seen, last = append(seen, fmt.Sprintf("%d: %s", rev, now)), fmt.Sprint(now, kv.GetModRevision())
		}
	}
	return seen
}

func TestElection_CodesAreThoseOfEtcd(t *testing.T) {
	c := newCluster(t, 1)
	call.Leader(newGate(), c.members[0], call.Caller{}, &v3electionpb.LeaderRequest{Name: []byte("n")}, func(_ *v3electionpb.LeaderResponse, err error) {
		if status.Code(err) != codes.Unknown {
			t.Errorf("no leader: %v", err)
		}
	})
	c.settle()
}
