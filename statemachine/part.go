package statemachine

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// RangePart answers the beginning of a range, for a caller that reads a large range in parts. It answers as Range does, in the order of keys, with these
// differences. It stops at r's limit (0: none), or before the answer takes more than maxBytes as AppendKVs writes it; one key-value always
// fits. It does not count: More says whether there is another key-value after the last one. It ignores sort options. It costs what the
// part takes, and the keys that it passes over because they do not exist at r's revision or because r's filters leave them out. Errors are
// those of Range.
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
		res.versions = filter(res.versions, r)
		return res, nil
	}
	size, limit := 0, r.GetLimit()
	if limit > 0 {
		res.versions = make([]*version, 0, min(limit, int64(rd.live.Len()), 4096))
	}
	rd.visit(s, rev, func(ver *version) bool {
		if !passesFilters(ver, r) {
			return true
		}
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

// Take moves the first key-values of an answer to an answer of their own: limit of them at most (0: any number), and no more than fit into
// maxBytes as AppendKVs writes them, but at least one if there is one. r forgets them: a reader that takes one part after another keeps
// only what is left.
func (r *RangeResult) Take(limit int64, maxBytes int) *RangeResult {
	n, size := 0, 0
	for n < len(r.versions) && (limit <= 0 || int64(n) < limit) {
		if size += r.encodedSize(r.versions[n]); n > 0 && size > maxBytes {
			break
		}
		n++
	}
	part := &RangeResult{Revision: r.Revision, keysOnly: r.keysOnly, hasLease: r.hasLease}
	part.versions = append(make([]*version, 0, n), r.versions[:n]...)
	clear(r.versions[:n])
	r.versions = r.versions[n:]
	return part
}
