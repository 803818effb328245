package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
)

// watchStream is a watch stream as it is on the wire: the stock client hides ids, fragments and most refusals.
type watchStream struct {
	t         testing.TB
	stream    grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse]
	responses chan *pb.WatchResponse
}

// answerPatience is how long a test waits for an answer, which no healthy server needs.
const answerPatience = 30 * time.Second

// openWatch opens a stream at one member. It ends with the test.
func openWatch(t testing.TB, m *member) *watchStream {
	t.Helper()
	s := openUnreadWatch(t, m)
	go func() {
		defer close(s.responses)
		for {
			r, err := s.stream.Recv()
			if err != nil {
				return
			}
			s.responses <- r
		}
	}()
	return s
}

// openUnreadWatch opens a stream whose client reads nothing.
func openUnreadWatch(t testing.TB, m *member) *watchStream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	client := newClient(t, m)
	eventually(t, "a watch stream opens", func() error {
		_, err := client.Status(ctx, m.client) // the connection is made
		return err
	})
	stream, err := pb.NewWatchClient(client.ActiveConnection()).Watch(ctx, grpc.MaxCallRecvMsgSize(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	return &watchStream{t: t, stream: stream, responses: make(chan *pb.WatchResponse, 10000)}
}

func (s *watchStream) send(r *pb.WatchRequest) {
	s.t.Helper()
	if err := s.stream.Send(r); err != nil {
		s.t.Fatal(err)
	}
}

// next returns the next response.
func (s *watchStream) next() *pb.WatchResponse {
	s.t.Helper()
	select {
	case r, ok := <-s.responses:
		if !ok {
			s.t.Fatal("the watch stream has ended")
		}
		return r
	case <-time.After(answerPatience):
		s.t.Fatal("no response on the watch stream")
	}
	return nil
}

func (s *watchStream) create(r *pb.WatchCreateRequest) {
	s.t.Helper()
	s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}})
}

// created sends a create request and returns the answer, which is the next response: nothing else may be going on.
func (s *watchStream) created(r *pb.WatchCreateRequest) *pb.WatchResponse {
	s.t.Helper()
	s.create(r)
	answer := s.next()
	if !answer.Created || len(answer.Events) > 0 {
		s.t.Fatalf("the answer to a create request is %v", answer)
	}
	return answer
}

func (s *watchStream) cancel(id int64) {
	s.t.Helper()
	s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
}

func (s *watchStream) requestProgress() {
	s.t.Helper()
	s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
}

// events reads responses until n events have come, and returns them in short form, with the id of their watcher before each.
func (s *watchStream) events(n int) (events []string) {
	s.t.Helper()
	for len(events) < n {
		r := s.next()
		if r.Canceled || len(r.Events) == 0 {
			s.t.Fatalf("%d of %d events, then %v", len(events), n, r)
		}
		for _, e := range r.Events {
			events = append(events, fmt.Sprintf("%d: %s", r.WatchId, short(e)))
		}
	}
	return events
}

// short tells an event in a few words.
func short(e *mvccpb.Event) string {
	text := fmt.Sprintf("%s %s", e.Type, e.Kv.Key)
	if e.Type == mvccpb.Event_PUT {
		text += "=" + string(e.Kv.Value)
	}
	if e.PrevKv != nil {
		text += " before " + string(e.PrevKv.Value)
	}
	return text
}
