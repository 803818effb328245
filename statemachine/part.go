package statemachine

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// RangePart answers the beginning of a range, for callers that read a large one in parts: as Range does, in key order, but it stops
// at r's limit (0: none) or before the answer would take more than maxBytes (as AppendKVs writes it; one key-value always fits), and
// it does not count: More says whether the range goes on behind the last key. Its cost is the part, and the keys passed
// over that do not exist at r's revision. Sort options and revision filters are not looked at. Errors are those of Range.
func (v *View) RangePart(r *pb.RangeRequest, maxBytes int) (*RangeResult, error) {
	rd := &v.keys
	rev := max(r.GetRevision(), 0)
	if err := rd.checkRevision(rev); err != nil {
		return nil, err
	}
	if rev == 0 {
		rev = rd.rev
	}
	res := &RangeResult{Revision: rd.rev, keysOnly: r.GetKeysOnly()}
	s := newSpan(r.GetKey(), r.GetRangeEnd())
	if s.point {
		rd.rangeOne(res, s.from, rev)
		return res, nil
	}
	size, limit := 0, r.GetLimit()
	if limit > 0 {
		res.versions = make([]*version, 0, min(limit, int64(rd.live.Len()), 4096))
	}
	rd.visit(s, rev, func(ver *version) bool {
		size += res.encodedSize(ver)
		if n := len(res.versions); n > 0 && size > maxBytes || limit > 0 && int64(n) >= limit {
			res.More = true
			return false
		}
		res.versions = append(res.versions, ver)
		return true
	})
	return res, nil
}
