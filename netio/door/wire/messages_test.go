package wire

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/netio/door/doortest"
)

var someBytes = rapid.SliceOfN(rapid.Byte(), 0, 40)

func marshal(t interface{ Fatal(...any) }, m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCodec_ReadsPutsAsTheLibraryDoes(t *testing.T) {
	c := NewCodec()
	rapid.Check(t, func(t *rapid.T) {
		want := &pb.PutRequest{
			Key: someBytes.Draw(t, "key"), Value: someBytes.Draw(t, "value"), Lease: rapid.Int64().Draw(t, "lease"),
			PrevKv: rapid.Bool().Draw(t, "prev"), IgnoreValue: rapid.Bool().Draw(t, "value ignored"), IgnoreLease: rapid.Bool().Draw(t, "lease ignored"),
		}
		got := &pb.PutRequest{}
		if err := c.Unmarshal(pieces(t, marshal(t, want)), got); err != nil || !proto.Equal(got, want) {
			t.Fatalf("got %v, error %v; want %v", got, err, want)
		}
	})
}

func TestCodec_ReadsRangesAsTheLibraryDoes(t *testing.T) {
	c := NewCodec()
	rapid.Check(t, func(t *rapid.T) {
		number := func(name string) int64 { return rapid.Int64().Draw(t, name) }
		flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
		want := &pb.RangeRequest{
			Key: someBytes.Draw(t, "key"), RangeEnd: someBytes.Draw(t, "end"), Limit: number("limit"), Revision: number("revision"),
			SortOrder:    pb.RangeRequest_SortOrder(rapid.Int32().Draw(t, "order")),
			SortTarget:   pb.RangeRequest_SortTarget(rapid.Int32().Draw(t, "target")),
			Serializable: flag("serializable"), KeysOnly: flag("keys only"), CountOnly: flag("count only"),
			MinModRevision: number("a"), MaxModRevision: number("b"), MinCreateRevision: number("c"), MaxCreateRevision: number("d"),
		}
		got := &pb.RangeRequest{}
		if err := c.Unmarshal(pieces(t, marshal(t, want)), got); err != nil || !proto.Equal(got, want) {
			t.Fatalf("got %v, error %v; want %v", got, err, want)
		}
	})
}

func TestCodec_RenewsAsTheLibraryDoes(t *testing.T) {
	c := NewCodec()
	rapid.Check(t, func(t *rapid.T) {
		number := func(name string) int64 { return rapid.Int64().Draw(t, name) }
		want := &pb.LeaseKeepAliveRequest{ID: number("id")}
		got := &pb.LeaseKeepAliveRequest{}
		if err := c.Unmarshal(pieces(t, marshal(t, want)), got); err != nil || !proto.Equal(got, want) {
			t.Fatalf("got %v, error %v; want %v", got, err, want)
		}
		answer := &pb.LeaseKeepAliveResponse{ID: number("id"), TTL: number("ttl")}
		if rapid.Bool().Draw(t, "with header") {
			answer.Header = Header{rapid.Uint64().Draw(t, "cluster"), rapid.Uint64().Draw(t, "member"), rapid.Uint64().Draw(t, "term"), number("revision")}.message()
		}
		data, err := c.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		sent := &pb.LeaseKeepAliveResponse{}
		if err := proto.Unmarshal(data.Materialize(), sent); err != nil || !proto.Equal(sent, answer) {
			t.Fatalf("sent %v, error %v; want %v", sent, err, answer)
		}
	})
}

// pieces cuts data as it may come from a connection.
func pieces(t *rapid.T, data []byte) mem.BufferSlice {
	cut := rapid.IntRange(0, len(data)).Draw(t, "cut")
	return mem.BufferSlice{mem.SliceBuffer(data[:cut]), mem.SliceBuffer(data[cut:])}
}

func TestCodec_WritesPutsAsTheLibraryDoes(t *testing.T) {
	c := NewCodec()
	rapid.Check(t, func(t *rapid.T) {
		want := &pb.PutResponse{Header: Header{rapid.Uint64().Draw(t, "cluster"), rapid.Uint64().Draw(t, "member"), rapid.Uint64().Draw(t, "term"), rapid.Int64().Draw(t, "revision")}.message()}
		if rapid.Bool().Draw(t, "previous") {
			want.PrevKv = &mvccpb.KeyValue{Key: someBytes.Draw(t, "key"), Value: someBytes.Draw(t, "value"), ModRevision: rapid.Int64().Draw(t, "mod")}
		}
		data, err := c.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got := &pb.PutResponse{}
		if err := proto.Unmarshal(data.Materialize(), got); err != nil || !proto.Equal(got, want) {
			t.Fatalf("got %v, error %v; want %v", got, err, want)
		}
	})
}

func TestEncodeRange_IsTheMessage(t *testing.T) {
	b := doortest.NewSingle()
	for i := range 50 {
		b.Apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte{'k', byte(i)}, Value: make([]byte, i*i), Lease: 0}})
	}
	v := b.AcquireView()
	defer v.Release()
	for _, r := range []*pb.RangeRequest{
		{Key: []byte{'k', 3}},
		{Key: []byte("none")},
		{Key: []byte("k"), RangeEnd: []byte("l")},
		{Key: []byte("k"), RangeEnd: []byte("l"), Limit: 7},
		{Key: []byte("k"), RangeEnd: []byte("l"), KeysOnly: true},
		{Key: []byte("k"), RangeEnd: []byte("l"), CountOnly: true},
		{Key: []byte{0}, RangeEnd: []byte{0}, SortOrder: pb.RangeRequest_DESCEND, SortTarget: pb.RangeRequest_MOD},
	} {
		result, err := v.Range(r)
		if err != nil {
			t.Fatal(err)
		}
		h := Header{1 << 63, 2, 3, v.Revision()}
		want := result.Response()
		want.Header = h.message()
		got := &pb.RangeResponse{}
		data := EncodeRange(h, result).data
		if err := proto.Unmarshal(data.Materialize(), got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%v: got %v, error %v; want %v", r, got, err, want)
		}
	}
}

// FuzzDecode holds that what is no message is refused where the library refuses it, and that nothing else differs.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x0a, 1, 'k', 0x12, 1, 'v', 0x18, 5, 0x20, 1})
	f.Add([]byte{0x0a, 0xff, 0xff})
	f.Add([]byte{0x0b, 0x0c})
	f.Add([]byte{0x08, 1, 0x15, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		put, wantPut := &pb.PutRequest{}, &pb.PutRequest{}
		err, wantErr := decodePut(data, put), proto.Unmarshal(data, wantPut)
		wantPut.ProtoReflect().SetUnknown(nil)
		if (err == nil) != (wantErr == nil) || err == nil && !proto.Equal(put, wantPut) {
			t.Errorf("put %v, error %v; the library has %v, %v", put, err, wantPut, wantErr)
		}
		r, wantRange := &pb.RangeRequest{}, &pb.RangeRequest{}
		err, wantErr = decodeRange(data, r), proto.Unmarshal(data, wantRange)
		wantRange.ProtoReflect().SetUnknown(nil)
		if (err == nil) != (wantErr == nil) || err == nil && !proto.Equal(r, wantRange) {
			t.Errorf("range %v, error %v; the library has %v, %v", r, err, wantRange, wantErr)
		}
	})
}

// message is the header as the library encodes it.
func (h Header) message() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: h.Cluster, MemberId: h.Member, Revision: h.Revision, RaftTerm: h.Term}
}
