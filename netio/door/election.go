package door

import (
	"context"
	"sync"

	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"

	"github.com/detcd/detcd/node/call"
)

// electionService is the Election service.
type electionService struct {
	v3electionpb.UnimplementedElectionServer
	door *Door
}

// Campaign waits to be elected.
func (e *electionService) Campaign(ctx context.Context, r *v3electionpb.CampaignRequest) (*v3electionpb.CampaignResponse, error) {
	return await(ctx, e.door, call.Campaign, r)
}

// Proclaim changes the leader's value.
func (e *electionService) Proclaim(ctx context.Context, r *v3electionpb.ProclaimRequest) (*v3electionpb.ProclaimResponse, error) {
	return await(ctx, e.door, atOnce(call.Proclaim), r)
}

// Resign gives leadership back.
func (e *electionService) Resign(ctx context.Context, r *v3electionpb.ResignRequest) (*v3electionpb.ResignResponse, error) {
	return await(ctx, e.door, atOnce(call.Resign), r)
}

// Leader says who leads.
func (e *electionService) Leader(ctx context.Context, r *v3electionpb.LeaderRequest) (*v3electionpb.LeaderResponse, error) {
	return await(ctx, e.door, atOnce(call.Leader), r)
}

// Observe tells who leads, and again each time that changes.
func (e *electionService) Observe(r *v3electionpb.LeaderRequest, stream v3electionpb.Election_ObserveServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	seen := &leaders{news: make(chan struct{}, 1)}
	finished := make(chan error, 1)
	go func() {
		_, err := await(ctx, e.door, func(m call.Member, l call.Limits, r *v3electionpb.LeaderRequest, done func(struct{}, error)) func() {
			return call.Observe(m, l, r, seen.push, func(err error) { done(struct{}{}, err) })
		}, r)
		finished <- err
	}()
	for {
		for n := seen.pop(); n != nil; n = seen.pop() {
			if err := stream.Send(n); err != nil {
				return err
			}
		}
		select {
		case <-seen.news:
		case <-stream.Context().Done():
			return ended(stream.Context())
		case err := <-finished:
			return err
		}
	}
}

// leadersMax is how many changes of an election wait for a client that reads slowly. Beyond that it misses the oldest: what it asks for
// is who leads now.
const leadersMax = 1000

// leaders is a queue from the member's turns to a stream.
type leaders struct {
	news  chan struct{} // capacity 1
	mu    sync.Mutex
	queue []*v3electionpb.LeaderResponse
}

// push does not block.
func (l *leaders) push(r *v3electionpb.LeaderResponse) {
	l.mu.Lock()
	if len(l.queue) == leadersMax {
		l.queue = append(l.queue[:0], l.queue[1:]...)
	}
	l.queue = append(l.queue, r)
	l.mu.Unlock()
	signal(l.news)
}

// pop takes the oldest; nil: there is none.
func (l *leaders) pop() *v3electionpb.LeaderResponse {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return nil
	}
	r := l.queue[0]
	l.queue[0] = nil
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return r
}
