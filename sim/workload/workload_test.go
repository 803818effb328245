package workload

import (
	"bytes"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/sim/prng"
)

// A history is judged group by group: a request that reached into another group would make that wrong.
func TestNext_KeepsToItsGroup(t *testing.T) {
	s := prng.New(1, "keeps")
	mix := PickMix(s)
	mix.Groups, mix.Odd = 3, 100
	g := New(mix, s)
	kinds := map[string]int{}
	for range 5000 {
		r := g.Next(50)
		kinds[string(r.Message.ProtoReflect().Descriptor().Name())]++
		visit(r.Message, func(key, end []byte) {
			if len(key) == 0 {
				return // a put that is refused
			}
			if !bytes.HasPrefix(key, []byte(r.Group+"/")) || len(end) > 0 && bytes.Compare(end, []byte(r.Group+"0")) > 0 {
				t.Fatalf("a request of group %q has %q to %q: %v", r.Group, key, end, r.Message)
			}
		})
	}
	for _, want := range []string{"PutRequest", "RangeRequest", "DeleteRangeRequest", "TxnRequest", "CompactionRequest"} {
		if kinds[want] == 0 {
			t.Errorf("5,000 requests hold no %s: %v", want, kinds)
		}
	}
}

// Reads can tell writes apart only if no two write the same value.
func TestNext_NoTwoPutsHaveOneValue(t *testing.T) {
	seen := map[string]bool{}
	for client := range 3 {
		s := prng.New(uint64(client), "values")
		g := New(PickMix(s), s)
		g.NameValues(string(rune('0'+client)) + ".")
		for range 2000 {
			if p, ok := g.Next(50).Message.(*pb.PutRequest); ok && len(p.GetValue()) > 0 {
				if seen[string(p.GetValue())] {
					t.Fatalf("value %q is put twice", p.GetValue())
				}
				seen[string(p.GetValue())] = true
			}
		}
	}
}

func visit(m proto.Message, see func(key, end []byte)) {
	switch r := m.(type) {
	case *pb.PutRequest:
		see(r.GetKey(), nil)
	case *pb.RangeRequest:
		see(r.GetKey(), r.GetRangeEnd())
	case *pb.DeleteRangeRequest:
		see(r.GetKey(), r.GetRangeEnd())
	case *pb.TxnRequest:
		for _, c := range r.GetCompare() {
			see(c.GetKey(), c.GetRangeEnd())
		}
		for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
			for _, op := range ops {
				for _, one := range []proto.Message{op.GetRequestPut(), op.GetRequestRange(), op.GetRequestDeleteRange(), op.GetRequestTxn()} {
					if one.ProtoReflect().IsValid() {
						visit(one, see)
					}
				}
			}
		}
	}
}
