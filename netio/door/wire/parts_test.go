package wire

import (
	"bytes"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/statemachine"
)

// Whatever the size of an answer and of what is in it, its parts together are the message.
func TestEncodeRange_InParts(t *testing.T) {
	for _, c := range []struct {
		keys, valueBytes int
		keysOnly         bool
		way              string
	}{
		{10, 10, false, "whole"},
		{1000, 1024, false, "shared"},
		{3, 1 << 20, false, "shared"},
		{20000, 10, false, "pieces"},
		{2000, 300, false, "pieces"},
		{20000, 100, true, "pieces"},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.keys, c.valueBytes), func(t *testing.T) {
			result := rangeOf(t, c.keys, c.valueBytes, c.keysOnly)
			h := Header{1, 2, 3, 4}
			want := result.Response()
			want.Header = h.message()
			e := EncodeRange(h, result)
			got := &pb.RangeResponse{}
			if err := proto.Unmarshal(e.data.Materialize(), got); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(got, want) {
				t.Error("the answer is another one")
			}
			way := "pieces"
			if kv, stored := result.EncodedKV(0); len(e.data) == 1 {
				way = "whole"
			} else if stored && len(e.data) > 1 && &e.data[1].ReadOnlyData()[0] == &kv[0] {
				way = "shared"
			}
			if way != c.way {
				t.Errorf("it went %s, want %s", way, c.way)
			}
			e.data.Free()
			for _, last := range []bool{false, true} {
				chunk := call.Chunk{Result: result, Last: last, Revision: 7, Count: 9, More: true}
				e := EncodeChunk(&chunk, node.Status{ID: 1, ClusterID: 2, Standing: node.Standing{Term: 3}})
				if want := chunk.Append(nil, node.Status{ID: 1, ClusterID: 2, Standing: node.Standing{Term: 3}}); !bytes.Equal(e.data.Materialize(), want) {
					t.Errorf("chunk, last %v: it is another one", last)
				}
				e.data.Free()
			}
		})
	}
}

// rangeOf reads a store of some keys.
func rangeOf(t *testing.T, keys, valueBytes int, keysOnly bool) *statemachine.RangeResult {
	t.Helper()
	m := statemachine.New()
	m.Apply(1, 1, &statemachine.Envelope{Change: &statemachine.MemberChange{Kind: statemachine.AddVoter, Member: statemachine.MemberInfo{ID: 1}}}, true)
	b := &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: 1}}
	for i := range keys {
		b.Requests = append(b.Requests, &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: fmt.Appendf(nil, "key %08d", i), Value: bytes.Repeat([]byte{byte(i)}, valueBytes)}})
	}
	if _, fresh := m.Apply(2, 1, b, false); !fresh {
		t.Fatal("nothing was applied")
	}
	result, err := m.Publish().Range(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, KeysOnly: keysOnly})
	if err != nil {
		t.Fatal(err)
	}
	return result
}
