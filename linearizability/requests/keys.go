package requests

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
)

// keys is the state of porcupine's model: the keys that exist, in order. It is copied, never changed in place.
type keys []key

type key struct {
	name, value []byte
	version     int64
	lease       int64
}

// encode appends to b what no other state has.
func (k keys) encode(b []byte) []byte {
	for _, one := range k {
		b = binary.AppendUvarint(b, uint64(len(one.name)))
		b = append(b, one.name...)
		b = binary.AppendUvarint(b, uint64(len(one.value)))
		b = append(b, one.value...)
		b = binary.AppendVarint(binary.AppendVarint(b, one.version), one.lease)
	}
	return b
}

func (k keys) find(name []byte) (int, bool) {
	return slices.BinarySearchFunc(k, name, func(one key, name []byte) int { return bytes.Compare(one.name, name) })
}

func (k keys) within(from, end []byte) keys {
	var in keys
	for _, one := range k {
		if linearizability.InSpan(one.name, from, end) {
			in = append(in, one)
		}
	}
	return in
}

// without is what is left when a lease has ended.
func (k keys) without(lease int64) (left keys) {
	for _, one := range k {
		if one.lease != lease || lease == 0 {
			left = append(left, one)
		}
	}
	return left
}

// step returns the states that an operation may lead to; none if its answer can't be explained. An operation without an answer may also have
// changed nothing, unless it is known to stand in the log.
func step(k keys, o *linearizability.Operation, output any) []keys {
	var next []keys
	switch r := o.Request.(type) {
	case *pb.RangeRequest:
		if explainsRange(k, r, output.(*pb.RangeResponse)) {
			next = []keys{k}
		}
	case *pb.PutRequest:
		resp, _ := output.(*pb.PutResponse)
		if to, ok := put(k, k, r, resp); ok {
			next = []keys{to}
		}
	case *pb.DeleteRangeRequest:
		resp, _ := output.(*pb.DeleteRangeResponse)
		if to, ok := deleteRange(k, r, resp); ok {
			next = []keys{to}
		}
	case *pb.LeaseRevokeRequest:
		next = []keys{k.without(r.GetID())}
	case *pb.TxnRequest:
		resp, _ := output.(*pb.TxnResponse)
		next = txn(k, k, r, resp)
	}
	happened := o.Index > 0 && len(next) > 0 && !refusable(o.Request)
	if output == nil && !happened {
		next = append(next, k)
	}
	return next
}

// refusable says whether a request can be refused for something that is not in the model: a lease that is not there, or a revision that is
// compacted. In a transaction whose branch only a revision decides, it can also be a key that is not there.
func refusable(m proto.Message) bool {
	switch r := m.(type) {
	case *pb.PutRequest:
		return r.GetLease() != 0 || r.GetIgnoreValue() || r.GetIgnoreLease()
	case *pb.RangeRequest:
		return r.GetRevision() != 0
	case *pb.TxnRequest:
		for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
			for _, op := range ops {
				if refusable(op.GetRequestPut()) || refusable(op.GetRequestRange()) || refusable(op.GetRequestTxn()) {
					return true
				}
			}
		}
	}
	return false
}

// put writes one key to k. before is the state in which the transaction began: it decides whether there is a value or a lease to keep. Where the
// transaction has deleted the key since then, nothing is kept.
func put(before, k keys, r *pb.PutRequest, resp *pb.PutResponse) (keys, bool) {
	if _, there := before.find(r.GetKey()); !there && (r.GetIgnoreValue() || r.GetIgnoreLease()) {
		return nil, false
	}
	at, exists := k.find(r.GetKey())
	one := key{name: r.GetKey(), value: r.GetValue(), version: 1, lease: r.GetLease()}
	if exists {
		old := k[at]
		one.version = old.version + 1
		if r.GetIgnoreValue() {
			one.value = old.value
		}
		if r.GetIgnoreLease() {
			one.lease = old.lease
		}
	}
	if resp != nil && r.GetPrevKv() {
		if exists != (resp.GetPrevKv() != nil) || exists && !shows(k[at], resp.GetPrevKv()) {
			return nil, false
		}
	}
	to := slices.Clone(k)
	if exists {
		to[at] = one
	} else {
		to = slices.Insert(to, at, one)
	}
	return to, true
}

func deleteRange(k keys, r *pb.DeleteRangeRequest, resp *pb.DeleteRangeResponse) (keys, bool) {
	gone := k.within(r.GetKey(), r.GetRangeEnd())
	if resp != nil {
		if resp.GetDeleted() != int64(len(gone)) {
			return nil, false
		}
		if r.GetPrevKv() && !showAll(gone, resp.GetPrevKvs()) {
			return nil, false
		}
	}
	var to keys
	for _, one := range k {
		if !linearizability.InSpan(one.name, r.GetKey(), r.GetRangeEnd()) {
			to = append(to, one)
		}
	}
	return to, true
}

// explainsRange says whether a range's answer fits the state, as far as that does not depend on revisions.
func explainsRange(k keys, r *pb.RangeRequest, resp *pb.RangeResponse) bool {
	in := k.within(r.GetKey(), r.GetRangeEnd())
	if byRevisions(r) {
		return true
	}
	if resp.GetCount() != int64(len(in)) {
		return false
	}
	if r.GetCountOnly() {
		return len(resp.GetKvs()) == 0
	}
	limited := r.GetLimit() > 0 && r.GetLimit() < int64(len(in))
	if resp.GetMore() != limited {
		return false
	}
	if limited && (r.GetSortOrder() == pb.RangeRequest_NONE || r.GetSortTarget() == pb.RangeRequest_KEY && r.GetSortOrder() == pb.RangeRequest_ASCEND) {
		in = in[:r.GetLimit()+1] // without an order, etcd limits first, and sorts what is left together with the one key that tells it of more
	}
	if r.GetSortTarget() == pb.RangeRequest_CREATE || r.GetSortTarget() == pb.RangeRequest_MOD {
		return limited && int64(len(resp.GetKvs())) == r.GetLimit() && showSome(seen(in, r), byKey(resp.GetKvs())) ||
			!limited && showAll(seen(in, r), byKey(resp.GetKvs()))
	}
	in = order(in, r)
	if limited {
		in = in[:r.GetLimit()]
	}
	return showAll(seen(in, r), resp.GetKvs())
}

// byRevisions says whether filters on revisions decide what a range shows.
func byRevisions(r *pb.RangeRequest) bool {
	return r.GetMinModRevision() != 0 || r.GetMaxModRevision() != 0 || r.GetMinCreateRevision() != 0 || r.GetMaxCreateRevision() != 0
}

func byKey(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
	return slices.SortedFunc(slices.Values(kvs), func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.GetKey(), b.GetKey()) })
}

// order sorts as etcd does, with sort.Sort by the target alone: a target other than the key means ascending unless it is said otherwise.
func order(in keys, r *pb.RangeRequest) keys {
	by := byTarget{slices.Clone(in), func(a, b key) int { return bytes.Compare(a.name, b.name) }}
	switch r.GetSortTarget() {
	case pb.RangeRequest_VERSION:
		by.compare = func(a, b key) int { return cmp.Compare(a.version, b.version) }
	case pb.RangeRequest_VALUE:
		by.compare = func(a, b key) int { return bytes.Compare(a.value, b.value) }
	}
	if r.GetSortOrder() == pb.RangeRequest_DESCEND {
		sort.Sort(sort.Reverse(by))
	} else {
		sort.Sort(by)
	}
	return by.keys
}

type byTarget struct {
	keys
	compare func(a, b key) int
}

func (s byTarget) Len() int           { return len(s.keys) }
func (s byTarget) Less(i, j int) bool { return s.compare(s.keys[i], s.keys[j]) < 0 }
func (s byTarget) Swap(i, j int)      { s.keys[i], s.keys[j] = s.keys[j], s.keys[i] }

// seen is what a range lets one see of keys. With keys_only that is no values, and no leases unless it sorted by value.
func seen(in keys, r *pb.RangeRequest) keys {
	if !r.GetKeysOnly() {
		return in
	}
	in = slices.Clone(in)
	for i := range in {
		in[i].value = nil
		if r.GetSortTarget() != pb.RangeRequest_VALUE {
			in[i].lease = 0
		}
	}
	return in
}

// showAll says whether kvs are exactly these keys.
func showAll(in keys, kvs []*mvccpb.KeyValue) bool { return slices.EqualFunc(in, kvs, shows) }

// showSome says whether kvs are some of these keys, each once; both are in key order.
func showSome(in keys, kvs []*mvccpb.KeyValue) bool {
	for _, one := range in {
		if len(kvs) > 0 && shows(one, kvs[0]) {
			kvs = kvs[1:]
		}
	}
	return len(kvs) == 0
}

func shows(one key, kv *mvccpb.KeyValue) bool {
	return bytes.Equal(one.name, kv.GetKey()) && bytes.Equal(one.value, kv.GetValue()) &&
		one.version == kv.GetVersion() && one.lease == kv.GetLease()
}
