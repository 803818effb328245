package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func (s services) beginCampaign(name, value string, lease clientv3.LeaseID) *attempt[*v3electionpb.CampaignResponse] {
	return begin(s.t, fmt.Sprintf("campaign of %s in %s", value, name), func(ctx context.Context) (*v3electionpb.CampaignResponse, error) {
		return s.election.Campaign(ctx, &v3electionpb.CampaignRequest{Name: []byte(name), Lease: int64(lease), Value: []byte(value)})
	})
}

func (s services) resign(leader *v3electionpb.LeaderKey) {
	s.t.Helper()
	must[*v3electionpb.ResignResponse](s.t)(s.election.Resign(s.t.Context(), &v3electionpb.ResignRequest{Leader: leader}))
}

func (s services) proclaim(leader *v3electionpb.LeaderKey, value string) error {
	_, err := s.election.Proclaim(s.t.Context(), &v3electionpb.ProclaimRequest{Leader: leader, Value: []byte(value)})
	return err
}

// elected waits until the campaign is won.
func elected(t testing.TB, a *attempt[*v3electionpb.CampaignResponse]) *v3electionpb.LeaderKey {
	t.Helper()
	return must[*v3electionpb.CampaignResponse](t)(a.result()).Leader
}

// TestElectionService: campaigns through every member, with an observer at each who sees the leaders in the order of their election.
func TestElectionService(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	at := [3]services{servicesOf(t, c.members[0]), servicesOf(t, c.members[1]), servicesOf(t, c.members[2])}
	name := []byte("office")
	said := func(err error, want string) {
		t.Helper()
		if s := status.Convert(err); s.Message() != want || s.Code() != codes.Unknown {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
	_, err := at[0].election.Leader(t.Context(), &v3electionpb.LeaderRequest{Name: name})
	said(err, "election: no leader")
	said(at[0].proclaim(nil, "x"), `"leader" field must be provided`)

	observers := map[string]<-chan string{}
	for i, s := range at {
		observers[c.members[i].name] = observe(t, s, name)
	}
	see := func(value string) {
		t.Helper()
		for at, seen := range observers {
			select {
			case got := <-seen:
				if got != value {
					t.Errorf("the observer at %s saw %q, want %q", at, got, value)
				}
			case <-time.After(answerPatience):
				t.Fatalf("the observer at %s does not see %q", at, value)
			}
		}
	}
	leases := [3]clientv3.LeaseID{grant(t, at[0].kv, 600), grant(t, at[0].kv, 600), grant(t, at[0].kv, 600)}
	first := elected(t, at[0].beginCampaign("office", "a", leases[0]))
	if want := fmt.Sprintf("office/%x", leases[0]); string(first.Key) != want || first.Lease != int64(leases[0]) || string(first.Name) != "office" {
		t.Errorf("the leader's key is %v, want %q", first, want)
	}
	see("a")
	second := at[1].beginCampaign("office", "b", leases[1])
	at[0].queued("office", 2)
	third := at[2].beginCampaign("office", "c", leases[2])
	at[0].queued("office", 3)
	second.waits()
	for i, s := range at {
		eventually(t, "all know the leader", func() error {
			answer, err := s.election.Leader(t.Context(), &v3electionpb.LeaderRequest{Name: name})
			if err == nil && (string(answer.Kv.Value) != "a" || answer.Kv.CreateRevision != first.Rev) {
				err = fmt.Errorf("%s says %v", c.members[i].name, answer.Kv)
			}
			return err
		})
	}
	if err := at[2].proclaim(first, "a2"); err != nil {
		t.Error(err)
	}
	see("a2")

	// The second's lease ends while it waits: it is never elected.
	must[*clientv3.LeaseRevokeResponse](t)(at[0].kv.Revoke(t.Context(), leases[1]))
	at[0].queued("office", 2)
	third.waits()
	at[1].resign(first)
	won := elected(t, third)
	see("c")
	if leader, err := second.result(); err == nil {
		if err := at[1].proclaim(leader.Leader, "b2"); err == nil { // etcd tells it so only here
			t.Errorf("who has no lease any more proclaimed as %v", leader)
		}
		if !stockEtcd {
			t.Errorf("who has no lease any more was elected: %v", leader)
		}
	}
	said(at[0].proclaim(first, "a3"), "election: not leader")
	at[0].resign(first) // no longer leader: nothing happens

	// The leader's lease ends: the next is elected.
	fourth := at[0].beginCampaign("office", "d", leases[0])
	at[0].queued("office", 2)
	fourth.waits()
	must[*clientv3.LeaseRevokeResponse](t)(at[0].kv.Revoke(t.Context(), leases[2]))
	last := elected(t, fourth)
	see("d")
	said(at[0].proclaim(won, "c2"), "election: not leader")
	at[2].resign(last)
	at[0].queued("office", 0)
}

// observe returns the values that leaders proclaim, as one member tells them.
func observe(t testing.TB, s services, name []byte) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	stream, err := s.election.Observe(ctx, &v3electionpb.LeaderRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 100)
	go func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				if ctx.Err() == nil && !errors.Is(err, io.EOF) {
					t.Errorf("the observation ended: %v", err)
				}
				return
			}
			seen <- string(r.Kv.Value)
		}
	}()
	return seen
}
