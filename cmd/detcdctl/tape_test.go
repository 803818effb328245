package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A tape is what a command and a server said to each other. It is recorded between stock etcdctl and stock etcd, and then played to detcdctl,
// which has to say the same.

// message is one message of a call.
type message struct {
	FromServer bool   `json:",omitempty"`
	Bytes      []byte `json:",omitempty"` // encoded; the port is written as portMark
}

// call is one call of a command.
type call struct {
	Method   string
	Messages []message
	Left     bool       `json:",omitempty"` // it was the client that ended the call
	Code     codes.Code `json:",omitempty"`
	Text     string     `json:",omitempty"` // of the error
}

// portMark stands for the port of the endpoint in what is kept. It is as long as the ports that are used.
const portMark = "PPPPP"

// endpoint is a listener on a port of five digits.
func endpoint(t *testing.T) (net.Listener, string) {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if _, port, _ := net.SplitHostPort(l.Addr().String()); len(port) == len(portMark) {
			return l, port
		}
		defer l.Close()
	}
}

// rawCodec takes messages for what they are: bytes.
type rawCodec struct{}

func (rawCodec) Name() string                       { return "proto" }
func (rawCodec) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }

// serve serves gRPC on l with one handler for all methods.
func serve(t *testing.T, l net.Listener, handler grpc.StreamHandler) {
	t.Helper()
	s := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(handler))
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		<-served
	})
}

// recorder passes calls on to a server and keeps what is said.
type recorder struct {
	to    *grpc.ClientConn
	port  string // to write portMark for
	mu    sync.Mutex
	calls []*call
}

func newRecorder(t *testing.T, server, port string) *recorder {
	t.Helper()
	conn, err := grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &recorder{to: conn, port: port}
}

// take gives out the calls since the last time.
func (r *recorder) take() []*call {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.calls = nil }()
	return r.calls
}

func (r *recorder) keep(c *call, m message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.Bytes = bytes.ReplaceAll(m.Bytes, []byte(":"+r.port), []byte(":"+portMark))
	c.Messages = append(c.Messages, m)
}

func (r *recorder) handle(_ any, client grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(client)
	c := &call{Method: method}
	r.mu.Lock()
	r.calls = append(r.calls, c)
	r.mu.Unlock()
	incoming, _ := metadata.FromIncomingContext(client.Context())
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(client.Context(), incoming))
	defer cancel()
	server, err := r.to.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	go func() {
		for {
			var m []byte
			if client.RecvMsg(&m) != nil {
				_ = server.CloseSend()
				return
			}
			r.keep(c, message{Bytes: m})
			if server.SendMsg(&m) != nil {
				return
			}
		}
	}()
	for {
		var m []byte
		if err := server.RecvMsg(&m); err != nil {
			return r.end(c, client, err)
		}
		r.keep(c, message{FromServer: true, Bytes: m})
		if client.SendMsg(&m) != nil {
			return r.end(c, client, context.Canceled)
		}
	}
}

func (r *recorder) end(c *call, client grpc.ServerStream, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case client.Context().Err() != nil:
		c.Left = true
		return err
	case err == io.EOF:
		return nil
	}
	c.Code, c.Text = status.Code(err), status.Convert(err).Message()
	return err
}

// player answers one command as the tape says.
type player struct {
	port  string
	mu    sync.Mutex
	calls []*call // not yet made
	wrong []string
}

func (p *player) complain(format string, args ...any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	complaint := fmt.Sprintf(format, args...)
	p.wrong = append(p.wrong, complaint)
	return status.Error(codes.FailedPrecondition, complaint)
}

func (p *player) next(method string) *call {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range p.calls {
		if c.Method == method {
			p.calls = append(p.calls[:i:i], p.calls[i+1:]...)
			return c
		}
	}
	return nil
}

// handle plays a call: it waits for what the client said, and says what the server said. A client that leaves before the end may do so: when it
// does is a matter of timing.
func (p *player) handle(_ any, client grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(client)
	c := p.next(method)
	if c == nil && method == pb.Lease_LeaseKeepAlive_FullMethodName { // of a session, which may end before it begins to renew its lease
		<-client.Context().Done()
		return nil
	}
	if c == nil {
		return p.complain("%s is not called by etcdctl", method)
	}
	for i, m := range c.Messages {
		if m.FromServer {
			answer := bytes.ReplaceAll(m.Bytes, []byte(":"+portMark), []byte(":"+p.port))
			if err := client.SendMsg(&answer); err != nil {
				return err
			}
			continue
		}
		var said []byte
		if err := client.RecvMsg(&said); err != nil {
			return err
		}
		if want := bytes.ReplaceAll(m.Bytes, []byte(":"+portMark), []byte(":"+p.port)); !bytes.Equal(said, want) {
			return p.complain("%s, message %d: %q, but etcdctl says %q", method, i, said, want)
		}
	}
	if c.Left {
		<-client.Context().Done()
	}
	if c.Code != codes.OK {
		return status.Error(c.Code, c.Text)
	}
	return nil
}

// complaints are what the command did otherwise than etcdctl, calls that it did not make included, except those that etcdctl had under way
// when it ended.
func (p *player) complaints() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if !c.Left {
			p.wrong = append(p.wrong, c.Method+" is called by etcdctl")
		}
	}
	return strings.Join(p.wrong, "\n")
}
