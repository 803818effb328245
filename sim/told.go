package sim

import (
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// told writes a request or a response as one short line. (protobuf's own text is made to vary from build to build.)
type told struct{ m proto.Message }

func (t told) String() string {
	var b strings.Builder
	tell(&b, t.m)
	return b.String()
}

func tell(b *strings.Builder, m proto.Message) {
	switch r := m.(type) {
	case *pb.PutRequest:
		fmt.Fprintf(b, "put %s=%s", r.GetKey(), short(r.GetValue()))
		flag(b, r.GetPrevKv(), "prev")
		flag(b, r.GetIgnoreValue(), "ignore-value")
		flag(b, r.GetIgnoreLease(), "ignore-lease")
		number(b, "lease", r.GetLease())
	case *pb.RangeRequest:
		fmt.Fprintf(b, "range %s", span(r.GetKey(), r.GetRangeEnd()))
		flag(b, r.GetSerializable(), "serializable")
		flag(b, r.GetKeysOnly(), "keys-only")
		flag(b, r.GetCountOnly(), "count-only")
		number(b, "limit", r.GetLimit())
		number(b, "revision", r.GetRevision())
		number(b, "min-mod", r.GetMinModRevision())
		number(b, "max-mod", r.GetMaxModRevision())
		number(b, "min-create", r.GetMinCreateRevision())
		number(b, "max-create", r.GetMaxCreateRevision())
		if r.GetSortOrder() != 0 || r.GetSortTarget() != 0 {
			fmt.Fprintf(b, " sort %v %v", r.GetSortTarget(), r.GetSortOrder())
		}
	case *pb.DeleteRangeRequest:
		fmt.Fprintf(b, "delete %s", span(r.GetKey(), r.GetRangeEnd()))
		flag(b, r.GetPrevKv(), "prev")
	case *pb.CompactionRequest:
		fmt.Fprintf(b, "compact %d", r.GetRevision())
		flag(b, r.GetPhysical(), "physical")
	case *pb.LeaseGrantRequest:
		fmt.Fprintf(b, "grant lease %x for %d s", r.GetID(), r.GetTTL())
	case *pb.LeaseRevokeRequest:
		fmt.Fprintf(b, "revoke lease %x", r.GetID())
	case *pb.LeaseGrantResponse:
		fmt.Fprintf(b, "ok revision %d lease %x for %d s", r.GetHeader().GetRevision(), r.GetID(), r.GetTTL())
	case *pb.LeaseRevokeResponse:
		fmt.Fprintf(b, "ok revision %d", r.GetHeader().GetRevision())
	case *pb.TxnRequest:
		b.WriteString("txn if [")
		for i, c := range r.GetCompare() {
			separate(b, i)
			tellCompare(b, c)
		}
		b.WriteString("] then [")
		tellOps(b, r.GetSuccess())
		b.WriteString("] else [")
		tellOps(b, r.GetFailure())
		b.WriteString("]")
	case *pb.PutResponse:
		fmt.Fprintf(b, "ok revision %d", r.GetHeader().GetRevision())
	case *pb.RangeResponse:
		fmt.Fprintf(b, "revision %d count %d", r.GetHeader().GetRevision(), r.GetCount())
		for _, kv := range r.GetKvs() {
			fmt.Fprintf(b, " %s=%s(v%d,c%d,m%d)", kv.GetKey(), short(kv.GetValue()), kv.GetVersion(), kv.GetCreateRevision(), kv.GetModRevision())
		}
		flag(b, r.GetMore(), "more")
	case *pb.DeleteRangeResponse:
		fmt.Fprintf(b, "revision %d deleted %d", r.GetHeader().GetRevision(), r.GetDeleted())
	case *pb.CompactionResponse:
		fmt.Fprintf(b, "revision %d", r.GetHeader().GetRevision())
	case *pb.TxnResponse:
		fmt.Fprintf(b, "revision %d succeeded %v [", r.GetHeader().GetRevision(), r.GetSucceeded())
		for i, op := range r.GetResponses() {
			separate(b, i)
			switch {
			case op.GetResponseRange() != nil:
				tell(b, op.GetResponseRange())
			case op.GetResponsePut() != nil:
				tell(b, op.GetResponsePut())
			case op.GetResponseDeleteRange() != nil:
				tell(b, op.GetResponseDeleteRange())
			case op.GetResponseTxn() != nil:
				tell(b, op.GetResponseTxn())
			}
		}
		b.WriteString("]")
	default:
		fmt.Fprintf(b, "%T", m)
	}
}

func tellOps(b *strings.Builder, ops []*pb.RequestOp) {
	for i, op := range ops {
		separate(b, i)
		switch {
		case op.GetRequestRange() != nil:
			tell(b, op.GetRequestRange())
		case op.GetRequestPut() != nil:
			tell(b, op.GetRequestPut())
		case op.GetRequestDeleteRange() != nil:
			tell(b, op.GetRequestDeleteRange())
		case op.GetRequestTxn() != nil:
			tell(b, op.GetRequestTxn())
		}
	}
}

func tellCompare(b *strings.Builder, c *pb.Compare) {
	sign := [...]string{"=", ">", "<", "!="}[c.GetResult()]
	what := span(c.GetKey(), c.GetRangeEnd())
	switch u := c.GetTargetUnion().(type) {
	case *pb.Compare_Version:
		fmt.Fprintf(b, "version(%s)%s%d", what, sign, u.Version)
	case *pb.Compare_CreateRevision:
		fmt.Fprintf(b, "create(%s)%s%d", what, sign, u.CreateRevision)
	case *pb.Compare_ModRevision:
		fmt.Fprintf(b, "mod(%s)%s%d", what, sign, u.ModRevision)
	case *pb.Compare_Value:
		fmt.Fprintf(b, "value(%s)%s%s", what, sign, short(u.Value))
	case *pb.Compare_Lease:
		fmt.Fprintf(b, "lease(%s)%s%d", what, sign, u.Lease)
	}
}

func span(key, end []byte) string {
	if len(end) == 0 {
		return string(key)
	}
	return fmt.Sprintf("%q..%q", key, end)
}

func short(v []byte) string {
	if len(v) > 24 {
		return fmt.Sprintf("%s…(%d bytes)", v[:24], len(v))
	}
	return string(v)
}

func separate(b *strings.Builder, i int) {
	if i > 0 {
		b.WriteString("; ")
	}
}

func flag(b *strings.Builder, set bool, name string) {
	if set {
		b.WriteString(" " + name)
	}
}

func number(b *strings.Builder, name string, n int64) {
	if n != 0 {
		fmt.Fprintf(b, " %s=%d", name, n)
	}
}

func (a answer) String() string {
	if a.err != nil {
		if a.certain {
			return "refused: " + a.err.Error()
		}
		return "outcome unknown: " + a.err.Error()
	}
	return fmt.Sprintf("%v (entry %d.%d)", told{a.response}, a.index, a.position)
}
