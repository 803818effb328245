// Package workload makes up the requests that simulated clients send: a mix of everything the KV service does, over few keys
// so that clients meet. It knows the API's types and nothing of members.
//
// All keys of a request are of one group, unless the mix has only one: a history can then be judged group by group.
//
// Concurrency: none; a generator is used by one goroutine.
package workload

import (
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/sim/prng"
)

// Mix is what the requests of a run are like. The weights are relative.
type Mix struct {
	Put, Get, Range, Delete, DeleteRange, Txn, Past, Stale, Compact int

	Groups, Keys int // groups of keys, and keys in each
	ValueMost    int // bytes of the largest values; most are small
	NestMost     int // depth of txns in txns
	Odd          int // permille of requests with something that is refused, or rarely used
	// Shared: there are keys of others beside the groups, so that no request may be about all keys.
	Shared bool
}

// PickMix draws a mix.
func PickMix(s *prng.Source) Mix {
	m := Mix{Put: 30, Get: 25, Range: 10, Delete: 6, DeleteRange: 3, Txn: 16, Past: 4, Stale: 6, Compact: 2,
		Groups: 1 + s.Intn(3), Keys: 2 + s.Intn(6), ValueMost: 1500, NestMost: s.Intn(3), Odd: 20}
	switch s.Weighted([]int{4, 1, 1, 1, 1}) {
	case 1:
		m.Put, m.Get = 100, 20
	case 2:
		m.Get, m.Range, m.Stale = 80, 40, 30
	case 3:
		m.Txn, m.Delete, m.DeleteRange = 60, 15, 10
	case 4:
		m.Compact, m.Past = 10, 20
	}
	if s.Permille(250) {
		m.ValueMost = 6000 // more than a page: writes of many sectors
	}
	return m
}

// Request is one request, and the group of its keys; empty when it has none (a compaction).
type Request struct {
	Message proto.Message // *pb.PutRequest, *pb.RangeRequest, *pb.DeleteRangeRequest, *pb.TxnRequest, *pb.CompactionRequest
	Group   string
}

// Generator makes requests.
type Generator struct {
	mix    Mix
	chance *prng.Source
	values uint64
	prefix string
}

// New returns a generator that draws from s.
func New(mix Mix, s *prng.Source) *Generator { return &Generator{mix: mix, chance: s} }

// NameValues gives all values of this generator a prefix, so that no other makes the same ones. By convention it is the
// client's number and a point: compares ask for the values of the first four clients.
func (g *Generator) NameValues(prefix string) { g.prefix = prefix }

// Next makes a request of a client which has seen the given revision.
func (g *Generator) Next(seen int64) Request {
	m, s := &g.mix, g.chance
	group := s.Intn(m.Groups)
	r := Request{Group: groupName(group)}
	switch s.Weighted([]int{m.Put, m.Get, m.Range, m.Delete, m.DeleteRange, m.Txn, m.Past, m.Stale, m.Compact}) {
	case 0:
		r.Message = g.put(group)
	case 1:
		r.Message = g.get(group)
	case 2:
		r.Message = g.rng(group)
	case 3:
		r.Message = &pb.DeleteRangeRequest{Key: g.key(group), PrevKv: s.Permille(500)}
	case 4:
		del := &pb.DeleteRangeRequest{PrevKv: s.Permille(300)}
		del.Key, del.RangeEnd = g.span(group)
		r.Message = del
	case 5:
		r.Message = g.txn(group, m.NestMost)
	case 6:
		past := g.rng(group)
		past.Revision = g.past(seen)
		r.Message = past
	case 7:
		stale := g.rng(group)
		stale.Serializable = true
		r.Message = stale
	case 8:
		r.Message, r.Group = &pb.CompactionRequest{Revision: g.past(seen), Physical: s.Permille(500)}, ""
	}
	return r
}

func groupName(group int) string { return string(rune('a' + group)) }

func (g *Generator) key(group int) []byte {
	return append([]byte(groupName(group)), '/', byte('0'+g.chance.Intn(g.mix.Keys)))
}

// span returns a range of keys inside a group: one key, some, or all.
func (g *Generator) span(group int) (key, end []byte) {
	name := groupName(group)
	switch g.chance.Weighted([]int{4, 4, 1}) {
	case 0:
		return []byte(name + "/"), []byte(name + "0") // the prefix
	case 1:
		lo := g.key(group)
		hi := append([]byte(name), '/', byte('0'+g.chance.Intn(g.mix.Keys+1)))
		return lo, hi // may be empty
	}
	if g.mix.Groups == 1 && !g.mix.Shared {
		return []byte{0}, []byte{0} // all keys
	}
	return g.key(group), nil
}

// value makes a value that no other put of the run has.
func (g *Generator) value() []byte {
	g.values++
	v := strconv.AppendUint([]byte(g.prefix), g.values, 10)
	if g.chance.Permille(300) {
		pad := g.chance.Intn(g.mix.ValueMost)
		for len(v) < pad {
			v = append(v, byte('A'+len(v)%26))
		}
	}
	return v
}

// Put makes a put of a key of some group.
func (g *Generator) Put() Request {
	group := g.chance.Intn(g.mix.Groups)
	return Request{Message: g.put(group), Group: groupName(group)}
}

func (g *Generator) put(group int) *pb.PutRequest {
	s := g.chance
	p := &pb.PutRequest{Key: g.key(group), Value: g.value(), PrevKv: s.Permille(250)}
	if s.Permille(g.mix.Odd) {
		switch s.Intn(4) {
		case 0:
			p.Value, p.IgnoreValue = nil, true
		case 1:
			p.IgnoreLease = true
		case 2:
			p.Lease = 12345 // there is none
		case 3:
			p.Key = nil
		}
	}
	return p
}

func (g *Generator) get(group int) *pb.RangeRequest {
	return &pb.RangeRequest{Key: g.key(group), KeysOnly: g.chance.Permille(50), CountOnly: g.chance.Permille(30)}
}

// rng makes a range with any of the options.
func (g *Generator) rng(group int) *pb.RangeRequest {
	s := g.chance
	r := &pb.RangeRequest{}
	r.Key, r.RangeEnd = g.span(group)
	r.Limit = int64(s.Weighted([]int{6, 1, 1, 1}))
	r.KeysOnly, r.CountOnly = s.Permille(100), s.Permille(100)
	if s.Permille(300) {
		r.SortOrder = pb.RangeRequest_SortOrder(s.Intn(3))
		r.SortTarget = pb.RangeRequest_SortTarget(s.Intn(5))
	}
	if s.Permille(g.mix.Odd) {
		r.MinModRevision, r.MaxModRevision = s.Between(0, 50), s.Between(0, 500)
		r.MinCreateRevision, r.MaxCreateRevision = s.Between(0, 50), s.Between(0, 500)
	}
	return r
}

// past returns a revision up to a little after the one seen.
func (g *Generator) past(seen int64) int64 {
	if g.chance.Permille(g.mix.Odd) {
		return seen + g.chance.Between(0, 20)
	}
	return max(1, seen-g.chance.Between(0, 30))
}

func (g *Generator) txn(group, nest int) *pb.TxnRequest {
	s := g.chance
	t := &pb.TxnRequest{}
	for range s.Weighted([]int{1, 4, 2, 1}) {
		t.Compare = append(t.Compare, g.compare(group))
	}
	t.Success = g.ops(group, nest)
	t.Failure = g.ops(group, nest)
	return t
}

func (g *Generator) compare(group int) *pb.Compare {
	s := g.chance
	c := &pb.Compare{Key: g.key(group), Result: pb.Compare_CompareResult(s.Intn(4))}
	if s.Permille(100) {
		c.Key, c.RangeEnd = g.span(group)
	}
	switch s.Weighted([]int{3, 3, 2, 3}) {
	case 0:
		c.Target = pb.Compare_VERSION
		c.TargetUnion = &pb.Compare_Version{Version: s.Between(0, 4)}
	case 1:
		c.Target = pb.Compare_CREATE
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: g.revision()}
	case 2:
		c.Target = pb.Compare_MOD
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: g.revision()}
	case 3:
		c.Target = pb.Compare_VALUE
		c.TargetUnion = &pb.Compare_Value{Value: []byte(strconv.Itoa(s.Intn(4)) + "." + strconv.FormatUint(1+s.Below(g.values+1), 10))}
	}
	return c
}

// revision is one to compare with: zero (does it exist?) or any that may have been. A put gives about one revision, so the number of
// values made so far is a fair guess of the newest.
func (g *Generator) revision() int64 {
	if g.chance.Permille(500) {
		return 0
	}
	return 1 + int64(g.chance.Below(g.values+2))
}

func (g *Generator) ops(group, nest int) []*pb.RequestOp {
	s := g.chance
	var ops []*pb.RequestOp
	for range s.Weighted([]int{1, 4, 2, 1}) {
		switch s.Weighted([]int{5, 4, 1, 1}) {
		case 0:
			ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: g.put(group)}})
		case 1:
			r := g.rng(group)
			ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}})
		case 2:
			d := &pb.DeleteRangeRequest{PrevKv: s.Permille(300)}
			if d.Key = g.key(group); s.Permille(300) {
				d.Key, d.RangeEnd = g.span(group)
			}
			ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: d}})
		case 3:
			if nest > 0 {
				t := g.txn(group, nest-1)
				ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: t}})
			}
		}
	}
	return ops
}
