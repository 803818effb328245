// Package logtest makes logs for the tests of promises, as short as a story.
package logtest

import (
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
)

// Second and Tenth are a second and a tenth of one, in nanoseconds.
const (
	Second = int64(time.Second)
	Tenth  = Second / 10
)

// Logged is a log of requests, each an entry of its own from index 4 on.
func Logged(requests ...proto.Message) (log []linearizability.Applied) {
	for i, m := range requests {
		in := &pb.InternalRaftRequest{}
		switch r := m.(type) {
		case *pb.PutRequest:
			in.Put = r
		case *pb.DeleteRangeRequest:
			in.DeleteRange = r
		case *pb.TxnRequest:
			in.Txn = r
		case *pb.CompactionRequest:
			in.Compaction = r
		case *pb.LeaseGrantRequest:
			in.LeaseGrant = r
		case *pb.LeaseRevokeRequest:
			in.LeaseRevoke = r
		default:
			panic("no request of the log")
		}
		log = append(log, linearizability.Applied{Index: uint64(4 + i), Request: in})
	}
	return log
}

// Each hundred events and each second one entry is applied, index 4 at 400 and 4 s.
func Each(index uint64) linearizability.Moment {
	return linearizability.Moment{Stamp: 100 * index, Time: int64(index) * Second}
}

// Entry is a request and the tenth of a second at which the first member applied it.
type Entry struct {
	Tenths  int64
	Request proto.Message
}

// At makes an entry.
func At(tenths int64, request proto.Message) Entry { return Entry{Tenths: tenths, Request: request} }

// Timed is a log in which an entry's index is its tenth of a second, and the moments at which the first member applied each.
// There are a hundred events a second.
func Timed(entries ...Entry) ([]linearizability.Applied, func(uint64) linearizability.Moment) {
	var log []linearizability.Applied
	for _, e := range entries {
		a := Logged(e.Request)[0]
		a.Index = uint64(e.Tenths)
		log = append(log, a)
	}
	return log, func(index uint64) linearizability.Moment {
		return linearizability.Moment{Stamp: index * 10, Time: int64(index) * Tenth}
	}
}

// Put writes a value to a key.
func Put(key, value string) *pb.PutRequest {
	return &pb.PutRequest{Key: []byte(key), Value: []byte(value)}
}

// Leased attaches a key to a lease.
func Leased(key string, lease int64) *pb.PutRequest {
	return &pb.PutRequest{Key: []byte(key), Lease: lease}
}

// Delete removes a key.
func Delete(key string) *pb.DeleteRangeRequest { return &pb.DeleteRangeRequest{Key: []byte(key)} }

// OpPut is a put inside a transaction.
func OpPut(r *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
}

// OpDelete is a deletion inside a transaction.
func OpDelete(r *pb.DeleteRangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}
}

// FencedPut writes to the key data if another key is as it was created in a revision.
func FencedPut(key string, created int64, value string) *pb.TxnRequest {
	return &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte(key), Target: pb.Compare_CREATE, TargetUnion: &pb.Compare_CreateRevision{CreateRevision: created}}},
		Success: []*pb.RequestOp{OpPut(Put("data", value))},
	}
}

// KV is a key-value without a lease.
func KV(key, value string, created, changed, version int64) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), CreateRevision: created, ModRevision: changed, Version: version}
}

// Verdict wants the promise named, or none if that is empty.
func Verdict(t *testing.T, v *linearizability.Violation, want string) {
	t.Helper()
	if (v != nil) != (want != "") || v != nil && !strings.Contains(v.Promise, want) {
		t.Errorf("got %v, want %q", v, want)
	}
}
