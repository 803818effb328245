package node

import (
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/statemachine/format"
)

// errTermOver is the answer to a bound proposal that has not left, or may not have, when the term ended.
var errTermOver = errors.New("node: the term of a proposal is over")

// proposeBound proposes a request that only the leader of the present term may make: what it says is true by that leader's clock, as
// long as it leads. It goes into the log in this very term, or never: it is not forwarded, and not sent again after a change. done is
// called as Propose's; an error means that the request was not seen to be applied, though an entry that is in the log may yet be.
// Bound requests go before others, in batches of their own.
func (p *proposals) proposeBound(request *pb.InternalRaftRequest, done func(Applied, error)) {
	p.wanted = true
	p.window.AddFirst(p.now(), proposal{request: request, term: p.term}, proto.Size(request), done)
}

// proposeRaise is proposeBound for a raise of the cluster's format version.
func (p *proposals) proposeRaise(to format.Version, done func(Applied, error)) {
	p.wanted = true
	p.window.AddFirst(p.now(), proposal{raise: to, term: p.term}, 0, done)
}

// boundWait says whether bound requests are in no batch yet.
func (p *proposals) boundWait() bool { return p.window.FirstWait() }

// sendBound proposes a bound batch once, if its term is still this leader's, and gives it up otherwise.
func (p *proposals) sendBound(f *batchFlight) bool {
	if term := f.Load.term; p.leadsFor(term) && p.relays.add(f.Load.envelope, f.Load.encoded) {
		f.Load.left, f.Load.since = true, term
		return true
	}
	p.window.GiveUp(f, errTermOver)
	return false
}
