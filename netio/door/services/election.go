package services

import (
	"context"
	"sync"

	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"google.golang.org/grpc"

	"github.com/detcd/detcd/node/call"
)

// serveObserve tells who leads, and again each time that changes.
func serveObserve(self any, stream grpc.ServerStream) error {
	srv := self.(*Server)
	r := new(v3electionpb.LeaderRequest)
	if err := stream.RecvMsg(r); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	seen := &leaders{news: make(chan struct{}, 1)}
	finished := make(chan error, 1)
	go func() {
		_, err := await(ctx, srv, observing(seen.push), r)
		finished <- err
	}()
	for {
		for n := seen.pop(); n != nil; n = seen.pop() {
			if err := stream.SendMsg(n); err != nil {
				return err
			}
		}
		select {
		case <-seen.news:
		case <-stream.Context().Done():
			return ended(stream.Context())
		case err := <-finished:
			return unlessEnded(stream.Context(), err)
		}
	}
}

// observing is call.Observe as a call whose answer is its end.
func observing(each func(*v3electionpb.LeaderResponse)) starter[*v3electionpb.LeaderRequest, struct{}] {
	return func(g *call.Gate, m call.Replica, who call.Caller, r *v3electionpb.LeaderRequest, done func(struct{}, error)) func() {
		return call.Observe(g, m, who, r, each, func(err error) { done(struct{}{}, err) })
	}
}

// leadersMax is how many changes of an election wait for a client that reads slowly. Beyond that the client misses the oldest: what it wants to know is who
// leads now.
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
