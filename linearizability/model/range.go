package model

import (
	"bytes"
	"math"
	"slices"
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Range reads keys at the newest revision or an older one. Errors:
// rpctypes.ErrGRPCFutureRev, rpctypes.ErrGRPCCompacted.
func (s *State) Range(r *pb.RangeRequest) (*pb.RangeResponse, error) {
	return s.rangeSeeing(r, s.revision)
}

// rangeSeeing is Range for a reader to whom the newest revision is newest: one
// more than the state's inside a transaction that has written.
func (s *State) rangeSeeing(r *pb.RangeRequest, newest int64) (*pb.RangeResponse, error) {
	switch {
	case r.GetRevision() > newest:
		return nil, rpctypes.ErrGRPCFutureRev
	case r.GetRevision() > 0 && r.GetRevision() < s.compacted:
		return nil, rpctypes.ErrGRPCCompacted
	}
	versions := s.current
	// Revisions of 0 and below mean the newest.
	if r.GetRevision() > 0 && r.GetRevision() != newest {
		versions = s.at(r.GetRevision())
	}
	versions = within(versions, r.GetKey(), r.GetRangeEnd())

	// The count is of the keys in range: neither the limit nor the filters on
	// revisions make it smaller.
	resp := &pb.RangeResponse{Header: header(newest), Count: int64(len(versions))}
	if r.GetCountOnly() {
		return resp, nil
	}
	versions = sorted(filtered(truncated(versions, r), r), r)
	if limit := r.GetLimit(); limit > 0 && int64(len(versions)) > limit {
		versions = versions[:limit]
		resp.More = true
	}
	for _, v := range versions {
		resp.Kvs = append(resp.Kvs, shown(v, r))
	}
	return resp, nil
}

// truncated applies the limit before the sort where etcd does: unless the
// request names an order, it takes the first keys (and one more, to know
// whether there are more) and sorts only these by the target it names.
func truncated(versions []*version, r *pb.RangeRequest) []*version {
	unordered := r.GetSortOrder() == pb.RangeRequest_NONE ||
		r.GetSortTarget() == pb.RangeRequest_KEY && r.GetSortOrder() == pb.RangeRequest_ASCEND
	hasFilters := r.GetMinModRevision() != 0 || r.GetMaxModRevision() != 0 ||
		r.GetMinCreateRevision() != 0 || r.GetMaxCreateRevision() != 0
	limit := r.GetLimit()
	if !unordered || hasFilters || limit <= 0 || limit == math.MaxInt64 || int64(len(versions)) <= limit {
		return versions
	}
	return versions[:limit+1]
}

func filtered(versions []*version, r *pb.RangeRequest) []*version {
	var kept []*version
	for _, v := range versions {
		if between(v.changed, r.GetMinModRevision(), r.GetMaxModRevision()) &&
			between(v.created, r.GetMinCreateRevision(), r.GetMaxCreateRevision()) {
			kept = append(kept, v)
		}
	}
	return kept
}

// between says whether minimum <= n <= maximum, where a bound of 0 is none.
func between(n, minimum, maximum int64) bool {
	return (minimum == 0 || n >= minimum) && (maximum == 0 || n <= maximum)
}

// sorted orders versions, which come in key order, as the request says. It sorts
// with sort.Sort, by the one target only, because etcd does: among equal ones its
// order is that sort's, which is part of the answer.
func sorted(versions []*version, r *pb.RangeRequest) []*version {
	by := &byTarget{versions: slices.Clone(versions)}
	switch r.GetSortTarget() {
	case pb.RangeRequest_VERSION:
		by.less = func(a, b *version) bool { return a.number < b.number }
	case pb.RangeRequest_CREATE:
		by.less = func(a, b *version) bool { return a.created < b.created }
	case pb.RangeRequest_MOD:
		by.less = func(a, b *version) bool { return a.changed < b.changed }
	case pb.RangeRequest_VALUE:
		by.less = func(a, b *version) bool { return bytes.Compare(a.value, b.value) < 0 }
	default:
		by.less = func(a, b *version) bool { return a.key < b.key }
	}
	if r.GetSortOrder() == pb.RangeRequest_DESCEND {
		sort.Sort(sort.Reverse(by))
	} else {
		sort.Sort(by)
	}
	return by.versions
}

type byTarget struct {
	versions []*version
	less     func(a, b *version) bool
}

func (s *byTarget) Len() int           { return len(s.versions) }
func (s *byTarget) Less(i, j int) bool { return s.less(s.versions[i], s.versions[j]) }
func (s *byTarget) Swap(i, j int)      { s.versions[i], s.versions[j] = s.versions[j], s.versions[i] }

// shown is what a range shows of a version. With keys_only etcd answers from
// its index of keys, which knows no leases, unless it had to read the values to
// sort by them.
func shown(v *version, r *pb.RangeRequest) *mvccpb.KeyValue {
	kv := v.keyValue()
	if r.GetKeysOnly() {
		kv.Value = nil
		if r.GetSortTarget() != pb.RangeRequest_VALUE {
			kv.Lease = 0
		}
	}
	return kv
}
