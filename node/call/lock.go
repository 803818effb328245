package call

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errSessionExpired is what etcd's lock service answers when the lease ended during the wait.
var errSessionExpired = status.Error(codes.Unknown, "mutex: session is expired")

// Lock waits for a lock and takes it (Lock.Lock). The answer's key exists as long as the lock is held, and names the holder: the lock's
// name, a slash and the lease in hex. The header's revision is of a state in which it is held. A lease that holds the lock already, or
// waits for it, keeps its place in the queue. A request without a lease gets one of 60 s, which nobody keeps alive, as in etcd.
//
// Lock begins in a turn and goes on in turns; done is called once, in one of them, in this very one if the request is refused at once.
// Errors are those of a Txn and of a lease's grant, throughLibrary (ErrGRPCLeaseNotFound's text for one that is gone), and etcd's "mutex: session is expired"
// where the lease ends, or the key is deleted, while it waits; etcd says so only once it would have been its turn.
// cancel, to be called in a turn, gives the place in the queue back and then calls done with ErrGRPCCanceled; where done was called it
// does nothing.
func Lock(g *Gate, m Replica, who Caller, r *v3lockpb.LockRequest, done func(*v3lockpb.LockResponse, error)) (cancel func()) {
	c := &contender{
		gate: g, member: m, who: who, prefix: queuePrefix(r.GetName()), lease: r.GetLease(), expired: errSessionExpired,
	}
	c.settle = func(h *pb.ResponseHeader, err error) {
		if err != nil {
			done(nil, throughLibrary(err))
			return
		}
		done(&v3lockpb.LockResponse{Header: h, Key: c.key}, nil)
	}
	return c.start(v3lockpb.Lock_Lock_FullMethodName, r)
}

// Unlock gives a lock back: it deletes the key (Lock.Unlock), whether it is there or not. It begins in a turn, as Do.
func Unlock(g *Gate, m Replica, who Caller, r *v3lockpb.UnlockRequest, done func(*v3lockpb.UnlockResponse, error)) {
	who, err := g.admit(who, m, v3lockpb.Lock_Unlock_FullMethodName, r)
	if err != nil {
		done(nil, throughLibrary(err))
		return
	}
	Do(g, m, who, &DeleteRange, &pb.DeleteRangeRequest{Key: r.GetKey()}, func(resp *pb.DeleteRangeResponse, _ *Outcome, err error) {
		if err != nil {
			done(nil, throughLibrary(err))
			return
		}
		done(&v3lockpb.UnlockResponse{Header: resp.GetHeader()}, nil)
	})
}
