package node

import (
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// errTermOver is the answer to a bound proposal that has not left, or may not have, when the term ended.
var errTermOver = errors.New("node: the term of a proposal is over")

// proposeBound proposes a request that only the leader of the present term may make: what it says is true by that leader's clock, as
// long as it leads. It goes into the log in this very term, or never: it is not forwarded, and not sent again after a change. done is
// called as Propose's; an error means that the request was not seen to be applied, though an entry that is in the log may yet be.
func (m *Member) proposeBound(request *pb.InternalRaftRequest, done func(Applied, error)) {
	m.wanted = true
	p := &m.proposals
	w := proposal{request: request, size: proto.Size(request), done: done, start: m.now()}
	p.requests++
	p.bytes += w.size
	p.bound, p.boundTerm = append(p.bound, w), m.term
}

// gatherBound puts the bound requests into batches of their own.
func (m *Member) gatherBound() {
	p := &m.proposals
	for len(p.bound) > 0 && len(p.flight) < maxFlights {
		n := min(len(p.bound), m.config.MaxBatchRequests)
		f := m.newFlight(p.bound[:n:n])
		p.bound = p.bound[n:]
		f.term = p.boundTerm
		m.send(f)
	}
	if len(p.bound) == 0 {
		p.bound = nil
	}
	p.settle()
}

// sendBound proposes a bound batch once, if its term is still this leader's, and gives it up otherwise.
func (m *Member) sendBound(f *flight) {
	if f.sent {
		return
	}
	if m.leadsFor(f.term) && m.relay(f.batch, f.encoded) {
		f.sent, f.left, f.since, f.sentAt = true, true, f.term, m.now()
		return
	}
	m.giveUp(f, errTermOver)
}

// dropBound gives up all bound requests: the term is over, or this member leads no more.
func (m *Member) dropBound() {
	p := &m.proposals
	for _, f := range p.flight {
		if f.term != 0 && !f.resolved {
			m.giveUp(f, errTermOver)
		}
	}
	for _, w := range p.bound {
		p.requests--
		p.bytes -= w.size
		m.later(func() { w.done(Applied{}, errTermOver) })
	}
	p.bound = nil
	p.settle()
}
