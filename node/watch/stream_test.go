package watch_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/watch"
)

func TestHandle_IgnoresWhatItDoesNotKnow(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{})
	for _, r := range []*pb.WatchRequest{nil, {}, {RequestUnion: &pb.WatchRequest_CreateRequest{}}, {RequestUnion: &pb.WatchRequest_CancelRequest{}},
		{RequestUnion: &pb.WatchRequest_ProgressRequest{}}} {
		c.stream.Handle(r)
		c.due = true
	}
	if got := c.drain(); len(got) > 0 {
		t.Errorf("answered %v", got)
	}
}
