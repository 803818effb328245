package linearizability

import (
	"bytes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability/model"
)

// fence is a transaction in the log that went through because a key was still the one that its creation made.
type fence struct {
	place   int // in the log
	key     []byte
	created int64
}

// fencesIn returns the keys whose being there a transaction compares, with their create revisions in the state before it.
func fencesIn(before *model.State, r *pb.TxnRequest) (fences []fence) {
	for _, c := range r.GetCompare() {
		if c.GetTarget() != pb.Compare_CREATE || len(c.GetRangeEnd()) > 0 {
			continue
		}
		if than := c.GetCreateRevision(); than > 0 && c.GetResult() == pb.Compare_EQUAL ||
			than == 0 && (c.GetResult() == pb.Compare_NOT_EQUAL || c.GetResult() == pb.Compare_GREATER) {
			fences = append(fences, fence{key: c.GetKey(), created: before.Created(c.GetKey())})
		}
	}
	return fences
}

func (t *Truth) noteFences(place int, fences []fence, answer proto.Message) {
	if r, ok := answer.(*pb.TxnResponse); ok && r.GetSucceeded() && wrote(r) {
		for _, f := range fences {
			f.place = place
			t.fences = append(t.fences, f)
		}
	}
}

// under says whether a key is one of a lock's or an election's.
func under(key, name []byte) bool {
	rest, ours := bytes.CutPrefix(key, name)
	return ours && len(rest) > 0 && rest[0] == '/'
}
