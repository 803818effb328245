package main

import (
	"context"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// connectErrors keeps why the last connection failed. gRPC tries again until the command's time is over, and the client then says only that: what
// is wrong with the certificates, or with the address, is in the errors of the single attempts.
type connectErrors struct {
	mu   sync.Mutex
	text string
}

// options make a client's connections report to e.
func (e *connectErrors) options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, c *grpc.ClientConn, call grpc.UnaryInvoker, o ...grpc.CallOption) error {
			err := call(ctx, method, req, reply, c, o...)
			e.note(err)
			return err
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
			s, err := open(ctx, d, c, method, o...)
			e.note(err)
			return s, err
		}),
	}
}

// note keeps the error of an attempt if it is one of the connection. gRPC puts its own words around what went wrong; they are left out.
func (e *connectErrors) note(err error) {
	if err == nil {
		return
	}
	why := status.Convert(err).Message()
	if _, after, found := strings.Cut(why, "latest balancer error: "); found {
		why = after
	} else if !strings.HasPrefix(why, "connection error: ") {
		return
	}
	why = strings.Trim(strings.TrimPrefix(why, "connection error: desc = "), `"`)
	why = strings.TrimPrefix(why, "transport: ")
	why = strings.TrimPrefix(why, "Error while dialing: ")
	why = strings.TrimPrefix(why, "authentication handshake failed: ")
	e.mu.Lock()
	e.text = strings.ReplaceAll(why, `\"`, `"`)
	e.mu.Unlock()
}

func (e *connectErrors) last() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.text
}
