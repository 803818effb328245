package door

import (
	"fmt"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"  // clients may compress; the limit of a request holds for what comes out
	_ "google.golang.org/grpc/encoding/proto" // registers the codec for all other messages
	"google.golang.org/grpc/mem"
)

// encoded is an answer that is on the wire's form already: it is sent as it is.
type encoded struct{ data mem.BufferSlice }

// codec is the server's side of "proto": the messages of the hot path go by hand, all others as gRPC does it. What it reads and
// writes is what every protobuf implementation reads and writes.
type codec struct {
	proto encoding.CodecV2
	// received and sent count bytes of messages.
	received, sent atomic.Uint64
}

func newCodec() *codec { return &codec{proto: encoding.GetCodecV2("proto")} }

var _ encoding.CodecV2 = (*codec)(nil)

// Name implements encoding.CodecV2.
func (c *codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (c *codec) Marshal(v any) (mem.BufferSlice, error) {
	var data mem.BufferSlice
	var err error
	switch m := v.(type) {
	case *encoded:
		data = m.data
	case *pb.PutResponse:
		data = encodePut(m)
	case *pb.LeaseKeepAliveResponse:
		data = encodeKeepAlive(m)
	default:
		data, err = c.proto.Marshal(v)
	}
	c.sent.Add(uint64(data.Len()))
	return data, err
}

// Unmarshal implements encoding.CodecV2. The message shares nothing with data.
func (c *codec) Unmarshal(data mem.BufferSlice, v any) error {
	c.received.Add(uint64(data.Len()))
	var err error
	switch m := v.(type) {
	case *pb.PutRequest:
		err = decodePut(flat(data), m)
	case *pb.RangeRequest:
		err = decodeRange(flat(data), m)
	case *pb.LeaseKeepAliveRequest:
		err = decodeKeepAlive(flat(data), m)
	default:
		return c.proto.Unmarshal(data, v)
	}
	if err != nil {
		return fmt.Errorf("failed to unmarshal, message is %T: %w", v, err)
	}
	return nil
}

// flat is data as one slice. It copies only what came in several pieces.
func flat(data mem.BufferSlice) []byte {
	if len(data) == 1 {
		return data[0].ReadOnlyData()
	}
	return data.Materialize()
}
