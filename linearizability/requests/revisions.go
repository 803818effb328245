package requests

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
)

const promiseRevisions = "revisions only grow"

// CheckRevisions holds the promise that revisions only grow. A request that is made after another one was answered is answered with no older revision,
// whichever members answer; with a newer one if it wrote. No two writes have the same revision. A read that may be stale may be behind what
// was answered before it; but what it saw is there for every later request. And one run of one member never goes back, whatever it is asked.
//
// It looks at headers only, and needs no log. It would miss a wrong revision that is in order; CheckWitness looks at that.
func CheckRevisions(h linearizability.History) *linearizability.Violation {
	var shown []int
	writes := make(map[int64]int)
	for i := range h {
		revision := headerOf(h[i].Response).GetRevision()
		if h[i].Outcome != linearizability.Answered || revision == 0 {
			continue
		}
		shown = append(shown, i)
		if !wrote(h[i].Response) {
			continue
		}
		if j, taken := writes[revision]; taken {
			return linearizability.Broken(promiseRevisions, []int{j, i}, "operations %d and %d both wrote revision %d", j, i, revision)
		}
		writes[revision] = i
	}
	rank := func(o *linearizability.Operation) uint64 { return uint64(headerOf(o.Response).GetRevision()) }
	all := ordering{promise: promiseRevisions, among: shown, rank: rank,
		excused: func(o *linearizability.Operation) bool { return mayBeStale(o.Request) },
		beyond:  func(o *linearizability.Operation) bool { return wrote(o.Response) }}
	if v := all.overtaken(h); v != nil {
		return v
	}
	for _, one := range byRun(h, shown) {
		if v := (ordering{promise: promiseRevisions, among: one, rank: rank}).overtaken(h); v != nil {
			return v
		}
	}
	return nil
}

// wrote says whether an answer tells of a change, which has a revision of its own. The answer of a revoked lease does not tell whether it held keys.
func wrote(response proto.Message) bool {
	switch r := response.(type) {
	case *pb.PutResponse:
		return true
	case *pb.DeleteRangeResponse:
		return r.GetDeleted() > 0
	case *pb.TxnResponse:
		for _, op := range r.GetResponses() {
			if op.GetResponsePut() != nil || wrote(op.GetResponseDeleteRange()) || wrote(op.GetResponseTxn()) {
				return true
			}
		}
	}
	return false
}
