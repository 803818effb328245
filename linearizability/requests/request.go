// Package requests holds the promises of reads and writes: linearizability, by the committed log and by search, and revisions.
//
// CheckWitness uses what members say of where in the log a request took effect, and judges answers in full. CheckPorcupine does not use that: it
// searches for an order that explains the answers. Settle and WithServed tell it what else the log knows. CheckRevisions looks at
// headers only.
package requests

import (
	"fmt"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
)

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

// mayBeStale says whether some older state is good enough for a request. By etcd's rule that is so for a transaction that has nothing but serializable
// ranges, or nothing at all. A transaction with another one inside must be up to date, whatever the inner one holds.
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
func describe(i int, o *linearizability.Operation) string {
	came := o.Outcome.String()
	switch {
	case o.Outcome == linearizability.Answered:
		came = linearizability.Text(o.Response)
	case o.Err != nil:
		came += ": " + rpctypes.ErrorDesc(o.Err)
	}
	until := "on"
	if o.Return != linearizability.Never {
		until = strconv.FormatUint(o.Return, 10)
	}
	return fmt.Sprintf("  operation %d, client %d at member %x, from %d to %s, entry %d.%d: %s → %s",
		i, o.Client, o.Member, o.Call, until, o.Index, o.Position, linearizability.Text(o.Request), came)
}

// requestIn is the client's request inside one of the log's; nil if it is none that a client makes.
func requestIn(r *pb.InternalRaftRequest) proto.Message {
	switch {
	case r.GetPut() != nil:
		return r.GetPut()
	case r.GetDeleteRange() != nil:
		return r.GetDeleteRange()
	case r.GetTxn() != nil:
		return r.GetTxn()
	case r.GetCompaction() != nil:
		return r.GetCompaction()
	case r.GetLeaseGrant() != nil:
		return r.GetLeaseGrant()
	case r.GetLeaseRevoke() != nil:
		return r.GetLeaseRevoke()
	}
	return nil
}

// ofClients says whether only a client can have made a request. Leases are revoked by members too, when they expire.
func ofClients(r *pb.InternalRaftRequest) bool {
	return requestIn(r) != nil && r.GetLeaseRevoke() == nil
}

// leaseIDs are those that clients chose for their leases.
type leaseIDs map[int64]bool

func givenIDs(h linearizability.History) leaseIDs {
	given := make(leaseIDs)
	for i := range h {
		if r, ok := h[i].Request.(*pb.LeaseGrantRequest); ok && r.GetID() != 0 {
			given[r.GetID()] = true
		}
	}
	return given
}

// nameInLog is the nameOf of the request that a client may have made to get this into the log. The two can differ: a member gives a lease its id.
func (given leaseIDs) nameInLog(r *pb.InternalRaftRequest) string {
	if g := r.GetLeaseGrant(); g != nil && !given[g.GetID()] {
		r = &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{}}
	}
	return nameOf(r)
}

// nameOf is a text that equal requests share, and no others. Grants of leases are equal if their ids are: members may grant a longer TTL than was
// asked for.
func nameOf(r *pb.InternalRaftRequest) string {
	r = proto.Clone(r).(*pb.InternalRaftRequest)
	r.Header, r.ID = nil, 0
	if g := r.GetLeaseGrant(); g != nil {
		g.TTL = 0
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		panic("linearizability: a request can't be encoded: " + err.Error())
	}
	return string(b)
}
