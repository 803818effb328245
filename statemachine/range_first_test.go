package statemachine_test

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/statemachine"
)

// A request with limit 1 gets the same first key-value as one without a limit, also if many are equal in what they are sorted by.
func TestRange_TheFirstIsTheFirst(t *testing.T) {
	m := statemachine.New()
	var index uint64
	for i := range 300 {
		index++
		put := &pb.PutRequest{Key: fmt.Appendf(nil, "k%02d", i*7%100), Value: fmt.Append(nil, i%3)}
		if i > 200 && i%5 > 0 {
			put.Key = []byte("k50")
		}
		m.Apply(index, 1, &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: index}, Requests: []*pb.InternalRaftRequest{{Put: put}}}, false)
	}
	v := m.Publish()
	for target := range pb.RangeRequest_SortTarget_name {
		for _, order := range []pb.RangeRequest_SortOrder{pb.RangeRequest_ASCEND, pb.RangeRequest_DESCEND} {
			for _, rev := range []int64{0, 150, 250} {
				r := &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), Revision: rev, Limit: 1}
				r.SortTarget, r.SortOrder = pb.RangeRequest_SortTarget(target), order
				first, err := v.Range(r)
				if err != nil {
					t.Fatal(err)
				}
				r.Limit = 0
				more, err := v.Range(r)
				if err != nil {
					t.Fatal(err)
				}
				if first.Len() != 1 || !first.More || first.Count != more.Count || !proto.Equal(first.KeyValue(0), more.KeyValue(0)) {
					t.Errorf("%v: %d (%v) of %d, the first of all is %v", r, first.Len(), first.Response().Kvs, first.Count, more.KeyValue(0))
				}
			}
		}
	}
}
