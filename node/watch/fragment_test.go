package watch_test

import (
	"bytes"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/watch"
)

func TestStep_Fragments(t *testing.T) {
	w := newWorld(t)
	c := w.client(watch.Options{FragmentBytes: 1000})
	c.create(&pb.WatchCreateRequest{RangeEnd: []byte{0}, Fragment: true})
	c.create(&pb.WatchCreateRequest{RangeEnd: []byte{0}})
	c.create(&pb.WatchCreateRequest{RangeEnd: []byte{0}, Fragment: true, StartRevision: 3})
	c.drain()
	r := &pb.TxnRequest{}
	for i := range 10 {
		value := bytes.Repeat([]byte{'v'}, 200)
		if i == 5 {
			value = bytes.Repeat(value, 10) // larger than a fragment by itself
		}
		put := &pb.PutRequest{Key: fmt.Append(nil, i), Value: value}
		r.Success = append(r.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
	}
	w.commit(&pb.InternalRaftRequest{Txn: r})
	w.put("small", "")
	w.catchUp()
	var parts [][]*mvccpb.Event
	got := c.drain()
	fragments := 0
	for ; fragments < len(got) && got[fragments].WatchId == 0; fragments++ {
		m := got[fragments]
		parts = append(parts, m.Events)
		if size := proto.Size(m); size > 1000 && len(m.Events) > 1 {
			t.Errorf("fragment %d has %d events and %d bytes", fragments, len(m.Events), size)
		}
		if next := got[fragments+1]; m.Fragment != (next.WatchId == 0) {
			t.Errorf("fragment %d says %v", fragments, m.Fragment)
		}
	}
	if fragments != 4 {
		t.Errorf("%d fragments", fragments)
	}
	joined := &pb.WatchResponse{Header: header(3)}
	for _, part := range parts {
		joined.Events = append(joined.Events, part...)
	}
	if !proto.Equal(joined, w.told(0, 3, 2, 3)) {
		t.Errorf("the fragments make %v", joined)
	}
	if rest := got[fragments:]; len(rest) != 2 || !proto.Equal(rest[0], w.told(1, 3, 2, 3)) || !proto.Equal(rest[1], w.told(2, 3, 3)) {
		t.Errorf("beside the fragments: %d answers", len(rest))
	}
}
