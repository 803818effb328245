package services

import (
	"errors"
	"io"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/detcd/detcd/node/call"
)

// renewalsMax is how many renewals of one stream may wait for their answers, or to be sent; beyond that the client's sending waits.
const renewalsMax = 1024

// serveKeepAlive renews leases. It takes the next request without waiting for the answer to the one before: requests that come together are begun in one turn of the
// member, and go to the leader together. Answers keep the order of the requests.
func serveKeepAlive(srv *Server, who call.Caller, stream grpc.ServerStream) error {
	s := &renewals{server: srv, who: who, stream: stream, news: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	go func() { s.end(s.receive()) }()
	return s.run()
}

// renewals are those of one stream, on their way from its receiver through the member's turns to its sender.
type renewals struct {
	server *Server
	who    call.Caller
	stream grpc.ServerStream
	news   chan struct{} // capacity 1: the oldest renewal is answered, or the stream ends
	room   chan struct{} // capacity 1: the queue is no longer full

	mu sync.Mutex
	// queue is all that were not sent yet, in the order of their requests; waiting is those of them that no turn has begun.
	queue, waiting []*renewal
	spare          []*renewal // for waiting, when that is taken
	asked          bool       // for a turn
	ended          bool       // the client has no more requests, or failed
	failed         error
}

// renewal is one request and, once it is ready, its answer.
type renewal struct {
	request pb.LeaseKeepAliveRequest
	ready   bool
	resp    *pb.LeaseKeepAliveResponse
	err     error
}

// receive takes requests in until there are no more.
func (s *renewals) receive() error {
	for {
		n := &renewal{}
		if err := s.stream.RecvMsg(&n.request); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := s.add(n); err != nil {
			return err
		}
	}
}

// add queues a renewal, and sees to it that a turn begins it.
func (s *renewals) add(n *renewal) error {
	s.mu.Lock()
	for len(s.queue) >= renewalsMax {
		s.mu.Unlock()
		select {
		case <-s.room:
		case <-s.stream.Context().Done():
			return ended(s.stream.Context())
		}
		s.mu.Lock()
	}
	s.queue, s.waiting = append(s.queue, n), append(s.waiting, n)
	ask := !s.asked
	s.asked = true
	s.mu.Unlock()
	if ask && !s.server.backend.Turn(s.begin) {
		s.answer(n, nil, rpctypes.ErrGRPCStopped)
	}
	return nil
}

// begin begins all that wait, in a turn.
func (s *renewals) begin(m call.Replica) {
	s.mu.Lock()
	batch := s.waiting
	s.waiting, s.asked = s.spare[:0], false
	s.mu.Unlock()
	for _, n := range batch {
		call.Do(s.server.gate, m, s.who, &call.LeaseKeepAlive, &n.request, func(resp *pb.LeaseKeepAliveResponse, _ *call.Outcome, err error) {
			s.answer(n, resp, err)
		})
	}
	clear(batch)
	s.mu.Lock()
	s.spare = batch
	s.mu.Unlock()
}

func (s *renewals) answer(n *renewal, resp *pb.LeaseKeepAliveResponse, err error) {
	s.mu.Lock()
	n.resp, n.err, n.ready = resp, err, true
	oldest := len(s.queue) > 0 && s.queue[0] == n
	s.mu.Unlock()
	if oldest {
		signal(s.news)
	}
}

// end says that no more requests come, and why.
func (s *renewals) end(err error) {
	s.mu.Lock()
	s.ended, s.failed = true, err
	s.mu.Unlock()
	signal(s.news)
}

// take takes the answers that are due. Over: there will be no more.
func (s *renewals) take(to []*renewal) (due []*renewal, over bool, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.queue) && s.queue[n].ready {
		n++
	}
	due = append(to, s.queue[:n]...)
	left := copy(s.queue, s.queue[n:])
	clear(s.queue[left:])
	s.queue = s.queue[:left]
	if n > 0 {
		signal(s.room)
	}
	return due, s.ended && left == 0, s.failed
}

// run sends answers until the stream ends.
func (s *renewals) run() error {
	ctx := s.stream.Context()
	var due []*renewal
	for {
		var over bool
		var failed error
		due, over, failed = s.take(due[:0])
		for i, n := range due {
			due[i] = nil
			if n.err != nil {
				return n.err
			}
			if err := s.stream.SendMsg(n.resp); err != nil {
				return err
			}
		}
		if over {
			return failed
		}
		select {
		case <-s.news:
		case <-ctx.Done():
			return ended(ctx)
		}
	}
}

// signal makes a channel of capacity 1 ready; it does not block.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
