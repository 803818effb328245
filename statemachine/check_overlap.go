package statemachine

import (
	"maps"
	"slices"
	"sort"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// footprint is all that a list of operations may write, whichever branches its nested transactions take.
type footprint struct {
	puts map[string]bool
	dels deletions
}

// deletions is a set of deleted keys and ranges.
type deletions struct {
	points map[string]bool
	ranges []keyRange
	merged bool // ranges are in order and apart
}

// keyRange is [from, to). A range_end of one zero byte means "all keys from here on" elsewhere. Here it is the key "\x00", so the range is empty: a
// transaction that deletes all keys from a key on, and puts one of them, is let through. etcd's check does the same.
type keyRange struct{ from, to string }

func (d *deletions) add(r *pb.DeleteRangeRequest) {
	if len(r.GetRangeEnd()) == 0 {
		d.points[string(r.GetKey())] = true
		return
	}
	if k := (keyRange{string(r.GetKey()), string(r.GetRangeEnd())}); k.from < k.to {
		d.ranges, d.merged = append(d.ranges, k), false
	}
}

func (d *deletions) union(o deletions) {
	maps.Copy(d.points, o.points)
	if len(o.ranges) > 0 {
		d.ranges, d.merged = append(d.ranges, o.ranges...), false
	}
}

func (d *deletions) contains(key string) bool {
	if d.points[key] {
		return true
	}
	d.merge()
	i := sort.Search(len(d.ranges), func(i int) bool { return d.ranges[i].to > key })
	return i < len(d.ranges) && d.ranges[i].from <= key
}

func (d *deletions) merge() {
	if d.merged {
		return
	}
	slices.SortFunc(d.ranges, func(a, b keyRange) int { return strings.Compare(a.from, b.from) })
	apart := d.ranges[:0]
	for _, r := range d.ranges {
		if last := len(apart) - 1; last >= 0 && r.from <= apart[last].to {
			apart[last].to = max(apart[last].to, r.to)
			continue
		}
		apart = append(apart, r)
	}
	d.ranges, d.merged = apart, true
}

// checkOverlap refuses a list in which two operations put the same key, or one puts and one deletes it. Two operations in opposite branches of
// one nested transaction may do so. A nested transaction's deletions are compared with the puts of its own level and of the nested
// transactions after it, not with those before it; so does etcd.
func checkOverlap(ops []*pb.RequestOp) (footprint, error) {
	f := footprint{puts: map[string]bool{}, dels: deletions{points: map[string]bool{}}}
	for _, op := range ops {
		if r := op.GetRequestDeleteRange(); r != nil {
			f.dels.add(r)
		}
	}
	for _, op := range ops {
		if r := op.GetRequestTxn(); r != nil {
			if err := f.addNested(r); err != nil {
				return f, err
			}
		}
	}
	for _, op := range ops {
		r := op.GetRequestPut()
		if r == nil {
			continue
		}
		if key := string(r.GetKey()); f.puts[key] || f.dels.contains(key) {
			return f, rpctypes.ErrGRPCDuplicateKey
		}
		f.puts[string(r.GetKey())] = true
	}
	return f, nil
}

func (f *footprint) addNested(r *pb.TxnRequest) error {
	success, err := checkOverlap(r.GetSuccess())
	if err != nil {
		return err
	}
	failure, err := checkOverlap(r.GetFailure())
	if err != nil {
		return err
	}
	// The two branches may put the same key, so each is compared with what was there before both.
	for _, branch := range []footprint{success, failure} {
		for key := range branch.puts { // one overlap is enough for the answer, so the order does not matter
			if f.puts[key] || f.dels.contains(key) {
				return rpctypes.ErrGRPCDuplicateKey
			}
		}
	}
	for _, branch := range []footprint{success, failure} {
		maps.Copy(f.puts, branch.puts)
		f.dels.union(branch.dels)
	}
	return nil
}
