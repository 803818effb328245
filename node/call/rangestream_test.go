package call_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
)

func stored(t testing.TB, keys, size int) *fakeCluster {
	c := newCluster(t, 0)
	for i := range keys {
		c.append(putKey(fmt.Sprintf("k%05d", i), strings.Repeat("v", size)))
	}
	return c
}

// chunks reads a whole stream; between is called before each chunk but the first.
func chunks(c *fakeCluster, l call.Limits, r *pb.RangeRequest, between func()) (list []call.Chunk, err error) {
	s, _, err := call.NewRangeStream(l, r)
	if err != nil {
		return nil, err
	}
	for !s.Done() {
		if len(list) > 0 {
			between()
		}
		chunk, err := s.Next(c.view())
		if err != nil {
			if !s.Done() {
				c.t.Error("a stream goes on after an error")
			}
			return list, err
		}
		list = append(list, chunk)
	}
	return list, nil
}

func TestRangeStream_ChunksGrowAsEtcds(t *testing.T) {
	c := stored(t, 3000, 1000)
	l := call.DefaultLimits()
	l.MaxRequestBytes = 100 << 10
	list, err := chunks(c, l, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, chunk := range list {
		sizes = append(sizes, chunk.Result.Len())
	}
	if want := []int{10, 20, 40, 80, 80}; !slices.Equal(sizes[:5], want) {
		t.Errorf("chunks of %v keys, want %v at first", sizes[:5], want)
	}
	for i, chunk := range list {
		if chunk.Last != (i == len(list)-1) {
			t.Errorf("chunk %d of %d: last %v", i, len(list), chunk.Last)
		}
	}
	if last := list[len(list)-1]; last.Count != 3000 || last.More || last.Revision != 3001 {
		t.Errorf("count %d, more %v, revision %d", last.Count, last.More, last.Revision)
	}
}

func TestRangeStream_AChunkOfLargeValuesAfterSmallOnesIsBounded(t *testing.T) {
	c := stored(t, 2000, 1)
	for i := range 200 {
		c.append(putKey(fmt.Sprintf("l%05d", i), strings.Repeat("v", 20<<10)))
	}
	l := call.DefaultLimits()
	l.MaxRequestBytes = 100 << 10
	list, err := chunks(c, l, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("m")}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	for i, chunk := range list {
		if n := chunk.Result.Size(); n > 200<<10 {
			t.Errorf("chunk %d has %d bytes", i, n)
		}
	}
}

func TestRangeStream_Refuses(t *testing.T) {
	for name, s := range map[string]struct {
		r    *pb.RangeRequest
		code codes.Code
	}{
		"no key":     {&pb.RangeRequest{}, codes.InvalidArgument},
		"bad order":  {&pb.RangeRequest{Key: []byte("a"), SortOrder: 9}, codes.InvalidArgument},
		"bad target": {&pb.RangeRequest{Key: []byte("a"), SortTarget: 9}, codes.InvalidArgument},
		"ascending":  {&pb.RangeRequest{Key: []byte("a"), SortOrder: pb.RangeRequest_ASCEND}, codes.OK},
	} {
		if _, _, err := call.NewRangeStream(call.DefaultLimits(), s.r); status.Code(err) != s.code {
			t.Errorf("%s: %v, want %v", name, err, s.code)
		}
	}
}

func TestRangeStream_WayOfTheFirstView(t *testing.T) {
	for serializable, want := range map[bool]call.Way{false: call.Linearized, true: call.Locally} {
		_, way, err := call.NewRangeStream(call.DefaultLimits(), &pb.RangeRequest{Key: []byte("a"), Serializable: serializable})
		if err != nil || way != want {
			t.Errorf("serializable %v: %v, %v", serializable, way, err)
		}
	}
}

func TestRangeStream_EndsWhereItsRevisionIsCompacted(t *testing.T) {
	c := stored(t, 100, 10)
	n := 0
	list, err := chunks(c, call.DefaultLimits(), &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")}, func() {
		if n++; n == 2 {
			c.append(putKey("k00099", ""))
			c.append(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: 102}})
		}
	})
	if err != rpctypes.ErrGRPCCompacted || len(list) != 2 {
		t.Errorf("%v after %d chunks", err, len(list))
	}
	if _, err := chunks(c, call.DefaultLimits(), &pb.RangeRequest{Key: []byte("k"), Revision: 200}, func() {}); err != rpctypes.ErrGRPCFutureRev {
		t.Errorf("of the future: %v", err)
	}
}

// Chunks put together are what Range answers, however the store changes meanwhile; and both forms of a chunk say the same.
func TestRangeStream_IsTheRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster(nil, 0)
		change := func() {
			for range rapid.IntRange(0, 40).Draw(t, "changes") {
				key := fmt.Sprintf("k%02d", rapid.IntRange(0, 60).Draw(t, "key"))
				if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
					c.delete(key)
				} else {
					c.append(putKey(key, strings.Repeat("v", rapid.IntRange(0, 100).Draw(t, "size"))))
				}
			}
		}
		change()
		change()
		r := &pb.RangeRequest{
			Key: []byte("k"), RangeEnd: []byte{0}, Limit: rapid.Int64Range(-1, 40).Draw(t, "limit"), KeysOnly: rapid.Bool().Draw(t, "keysOnly"),
			CountOnly: rapid.IntRange(0, 5).Draw(t, "countOnly") == 0, Revision: rapid.SampledFrom([]int64{0, c.head.Revision(), max(1, c.head.Revision()-5)}).Draw(t, "revision"),
		}
		if rapid.IntRange(0, 5).Draw(t, "one") == 0 {
			r.Key, r.RangeEnd = []byte("k07"), nil
		}
		if rapid.Bool().Draw(t, "in order") {
			r.SortTarget = pb.RangeRequest_SortTarget(rapid.IntRange(0, 4).Draw(t, "target"))
			r.SortOrder = pb.RangeRequest_SortOrder(rapid.IntRange(0, 2).Draw(t, "order"))
		}
		bound := rapid.Int64Range(0, c.head.Revision()+1)
		switch rapid.IntRange(0, 5).Draw(t, "filter") {
		case 0:
			r.MinModRevision, r.MaxCreateRevision = bound.Draw(t, "bound"), bound.Draw(t, "bound")
		case 1:
			r.MaxModRevision, r.MinCreateRevision = bound.Draw(t, "bound"), bound.Draw(t, "bound")
		}
		res, err := c.view().Range(r)
		if err != nil {
			t.Fatal(err)
		}
		want := res.Response()
		st := node.Status{ID: 3, ClusterID: 7, Standing: node.Standing{Term: 2}}
		want.Header.ClusterId, want.Header.MemberId, want.Header.RaftTerm = 7, 3, 2
		if r.CountOnly {
			want.More = false
		}
		l := call.Limits{MaxRequestBytes: rapid.IntRange(1, 2000).Draw(t, "chunk")}
		list, err := chunks(c, l, r, change)
		if err != nil {
			t.Fatal(err)
		}
		got := &pb.RangeResponse{}
		for i := range list {
			encoded := list[i].Append(nil, st)
			if len(encoded) > list[i].Size() {
				t.Fatalf("a chunk of %d bytes, promised were %d", len(encoded), list[i].Size())
			}
			decoded := &pb.RangeStreamResponse{}
			if err := proto.Unmarshal(encoded, decoded); err != nil {
				t.Fatal(err)
			}
			if message := list[i].Response(st); !proto.Equal(message, decoded) {
				t.Fatalf("as a message %v, encoded %v", message, decoded)
			}
			proto.Merge(got, decoded.GetRangeResponse())
		}
		if !proto.Equal(got, want) {
			t.Fatalf("streamed %v, want %v", got, want)
		}
	})
}

// A stream in another order than that of keys is found at once and read in chunks that are bounded like all others; neither what is written
// nor a compaction meanwhile changes it.
func TestRangeStream_SortedIsBoundedAndOutlivesCompaction(t *testing.T) {
	c := stored(t, 2000, 1)
	for i := range 200 {
		c.append(putKey(fmt.Sprintf("l%05d", i), strings.Repeat("v", 20<<10)))
	}
	l := call.DefaultLimits()
	l.MaxRequestBytes = 100 << 10
	r := &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("m"), SortTarget: pb.RangeRequest_MOD, SortOrder: pb.RangeRequest_DESCEND}
	list, err := chunks(c, l, r, func() {
		rev := c.append(putKey("k00000", "new")).Response.(*pb.PutResponse).GetHeader().GetRevision()
		c.append(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: rev}})
	})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for i, chunk := range list {
		if n := chunk.Result.Size(); n > 200<<10 {
			t.Errorf("chunk %d has %d bytes", i, n)
		}
		for j := range chunk.Result.Len() {
			keys = append(keys, string(chunk.Result.KeyValue(j).GetKey()))
		}
	}
	if len(keys) != 2200 || keys[0] != "l00199" || keys[2199] != "k00000" || !slices.IsSortedFunc(keys, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("%d keys, from %s to %s", len(keys), keys[0], keys[len(keys)-1])
	}
	if last := list[len(list)-1]; last.Count != 2200 || last.Revision != 2201 {
		t.Errorf("count %d, revision %d", last.Count, last.Revision)
	}
}
