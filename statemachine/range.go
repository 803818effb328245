package statemachine

import (
	"bytes"
	"math"
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/encoding/protowire"
)

// reader answers queries on the keys as of revision rev. The machine makes one over its own trees, which change; a view has one over trees that do not.
type reader struct {
	live, dead *keyTree
	rev        int64 // the head: what revision 0 means
	compacted  int64 // revisions below are gone; -1 before the first compaction
}

// RangeResult is the answer to a RangeRequest in terms of stored versions: nothing is decoded or copied.
type RangeResult struct {
	Revision int64 // for the header: that of the head, even if an older revision was read
	Count    int64 // keys in the range, including those that the limit and the filters leave out
	More     bool  // the limit cut something off

	versions []*version
	keysOnly bool
	hasLease bool // of a keys-only answer: whether it carries the lease, see keysOnlyFields
	one      [1]*version
}

// Len is the number of key-values in the answer.
func (r *RangeResult) Len() int { return len(r.versions) }

// Range answers req; its errors are ErrGRPCCompacted and ErrGRPCFutureRev.
func (rd *reader) Range(req *pb.RangeRequest) (*RangeResult, error) {
	rev := req.GetRevision()
	switch {
	case rev > rd.rev:
		return nil, rpctypes.ErrGRPCFutureRev
	case rev <= 0:
		rev = rd.rev
	case rev < rd.compacted:
		return nil, rpctypes.ErrGRPCCompacted
	}
	res := &RangeResult{Revision: rd.rev}
	s := newSpan(req.GetKey(), req.GetRangeEnd())
	switch {
	case s.point:
		rd.rangeOne(res, s.from, rev)
		if req.GetCountOnly() {
			res.versions = nil
			return res, nil
		}
	case req.GetCountOnly():
		res.Count = rd.countAt(s, rev)
		return res, nil
	default:
		rd.collect(res, s, rev, scanLimit(req))
	}
	if hasRevisionFilter(req) {
		res.versions = filter(res.versions, req)
	}
	if req.GetLimit() != 1 || !firstToFront(res.versions, req) {
		sortVersions(res.versions, req)
	}
	if n := req.GetLimit(); n > 0 && int64(len(res.versions)) > n {
		res.versions, res.More = res.versions[:n], true
	}
	// etcd answers a keys-only request from its index, which knows no leases. Only to sort by value it reads the key-values, with their leases.
	res.keysOnly, res.hasLease = req.GetKeysOnly(), req.GetSortTarget() == pb.RangeRequest_VALUE
	return res, nil
}

func (rd *reader) rangeOne(res *RangeResult, key []byte, rev int64) {
	if v := rd.get(key, rev); v != nil {
		res.one[0] = v
		res.versions, res.Count = res.one[:], 1
	}
}

// get returns key's version at rev, or nil where it does not exist.
func (rd *reader) get(key []byte, rev int64) *version {
	if e, ok := rd.live.Get(pivot(key)); ok {
		return e.chain.at(rev)
	}
	if rev == rd.rev {
		return nil
	}
	if e, ok := rd.dead.Get(pivot(key)); ok {
		return e.chain.at(rev)
	}
	return nil
}

// visit calls f with each version in s at rev, in key order, until f returns false.
func (rd *reader) visit(s span, rev int64, f func(v *version) bool) {
	if rev == rd.rev {
		rd.live.Ascend(pivot(s.from), func(e entry) bool { return !s.past(e.key) && f(e.chain.at(rev)) })
		return
	}
	it := newMerged(rd.live, rd.dead, s.from)
	for e, ok := it.next(); ok && !s.past(e.key); e, ok = it.next() {
		if v := e.chain.at(rev); v != nil && !f(v) {
			return
		}
	}
}

func (rd *reader) countAt(s span, rev int64) (n int64) {
	if rev == rd.rev {
		return int64(count(rd.live, s))
	}
	rd.visit(s, rev, func(*version) bool { n++; return true })
	return n
}

// collect gathers up to limit versions (0: all) and counts all of them.
func (rd *reader) collect(res *RangeResult, s span, rev, limit int64) {
	if limit > 0 && limit <= 4096 {
		res.versions = make([]*version, 0, limit)
	}
	cut := false
	rd.visit(s, rev, func(v *version) bool {
		if limit > 0 && int64(len(res.versions)) >= limit {
			res.Count++
			cut = true
			return rev != rd.rev // at the head ranks give the rest of the count
		}
		res.versions = append(res.versions, v)
		return true
	})
	if cut && rev == rd.rev {
		res.Count = int64(count(rd.live, s))
		return
	}
	res.Count += int64(len(res.versions))
}

// scanLimit is how many versions, in the order of keys, suffice for the answer; 0 means all. It is one more than asked for, to know whether there are
// more. A sort target without a sort order does not make the whole range be read: the first keys are taken, and only they are sorted by
// the target. That is etcd's way.
func scanLimit(r *pb.RangeRequest) int64 {
	keyOrder := r.GetSortOrder() == pb.RangeRequest_NONE ||
		r.GetSortTarget() == pb.RangeRequest_KEY && r.GetSortOrder() == pb.RangeRequest_ASCEND
	n := r.GetLimit()
	if n <= 0 || n == math.MaxInt64 || !keyOrder || hasRevisionFilter(r) {
		return 0
	}
	return n + 1
}

func hasRevisionFilter(r *pb.RangeRequest) bool {
	return r.GetMinModRevision() != 0 || r.GetMaxModRevision() != 0 ||
		r.GetMinCreateRevision() != 0 || r.GetMaxCreateRevision() != 0
}

func filter(vs []*version, r *pb.RangeRequest) []*version {
	kept := vs[:0]
	for _, v := range vs {
		if passesFilters(v, r) {
			kept = append(kept, v)
		}
	}
	return kept
}

// passesFilters says whether r's revision filters let v through.
func passesFilters(v *version, r *pb.RangeRequest) bool {
	inside := func(n, low, high int64) bool { return (low == 0 || n >= low) && (high == 0 || n <= high) }
	return inside(v.main, r.GetMinModRevision(), r.GetMaxModRevision()) &&
		inside(v.create, r.GetMinCreateRevision(), r.GetMaxCreateRevision())
}

// sortVersions sorts vs, which come in the order of keys. It uses sort.Sort and compares by the target alone, as etcd does: so versions that are equal
// in the target come out in etcd's order, too.
func sortVersions(vs []*version, r *pb.RangeRequest) {
	order, target := r.GetSortOrder(), r.GetSortTarget()
	if target == pb.RangeRequest_KEY && order != pb.RangeRequest_DESCEND {
		return
	}
	by := &byTarget{vs: vs, less: lessBy(target)}
	switch {
	case by.less == nil:
	case order == pb.RangeRequest_DESCEND:
		sort.Sort(sort.Reverse(by))
	default:
		sort.Sort(by)
	}
}

// lessBy returns the comparison for a sort target. It is nil for an unknown target, which CheckRange refuses.
func lessBy(target pb.RangeRequest_SortTarget) func(a, b *version) bool {
	switch target {
	case pb.RangeRequest_KEY:
		return func(a, b *version) bool { return bytes.Compare(a.key(), b.key()) < 0 }
	case pb.RangeRequest_VERSION:
		return func(a, b *version) bool { return a.number < b.number }
	case pb.RangeRequest_CREATE:
		return func(a, b *version) bool { return a.create < b.create }
	case pb.RangeRequest_MOD:
		return func(a, b *version) bool { return a.main < b.main }
	case pb.RangeRequest_VALUE:
		return func(a, b *version) bool { return bytes.Compare(a.value(), b.value()) < 0 }
	}
	return nil
}

// firstToFront puts the version first that sortVersions would put first, without sorting the others. Clients that wait for a lock ask for no more. It
// returns false if only the sort can tell which version comes first, because several are equal.
func firstToFront(vs []*version, r *pb.RangeRequest) bool {
	less := lessBy(r.GetSortTarget())
	if less == nil || len(vs) == 0 || r.GetSortTarget() == pb.RangeRequest_KEY && r.GetSortOrder() != pb.RangeRequest_DESCEND {
		return false
	}
	first, equals := 0, false
	for i := 1; i < len(vs); i++ {
		a, b := vs[i], vs[first]
		if r.GetSortOrder() == pb.RangeRequest_DESCEND {
			a, b = b, a
		}
		switch {
		case less(a, b):
			first, equals = i, false
		case !less(b, a):
			equals = true
		}
	}
	if !equals {
		vs[0] = vs[first]
	}
	return !equals
}

type byTarget struct {
	vs   []*version
	less func(a, b *version) bool
}

func (s *byTarget) Len() int           { return len(s.vs) }
func (s *byTarget) Less(i, j int) bool { return s.less(s.vs[i], s.vs[j]) }
func (s *byTarget) Swap(i, j int)      { s.vs[i], s.vs[j] = s.vs[j], s.vs[i] }

// Response is the answer as a message. Its header holds only the revision. Its keys and values share the stored bytes.
func (r *RangeResult) Response() *pb.RangeResponse {
	resp := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: r.Revision}, Count: r.Count, More: r.More}
	if len(r.versions) == 0 {
		return resp
	}
	resp.Kvs = make([]*mvccpb.KeyValue, len(r.versions))
	for i := range r.versions {
		resp.Kvs[i] = r.KeyValue(i)
	}
	return resp
}

// KeyValue is the i-th key-value of the answer; it shares the stored bytes.
func (r *RangeResult) KeyValue(i int) *mvccpb.KeyValue {
	kv := r.versions[i].keyValue()
	if r.keysOnly {
		kv.Value = nil
		if !r.hasLease {
			kv.Lease = 0
		}
	}
	return kv
}

// keysOnlyFields are the fields of v that a keys-only answer shows.
func (r *RangeResult) keysOnlyFields(v *version) keyValueFields {
	f := keyValueFields{key: v.key(), create: v.create, mod: v.main, number: v.number}
	if r.hasLease {
		f.leased = v.lease
	}
	return f
}

// kvsTag is the tag of RangeResponse's field kvs.
const kvsTag = 2<<3 | byte(protowire.BytesType)

// Size is the number of bytes that AppendKVs appends.
func (r *RangeResult) Size() (n int) {
	for _, v := range r.versions {
		n += r.encodedSize(v)
	}
	return n
}

// encodedSize is the number of bytes that one version takes in AppendKVs.
func (r *RangeResult) encodedSize(v *version) int {
	size := len(v.kv)
	if r.keysOnly {
		f := r.keysOnlyFields(v)
		size = f.size()
	}
	return 1 + protowire.SizeBytes(size)
}

// AppendKVs appends the answer's kvs fields as a RangeResponse encodes them.
func (r *RangeResult) AppendKVs(dst []byte) []byte {
	for i := range r.versions {
		dst = r.AppendKV(dst, i)
	}
	return dst
}

// AppendKV appends the i-th of what AppendKVs appends.
func (r *RangeResult) AppendKV(dst []byte, i int) []byte {
	v := r.versions[i]
	dst = append(dst, kvsTag)
	if r.keysOnly {
		f := r.keysOnlyFields(v)
		dst, _ = f.append(protowire.AppendVarint(dst, uint64(f.size())))
		return dst
	}
	return append(protowire.AppendVarint(dst, uint64(len(v.kv))), v.kv...)
}

// AppendKVHead appends what stands before EncodedKV in what AppendKV appends: tag and length.
func (r *RangeResult) AppendKVHead(dst []byte, i int) []byte {
	return protowire.AppendVarint(append(dst, kvsTag), uint64(len(r.versions[i].kv)))
}

// EncodedKV is the i-th key-value as stored, an encoded mvccpb.KeyValue. It returns false for a keys-only answer, whose key-values are not stored so.
func (r *RangeResult) EncodedKV(i int) ([]byte, bool) {
	if r.keysOnly {
		return nil, false
	}
	return r.versions[i].kv, true
}
