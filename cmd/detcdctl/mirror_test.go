package main

import (
	"context"
	"fmt"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// txnLog is a KV service that writes transactions down.
type txnLog struct {
	pb.KVClient
	txns []string
}

func (l *txnLog) Txn(_ context.Context, r *pb.TxnRequest, _ ...grpc.CallOption) (*pb.TxnResponse, error) {
	line := ""
	for _, op := range r.Success {
		if put := op.GetRequestPut(); put != nil {
			line += fmt.Sprintf("%s=%s ", put.Key, put.Value)
		} else {
			line += fmt.Sprintf("-%s ", op.GetRequestDeleteRange().Key)
		}
	}
	l.txns = append(l.txns, line)
	return &pb.TxnResponse{}, nil
}

func event(revision int64, key, value string) *clientv3.Event {
	e := &clientv3.Event{Kv: &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), ModRevision: revision}}
	if value == "" {
		e.Type = clientv3.EventTypeDelete
	}
	return e
}

func TestMirror_ATransactionForEachRevision(t *testing.T) {
	log := &txnLog{}
	m := &mirroring{flags: &mirrorFlags{maxTxnOps: 2, prefix: "a/", destPrefix: "b/"}, to: clientv3.NewKVFromKVClient(log, nil)}
	err := m.events(context.Background(), []*clientv3.Event{
		event(5, "a/1", "x"), event(6, "a/1", "y"), event(6, "a/2", ""), event(6, "a/3", "z"), event(7, "a/a/", "x"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"b/1=x ", "b/1=y -b/2 ", "b/3=z ", "b/a/=x "}
	if !slices.Equal(log.txns, want) {
		t.Errorf("%q, want %q", log.txns, want)
	}
	if n := m.total.Load(); n != 5 {
		t.Errorf("%d keys counted, want 5", n)
	}
}

func TestMirror_Names(t *testing.T) {
	for _, c := range []struct {
		flags mirrorFlags
		want  string
	}{
		{mirrorFlags{prefix: "a/"}, "a/x/a/"},
		{mirrorFlags{prefix: "a/", destPrefix: "b/"}, "b/x/a/"},
		{mirrorFlags{prefix: "a/", noDestPrefix: true}, "x/a/"},
		{mirrorFlags{destPrefix: "b/"}, "b/a/x/a/"},
	} {
		if got := (&mirroring{flags: &c.flags}).name("a/x/a/"); got != c.want {
			t.Errorf("%+v: %q, want %q", c.flags, got, c.want)
		}
	}
}
