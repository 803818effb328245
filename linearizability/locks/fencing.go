package locks

import (
	"bytes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/detcd/detcd/linearizability"
)

// fence is a transaction in the log that compared whether a key is there, as it was created, and went through.
type fence struct {
	place   int // in the log
	key     []byte
	created int64
}

// fencesIn returns the fences of a log, in order: the transactions that wrote, and that compare whether a key is there.
func fencesIn(t *linearizability.Truth) (fences []fence) {
	created := make(map[string]int64) // the create revisions of the keys that are there
	for place, a := range t.Log() {
		changes := t.ChangesOf(place)
		if answer, ok := t.Answer(place).(*pb.TxnResponse); ok && answer.GetSucceeded() && len(changes) > 0 {
			for _, key := range comparedToBeThere(a.Request.GetTxn()) {
				fences = append(fences, fence{place: place, key: key, created: created[string(key)]})
			}
		}
		for _, e := range changes {
			key := string(e.GetKv().GetKey())
			if e.GetType() == mvccpb.Event_DELETE {
				delete(created, key)
			} else {
				created[key] = e.GetKv().GetCreateRevision()
			}
		}
	}
	return fences
}

// comparedToBeThere returns the keys whose being there a transaction compares.
func comparedToBeThere(r *pb.TxnRequest) (compared [][]byte) {
	for _, c := range r.GetCompare() {
		if c.GetTarget() != pb.Compare_CREATE || len(c.GetRangeEnd()) > 0 {
			continue
		}
		than, result := c.GetCreateRevision(), c.GetResult()
		if than > 0 && result == pb.Compare_EQUAL || than == 0 && (result == pb.Compare_NOT_EQUAL || result == pb.Compare_GREATER) {
			compared = append(compared, c.GetKey())
		}
	}
	return compared
}

// under says whether a key is one of a lock's or an election's.
func under(key, name []byte) bool {
	rest, ours := bytes.CutPrefix(key, name)
	return ours && len(rest) > 0 && rest[0] == '/'
}
