// Package linearizability holds what detcd promises of a history of requests against a record of what happened: one file per promise. It knows
// the API's types and nothing of the members; package model says what the requests mean.
//
// What happened is the committed log: see Truth. Requests are in a History; watches, leases, locks and elections have records of their own, each
// of what its clients saw.
//
// Concurrency: checkers are used by one caller at a time. Only porcupine starts goroutines of its own, and ends them.
package linearizability

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
)

// Outcome is what a client knows of its request.
type Outcome uint8

const (
	// Unknown requests may have happened, may happen yet, or never will.
	Unknown Outcome = iota
	// Answered requests happened.
	Answered
	// Refused requests certainly had no effect.
	Refused
)

func (o Outcome) String() string { return [...]string{"unknown", "answered", "refused"}[o] }

// Never is the Return of a request that was not answered.
const Never = math.MaxUint64

// Operation is one request of one client. Call and Return number events in the order in which they happened; they are not times.
type Operation struct {
	Client       int
	Call, Return uint64
	Request      proto.Message // the API's request
	Response     proto.Message // with Answered
	Err          error
	Outcome      Outcome
	// Index and Position say where in the log the member that answered says the request took effect: a write's entry and place in it;
	// for a read, Index is the last entry that the state it read had applied. Index 0: the member did not get that far.
	Index    uint64
	Position uint32
	// Member answered, in the run of it that Incarnation numbers.
	Member, Incarnation uint64
}

// History is all requests of a run, in the order of their calls.
type History []Operation

// Applied is one request in the committed log.
type Applied struct {
	Index    uint64
	Position uint32
	Request  *pb.InternalRaftRequest
}

// Violation is a promise that was broken.
type Violation struct {
	Promise string
	Story   string
	Ops     []int // in the history
}

func (v *Violation) Error() string { return v.Promise + ": " + v.Story }

func violation(promise string, ops []int, format string, args ...any) *Violation {
	return &Violation{Promise: promise, Story: fmt.Sprintf(format, args...), Ops: ops}
}

// wrapped is a write as it stands in the log, nil for a request that only reads.
func wrapped(m proto.Message) *pb.InternalRaftRequest {
	if !writes(m) {
		return nil
	}
	switch r := m.(type) {
	case *pb.PutRequest:
		return &pb.InternalRaftRequest{Put: r}
	case *pb.DeleteRangeRequest:
		return &pb.InternalRaftRequest{DeleteRange: r}
	case *pb.CompactionRequest:
		return &pb.InternalRaftRequest{Compaction: r}
	case *pb.LeaseGrantRequest:
		return &pb.InternalRaftRequest{LeaseGrant: r}
	case *pb.LeaseRevokeRequest:
		return &pb.InternalRaftRequest{LeaseRevoke: r}
	case *pb.TxnRequest:
		return &pb.InternalRaftRequest{Txn: r}
	}
	return nil
}

// writes says whether a request may write, so that it stands in the log.
func writes(m proto.Message) bool {
	switch r := m.(type) {
	case *pb.PutRequest, *pb.DeleteRangeRequest, *pb.CompactionRequest, *pb.LeaseGrantRequest, *pb.LeaseRevokeRequest:
		return true
	case *pb.TxnRequest:
		return !readsOnly(r)
	}
	return false
}

// readsOnly says whether a transaction can write nothing.
func readsOnly(r *pb.TxnRequest) bool {
	for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range ops {
			if op.GetRequestRange() == nil && (op.GetRequestTxn() == nil || !readsOnly(op.GetRequestTxn())) {
				return false
			}
		}
	}
	return true
}

// mayBeStale says whether a request asks for no more than some state of the past. By etcd's rule a transaction does so if all it has is
// serializable ranges (or nothing); with another transaction inside it is up to date, whatever that one holds.
func mayBeStale(m proto.Message) bool {
	switch r := m.(type) {
	case *pb.RangeRequest:
		return r.GetSerializable()
	case *pb.TxnRequest:
		for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
			for _, op := range ops {
				if !op.GetRequestRange().GetSerializable() {
					return false
				}
			}
		}
		return true
	}
	return false
}

// headerOf returns an answer's header, nil if it has none.
func headerOf(m proto.Message) *pb.ResponseHeader {
	if h, ok := m.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		return h.GetHeader()
	}
	return nil
}

// describe tells an operation in one line.
func describe(i int, o *Operation) string {
	came := o.Outcome.String()
	switch {
	case o.Outcome == Answered:
		came = text(o.Response)
	case o.Err != nil:
		came += ": " + rpctypes.ErrorDesc(o.Err)
	}
	until := "on"
	if o.Return != Never {
		until = strconv.FormatUint(o.Return, 10)
	}
	return fmt.Sprintf("  operation %d, client %d at member %x, from %d to %s, entry %d.%d: %s → %s",
		i, o.Client, o.Member, o.Call, until, o.Index, o.Position, text(o.Request), came)
}

// text is a message's content. Protobuf varies the spaces in its own text from build to build; here they are always the same.
func text(m proto.Message) string { return strings.Join(strings.Fields(fmt.Sprint(m)), " ") }
