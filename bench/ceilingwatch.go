package main

import (
	"errors"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec for all other messages
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// ceilingWatch replays revisions that never were to a watcher that begins in the past: the answers are encoded once, before the first of them is sent, and
// sent as the bytes that they are. What that costs is what gRPC, the kernel and the load generator cost.
type ceilingWatch struct {
	pb.UnimplementedWatchServer
	head       *pb.ResponseHeader
	valueBytes int

	mu    sync.Mutex
	first int64 // revision that the packs begin with
	packs []*preEncoded
}

// ceilingPackBytes is about how large the responses are that detcd packs such revisions into.
const ceilingPackBytes = 1 << 20

// preEncoded is a message as it goes to the wire.
type preEncoded struct{ data mem.BufferSlice }

// ceilingCodec sends preEncoded as it is, and all else as gRPC does it.
type ceilingCodec struct{ encoding.CodecV2 }

// Marshal implements encoding.CodecV2.
func (c ceilingCodec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*preEncoded); ok {
		return m.data, nil
	}
	return c.CodecV2.Marshal(v)
}

func ceilingCodecOption() grpc.ServerOption {
	return grpc.ForceServerCodecV2(ceilingCodec{encoding.GetCodecV2("proto")})
}

// Watch implements pb.WatchServer.
func (w *ceilingWatch) Watch(stream pb.Watch_WatchServer) error {
	request, err := stream.Recv()
	if err != nil {
		return err
	}
	first := request.GetCreateRequest().GetStartRevision()
	if first <= 0 || first > w.head.GetRevision() {
		return errors.New("the ceiling serves only watchers that begin in the past")
	}
	packs, err := w.from(first)
	if err != nil {
		return err
	}
	if err := stream.Send(&pb.WatchResponse{Header: w.head, Created: true}); err != nil {
		return err
	}
	for _, p := range packs {
		if err := stream.SendMsg(p); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	return nil
}

// from returns the encoded events of all revisions from first to the head, one each.
func (w *ceilingWatch) from(first int64) ([]*preEncoded, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == first {
		return w.packs, nil
	}
	w.first, w.packs = first, nil
	value := make([]byte, w.valueBytes)
	fillValue(value)
	for at := first; at <= w.head.GetRevision(); {
		pack := &pb.WatchResponse{Header: w.head}
		for size := 0; at <= w.head.GetRevision() && size < ceilingPackBytes; at++ {
			e := &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: append(watchedFirst[:len(watchedFirst):len(watchedFirst)], "00000001"...),
				Value: value, CreateRevision: 2, ModRevision: at, Version: at}}
			size += proto.Size(e)
			pack.Events = append(pack.Events, e)
		}
		encoded, err := proto.Marshal(pack)
		if err != nil {
			return nil, err
		}
		w.packs = append(w.packs, &preEncoded{mem.BufferSlice{mem.SliceBuffer(encoded)}})
	}
	return w.packs, nil
}
