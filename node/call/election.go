package call

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What etcd's election service answers beside the errors of KV and leases.
var (
	errMissingLeaderKey = status.Error(codes.Unknown, `"leader" field must be provided`)
	errNotLeader        = status.Error(codes.Unknown, "election: not leader")
	errNoLeader         = status.Error(codes.Unknown, "election: no leader")
)

// Campaign waits until it is elected (Election.Campaign). It queues up as Lock does, and is answered, refused and cancelled as that
// is; a lease that campaigns already keeps its place and gets the request's value. The header is that of the entry into the queue, and where that gave
// a place its new value, of the state before, as etcd's. Where the key is gone while it waits the error is "election: not leader"; etcd would answer that it is elected.
func Campaign(g *Gate, m Replica, who Caller, r *v3electionpb.CampaignRequest, done func(*v3electionpb.CampaignResponse, error)) (cancel func()) {
	c := &contender{
		gate: g, member: m, who: who, prefix: queuePrefix(r.GetName()), lease: r.GetLease(), value: r.GetValue(), expired: errNotLeader,
	}
	c.settle = func(_ *pb.ResponseHeader, err error) {
		if err != nil {
			done(nil, throughLibrary(err))
			return
		}
		if c.again {
			c.header.Revision--
		}
		leader := &v3electionpb.LeaderKey{Name: r.GetName(), Key: c.key, Rev: c.create, Lease: c.lease}
		done(&v3electionpb.CampaignResponse{Header: c.header, Leader: leader}, nil)
	}
	return c.start(v3electionpb.Election_Campaign_FullMethodName, r)
}

// Proclaim gives the leader a new value, if it still leads (Election.Proclaim): else the error is "election: not leader". A leader key
// without a lease gets one of 60 s, as in etcd. It begins in a turn, as Do; done is called once.
func Proclaim(g *Gate, m Replica, who Caller, r *v3electionpb.ProclaimRequest, done func(*v3electionpb.ProclaimResponse, error)) {
	leader := r.GetLeader()
	who, err := g.admitLeader(who, m, v3electionpb.Election_Proclaim_FullMethodName, r, leader)
	if err != nil {
		done(nil, throughLibrary(err))
		return
	}
	put := func(lease int64) {
		op := putOp(leader.GetKey(), r.GetValue(), lease)
		ifLeader(g, m, who, leader, op, func(resp *pb.TxnResponse, err error) {
			switch {
			case err != nil:
				done(nil, throughLibrary(err))
			case !resp.GetSucceeded():
				done(nil, errNotLeader)
			default:
				done(&v3electionpb.ProclaimResponse{Header: resp.GetHeader()}, nil)
			}
		})
	}
	if leader.GetLease() != 0 {
		put(leader.GetLease())
		return
	}
	Do(g, m, who, &LeaseGrant, sessionLease(), func(resp *pb.LeaseGrantResponse, _ *Outcome, err error) {
		if err != nil {
			done(nil, throughLibrary(err))
			return
		}
		put(resp.GetID())
	})
}

// Resign ends a leadership: it deletes the leader's key, if that is still the same one (Election.Resign). It begins in a turn, as Do.
func Resign(g *Gate, m Replica, who Caller, r *v3electionpb.ResignRequest, done func(*v3electionpb.ResignResponse, error)) {
	leader := r.GetLeader()
	who, err := g.admitLeader(who, m, v3electionpb.Election_Resign_FullMethodName, r, leader)
	if err != nil {
		done(nil, throughLibrary(err))
		return
	}
	ifLeader(g, m, who, leader, deleteOp(leader.GetKey()), func(resp *pb.TxnResponse, err error) {
		if err != nil {
			done(nil, throughLibrary(err))
			return
		}
		done(&v3electionpb.ResignResponse{Header: resp.GetHeader()}, nil)
	})
}

// admitLeader is admit for a call of whoever leads, which names its key.
func (g *Gate) admitLeader(who Caller, at Local, method string, request any, leader *v3electionpb.LeaderKey) (Caller, error) {
	if err := g.enter(who, at, method); err != nil {
		return who, err
	}
	if leader == nil {
		return who, errMissingLeaderKey
	}
	return g.pass(who, at, method, request)
}

// ifLeader makes an operation on a leader's key, if that exists since the leader was elected.
func ifLeader(g *Gate, m Replica, who Caller, leader *v3electionpb.LeaderKey, op *pb.RequestOp, done func(*pb.TxnResponse, error)) {
	r := &pb.TxnRequest{Compare: []*pb.Compare{revisionIs(pb.Compare_CREATE, leader.GetKey(), leader.GetRev())}, Success: []*pb.RequestOp{op}}
	Do(g, m, who, &Txn, r, func(resp *pb.TxnResponse, _ *Outcome, err error) { done(resp, err) })
}

// Leader says who leads, linearized; "election: no leader" where nobody does (Election.Leader). It begins in a turn, as Do.
func Leader(g *Gate, m Replica, who Caller, r *v3electionpb.LeaderRequest, done func(*v3electionpb.LeaderResponse, error)) {
	who, err := g.admit(who, m, v3electionpb.Election_Leader_FullMethodName, r)
	if err != nil {
		done(nil, throughLibrary(err))
		return
	}
	Do(g, m, who, &Range, firstUnder(queuePrefix(r.GetName())), func(a RangeAnswer, _ *Outcome, err error) {
		switch {
		case err != nil:
			done(nil, throughLibrary(err))
		case a.Result.Len() == 0:
			done(nil, errNoLeader)
		default:
			done(&v3electionpb.LeaderResponse{Header: a.Header, Kv: a.Result.KeyValue(0)}, nil)
		}
	})
}
