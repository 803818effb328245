#!/usr/bin/env bash
# go.etcd.io/etcd/client/v3 v3.7.3. Found 2026-11-29.
# The client library does not send a write again where nobody knows whether it was applied: after Unavailable it gives the error to its caller. After a
# status DeadlineExceeded that comes from the server, while the caller's own context has time left, it does: it takes the status for that of a context of
# its own. etcd 3.7.3 answers exactly so when a proposal was not seen to be applied within its 7 s, as without a leader; the entry may be applied later.
# Then one Put of the caller is two writes in the store, and a guarded transaction that succeeded tells its caller that the guard failed.
# What to do: a server says DeadlineExceeded only of a write that certainly has no effect; a caller that counts writes compares revisions.
# Output seen (the server is a fake one that counts what reaches it):
#   server says Unavailable first:      the caller gets an error, the server saw 1 Put
#   server says DeadlineExceeded first: the caller gets no error, the server saw 2 Puts
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
printf 'module finding\ngo 1.26.0\n' >go.mod
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type server struct {
	pb.UnimplementedKVServer
	puts  atomic.Int64
	first error
}

func (s *server) Put(context.Context, *pb.PutRequest) (*pb.PutResponse, error) {
	if s.puts.Add(1) == 1 {
		return nil, s.first
	}
	return &pb.PutResponse{Header: &pb.ResponseHeader{}}, nil
}

// put makes one Put of a server whose first answer is an error, and returns the caller's error and how many the server saw.
func put(first error) (error, int64) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	s, g := &server{first: first}, grpc.NewServer()
	pb.RegisterKVServer(g, s)
	go g.Serve(l)
	defer g.Stop()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{l.Addr().String()}, Logger: zap.NewNop()})
	must(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = c.Put(ctx, "k", "v")
	return err, s.puts.Load()
}

func main() {
	err1, n1 := put(status.Error(codes.Unavailable, "etcdserver: request timed out"))
	fmt.Printf("server says Unavailable first:      the caller gets %s, the server saw %d Put\n", word(err1), n1)
	err2, n2 := put(status.Error(codes.DeadlineExceeded, "context deadline exceeded"))
	fmt.Printf("server says DeadlineExceeded first: the caller gets %s, the server saw %d Puts\n", word(err2), n2)
	if err1 == nil || n1 != 1 || err2 != nil || n2 != 2 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func word(err error) string {
	if err != nil {
		return "an error"
	}
	return "no error"
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
GO
go get go.etcd.io/etcd/client/v3@v3.7.3 2>/dev/null
go mod tidy 2>/dev/null
go run .
