// Package wire writes and reads by hand, for speed, the messages of the hot path: puts, ranges, renewals of leases, and what watchers are sent. What comes out is
// what every protobuf library reads and writes; all other messages go through gRPC's own codec.
//
// It knows bytes, and decides nothing. Services use a Codec for all messages, and give it answers that are encoded already (Encoded).
//
// Concurrency: a Codec and the functions may be used by any goroutine; a WatchEncoder belongs to one stream.
package wire

import (
	"fmt"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"  // clients may compress; the limit of a request holds for what comes out
	_ "google.golang.org/grpc/encoding/proto" // registers the codec for all other messages
	"google.golang.org/grpc/mem"
)

// Encoded is an answer that is on the wire's form already: it is sent as it is.
type Encoded struct{ data mem.BufferSlice }

// Codec is the server's side of "proto": the messages of the hot path go by hand, all others as gRPC does it. What it reads and
// writes is what every protobuf implementation reads and writes.
type Codec struct {
	proto encoding.CodecV2
	// Received and Sent count bytes of messages.
	Received, Sent atomic.Uint64
}

// NewCodec returns a codec that has counted nothing.
func NewCodec() *Codec { return &Codec{proto: encoding.GetCodecV2("proto")} }

var _ encoding.CodecV2 = (*Codec)(nil)

// Name implements encoding.CodecV2.
func (c *Codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (c *Codec) Marshal(v any) (mem.BufferSlice, error) {
	var data mem.BufferSlice
	var err error
	switch m := v.(type) {
	case *Encoded:
		data = m.data
	case *pb.PutResponse:
		data = encodePut(m)
	case *pb.LeaseKeepAliveResponse:
		data = encodeKeepAlive(m)
	default:
		data, err = c.proto.Marshal(v)
	}
	c.Sent.Add(uint64(data.Len()))
	return data, err
}

// Unmarshal implements encoding.CodecV2. The message shares nothing with data.
func (c *Codec) Unmarshal(data mem.BufferSlice, v any) error {
	c.Received.Add(uint64(data.Len()))
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
