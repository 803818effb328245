package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// serveBytesEcho serves one stream method that sends every message back times times over, then ends with an error if a message said so.
func serveBytesEcho(t *testing.T, times int) (addr string) {
	t.Helper()
	handler := func(_ any, stream grpc.ServerStream) error {
		for {
			var in encoded
			if err := stream.RecvMsg(&in); err != nil {
				return nil // the client has no more
			}
			if string(in) == "fail" {
				return status.Error(codes.ResourceExhausted, "no more of this")
			}
			out := encoded(bytes.Repeat(in, times))
			if err := stream.SendMsg(&out); err != nil {
				return err
			}
		}
	}
	desc := &grpc.ServiceDesc{ServiceName: "echo", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{
		{StreamName: "Echo", Handler: handler, ServerStreams: true, ClientStreams: true},
	}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(append(ceilingOptions(), grpc.ForceServerCodecV2(bytesCodec{}))...)
	server.RegisterService(desc, struct{}{})
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// bytesCodec is encodedCodec for a server, which wants the bytes.
type bytesCodec struct{ encodedCodec }

var _ encoding.CodecV2 = bytesCodec{}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*encoded) = data.Materialize()
	return nil
}

func TestRawStream_MessagesOfAllSizesComeWholeAndInOrder(t *testing.T) {
	// Empty ones, some that share a frame, some that are cut by frames and by the buffer; more bytes in all than a window holds.
	const times = 40
	var want [][]byte
	for i := range 120 {
		for _, size := range []int{0, 1, 300, i * 7, 16000 - i, 6553 + i} {
			message := bytes.Repeat([]byte{byte(i)}, size)
			if size > 8 {
				copy(message, keyAt(len(want)))
			}
			want = append(want, message)
		}
	}
	got, all := 0, make(chan struct{})
	s, err := dialStream(t.Context(), serveBytesEcho(t, times), "/echo/Echo", nil, func(message []byte) error {
		if got >= len(want) || !bytes.Equal(message, bytes.Repeat(want[got], times)) {
			return errors.New("not what was sent")
		}
		if got++; got == len(want) {
			close(all)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, message := range want {
		s.send(message)
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-all:
	case <-s.done:
		t.Fatalf("ended after %d of %d messages: %v", got, len(want), s.err)
	case <-time.After(time.Minute):
		t.Fatal("messages are missing after a minute")
	}
	if err := s.closeSend(); err != nil {
		t.Fatal(err)
	}
	if <-s.done; s.err != nil {
		t.Errorf("the server ended it well, the stream says %v", s.err)
	}
}

func TestRawStream_SaysWhyItEnded(t *testing.T) {
	refused := errors.New("refused by the one who reads")
	for _, c := range []struct {
		name, message, want string
	}{
		{"by the server", "fail", "no more of this"},
		{"by its reader", "refuse", refused.Error()},
		{"with its context", "hello", context.Canceled.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s, err := dialStream(ctx, serveBytesEcho(t, 1), "/echo/Echo", nil, func(message []byte) error {
				if string(message) == "hello" {
					cancel()
					return nil
				}
				return refused
			})
			if err != nil {
				t.Fatal(err)
			}
			s.send([]byte(c.message))
			if err := s.flush(); err != nil {
				t.Fatal(err)
			}
			if <-s.done; s.err == nil || !strings.Contains(s.err.Error(), c.want) {
				t.Errorf("error %v", s.err)
			}
			s.close()
		})
	}
}
