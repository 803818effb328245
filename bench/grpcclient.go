package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// connect opens a stock gRPC connection, without waiting for it.
func connect(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// grpcCaller makes calls with the stock gRPC client; messages are encoded already.
type grpcCaller struct{ conn *grpc.ClientConn }

func dialGRPC(_ context.Context, addr string, _ int) (caller, error) {
	conn, err := connect(addr)
	if err != nil {
		return nil, err
	}
	return grpcCaller{conn}, nil
}

func (c grpcCaller) call(ctx context.Context, _ int, method string, request []byte) (int, error) {
	// gRPC may hold on to what is being sent after the call has returned, so it gets a copy.
	in, out := encoded(append([]byte(nil), request...)), answerLength(0)
	err := c.conn.Invoke(ctx, method, &in, &out, grpc.ForceCodecV2(encodedCodec{}))
	return int(out), err
}

func (c grpcCaller) close() { c.conn.Close() }

type (
	encoded      []byte
	answerLength int
)

// encodedCodec passes messages that are encoded already, and of answers reads only the length.
type encodedCodec struct{}

var _ encoding.CodecV2 = encodedCodec{}

func (encodedCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*encoded))}, nil
}

func (encodedCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*answerLength) = answerLength(data.Len())
	return nil
}

func (encodedCodec) Name() string { return "proto" }
