package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/linearizability/leases"
)

// Leases of real processes keep what package linearizability says is promised of them, by the clock of their holders, while leaders are
// killed and come back: none ends before its time, whatever member granted, renewed or was asked for it. That each ends in the end
// is seen here, within the bound of eventually: who led when, which the checker needs for more, nobody can say from outside.
func TestLeasePromises_LeadersKilled(t *testing.T) {
	long(t)
	t.Parallel()
	p := &leasePromises{t: t, cluster: startCluster(t, 3), begin: time.Now(), holders: newWorkload(t, "leases")}
	ends := p.watchMarkers()
	for client := range 24 {
		members := p.cluster.members
		var clients []*clientv3.Client
		for _, m := range members {
			clients = append(clients, newClient(t, m))
		}
		p.holders.loop(func(ctx context.Context) error { return p.hold(ctx, client, clients) })
	}
	rounds := 2
	if full {
		rounds = 10
	}
	for range rounds {
		p.holders.awaitSteps(12)
		m := p.cluster.leader()
		m.kill()
		p.holders.awaitSteps(12)
		m.start()
		m.awaitServing()
	}
	p.holders.awaitSteps(12)
	p.holders.stop()
	eventually(t, "all leases have ended", func() error {
		answer, err := newClient(t, p.cluster.members...).Get(t.Context(), leaseMarkers, clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err == nil && answer.Count > 0 {
			err = fmt.Errorf("%d are there", answer.Count)
		}
		return err
	})
	p.judge(ends())
}

// leaseMarkers is where every lease has a key, which tells when the lease begins and ends. Nobody deletes such a key.
const leaseMarkers = "lease/"

// leasePromises is a cluster and what the holders of leases saw of it.
type leasePromises struct {
	t       testing.TB
	cluster *cluster
	begin   time.Time
	holders *workload

	mu      sync.Mutex
	records []*leases.Record
}

// now is nanoseconds from the beginning.
func (p *leasePromises) now() int64 { return int64(time.Since(p.begin)) }

// act makes a call and notes when it was asked and answered. gone says that the answer is that there is no such lease.
func (p *leasePromises) act(call func() (gone bool, err error)) (a leases.Act, err error) {
	a.Asked = p.now()
	gone, err := call()
	switch {
	case err != nil:
		a.Until = leases.Forever // it may still take effect
	case gone:
		a.Outcome, a.Until = linearizability.Refused, p.now()
	default:
		a.Outcome, a.Until = linearizability.Answered, p.now()
	}
	return a, err
}

// hold takes one lease, renews it for a while, asks for it, and then revokes it or lets it run out.
func (p *leasePromises) hold(ctx context.Context, client int, clients []*clientv3.Client) error {
	anyone := func() *clientv3.Client { return clients[rand.IntN(len(clients))] }
	limited := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	}
	r := &leases.Record{Client: client, ID: 1 + rand.Int64N(1<<62), TTL: 2 + rand.Int64N(2)}
	var err error
	r.Grant, err = p.act(func() (bool, error) {
		ctx, cancel := limited()
		defer cancel()
		answer, err := pb.NewLeaseClient(anyone().ActiveConnection()).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: r.ID, TTL: r.TTL})
		if err == nil {
			r.TTL = answer.TTL
		}
		return false, err
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.records = append(p.records, r)
	p.mu.Unlock()
	put, cancel := limited()
	_, err = anyone().Put(put, fmt.Sprintf("%s%x", leaseMarkers, r.ID), fmt.Sprint(r.TTL), clientv3.WithLease(clientv3.LeaseID(r.ID)))
	cancel()
	if err != nil {
		return err
	}
	for range rand.IntN(6) {
		time.Sleep(rand.N(time.Second))
		if rand.IntN(3) == 0 {
			p.look(limited, anyone(), r)
		} else if p.renew(limited, anyone(), r) {
			break
		}
	}
	if rand.IntN(3) == 0 {
		a, _ := p.act(func() (bool, error) { // what its error means for the lease is in the act
			ctx, cancel := limited()
			defer cancel()
			_, err := anyone().Revoke(ctx, clientv3.LeaseID(r.ID))
			return false, err
		})
		p.note(func() { r.Revokes = append(r.Revokes, a) })
	}
	return nil
}

func (p *leasePromises) note(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// renew reports whether the lease is gone.
func (p *leasePromises) renew(limited func() (context.Context, context.CancelFunc), client *clientv3.Client, r *leases.Record) bool {
	var ttl int64
	a, _ := p.act(func() (bool, error) {
		ctx, cancel := limited()
		defer cancel()
		stream, err := pb.NewLeaseClient(client.ActiveConnection()).LeaseKeepAlive(ctx)
		if err == nil {
			err = stream.Send(&pb.LeaseKeepAliveRequest{ID: r.ID})
		}
		if err != nil {
			return false, err
		}
		answer, err := stream.Recv()
		ttl = answer.GetTTL()
		return ttl == 0, err
	})
	p.note(func() { r.Renewals = append(r.Renewals, leases.Answer{Act: a, TTL: ttl}) })
	return a.Outcome == linearizability.Refused
}

func (p *leasePromises) look(limited func() (context.Context, context.CancelFunc), client *clientv3.Client, r *leases.Record) {
	if stockEtcd {
		return // a new leader of etcd's says that more is left than was granted
	}
	var answer *pb.LeaseTimeToLiveResponse
	a, err := p.act(func() (gone bool, err error) {
		ctx, cancel := limited()
		defer cancel()
		answer, err = pb.NewLeaseClient(client.ActiveConnection()).LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: r.ID})
		return answer.GetTTL() < 0, err
	})
	if err == nil {
		p.note(func() {
			r.Looks = append(r.Looks, leases.Answer{Act: a, TTL: answer.GrantedTTL, Remaining: answer.TTL})
		})
	}
}

// markerSeen is a change of a marker and when a watch told of it, which is after it happened.
type markerSeen struct {
	event *clientv3.Event
	at    int64
}

// watchMarkers follows the markers until what it returns is called, which waits for all that has happened by then.
func (p *leasePromises) watchMarkers() (all func() []markerSeen) {
	var seen []markerSeen
	ctx, cancel := context.WithCancel(context.Background())
	p.t.Cleanup(cancel)
	const end = leaseMarkers + "end"
	client := newClient(p.t, p.cluster.members...)
	watch := client.Watch(ctx, leaseMarkers, clientv3.WithPrefix(), clientv3.WithRev(1))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for response := range watch {
			if err := response.Err(); err != nil {
				p.t.Errorf("the watch of markers ended: %v", err)
			}
			for _, e := range response.Events {
				if string(e.Kv.Key) == end {
					return
				}
				seen = append(seen, markerSeen{e, p.now()})
			}
		}
	}()
	return func() []markerSeen {
		put(p.t, client, end, "")
		select {
		case <-done:
		case <-time.After(answerPatience):
			p.t.Fatal("the watch of markers tells nothing")
		}
		return seen
	}
}

// judge makes a log of what became of the markers and holds the records to it. A lease that has none is nobody's business.
func (p *leasePromises) judge(markers []markerSeen) {
	p.t.Helper()
	of := map[int64]*leases.Record{}
	for _, r := range p.records {
		of[r.ID] = r
	}
	var log []linearizability.Applied
	var when []linearizability.Moment
	apply := func(time int64, request *pb.InternalRaftRequest) {
		when = append(when, linearizability.Moment{Stamp: uint64(len(when) + 1), Time: time})
		log = append(log, linearizability.Applied{Index: uint64(len(when)), Request: request})
	}
	var judged []*leases.Record
	renewals, looks, ended := 0, 0, 0
	for _, m := range markers {
		var id int64
		if _, err := fmt.Sscanf(strings.TrimPrefix(string(m.event.Kv.Key), leaseMarkers), "%x", &id); err != nil || of[id] == nil {
			p.t.Fatalf("whose is %s? (%v)", m.event.Kv.Key, err)
		}
		if m.event.Type == clientv3.EventTypeDelete {
			ended++
			at := m.at // or before, if a client heard of it before the watch told
			for _, a := range of[id].Revokes {
				at = min(at, a.Until)
			}
			apply(at, &pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: id}})
			continue
		}
		r := of[id]
		apply(r.Grant.Asked, &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: id, TTL: r.TTL}})
		r.Index = log[len(log)-1].Index
		apply(m.at, &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: m.event.Kv.Key, Lease: id}})
		judged = append(judged, r)
		renewals, looks = renewals+len(r.Renewals), looks+len(r.Looks)
	}
	p.t.Logf("%d leases, %d renewals, %d looks, %d ended", len(judged), renewals, looks, ended)
	if len(judged) == 0 || renewals == 0 || ended != len(judged) {
		p.t.Error(errors.New("every lease must have ended, and some must have been renewed: this test tested less than it means to"))
	}
	truth := linearizability.NewTruth(log, func(index uint64) linearizability.Moment { return when[index-1] })
	// All clocks are one here. What they are read with may still differ by a little.
	if v := leases.Check(truth, judged, leases.Bounds{Drift: 100, Now: p.now()}); v != nil {
		p.t.Error(told(v))
	}
}
