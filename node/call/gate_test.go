package call_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/node/call"
)

var (
	errStranger  = status.Error(codes.Unauthenticated, "who is this?")
	errForbidden = status.Error(codes.PermissionDenied, "not for you")
)

// entrance is a call of each kind, made at a member through a gate; wrong is one whose request has a bad shape. They return with what the call is refused, or nil.
type entrance struct {
	name        string
	right       func(*call.Gate, *fakeMember, call.Caller) error
	wrong       func(*call.Gate, *fakeMember, call.Caller) error
	errOfShape  error
	unlimited   bool // no shape is judged before its own requests are made
	anyMemberIs bool // answered by learners as well
}

func unaryAt[Req, Resp any](u *call.Unary[Req, Resp], r Req) func(*call.Gate, *fakeMember, call.Caller) error {
	return func(g *call.Gate, m *fakeMember, who call.Caller) (err error) {
		call.Do(g, m, who, u, r, func(_ Resp, _ *call.Outcome, e error) { err = e })
		m.cluster.settle()
		return err
	}
}

func entrances() []entrance {
	return []entrance{
		{name: "a put", right: unaryAt(&call.Put, &pb.PutRequest{Key: []byte("k")}),
			wrong: unaryAt(&call.Put, &pb.PutRequest{}), errOfShape: rpctypes.ErrGRPCEmptyKey},
		{name: "a linearized range", right: unaryAt(&call.Range, &pb.RangeRequest{Key: []byte("k")}),
			wrong: unaryAt(&call.Range, &pb.RangeRequest{}), errOfShape: rpctypes.ErrGRPCEmptyKey},
		{name: "a local range", right: unaryAt(&call.Range, &pb.RangeRequest{Key: []byte("k"), Serializable: true}), anyMemberIs: true,
			wrong: unaryAt(&call.Range, &pb.RangeRequest{Serializable: true}), errOfShape: rpctypes.ErrGRPCEmptyKey},
		{name: "a range in chunks", right: unaryAt(&call.OpenRangeStream, &pb.RangeRequest{Key: []byte("k"), Serializable: true}),
			wrong: unaryAt(&call.OpenRangeStream, &pb.RangeRequest{}), errOfShape: rpctypes.ErrGRPCEmptyKey},
		{name: "a lock", unlimited: true, right: func(g *call.Gate, m *fakeMember, who call.Caller) (err error) {
			call.Lock(g, m, who, &v3lockpb.LockRequest{Name: []byte("l")}, func(_ *v3lockpb.LockResponse, e error) { err = e })
			m.cluster.settle()
			return err
		}},
		{name: "an unlock", unlimited: true, right: func(g *call.Gate, m *fakeMember, who call.Caller) (err error) {
			call.Unlock(g, m, who, &v3lockpb.UnlockRequest{Key: []byte("l/1")}, func(_ *v3lockpb.UnlockResponse, e error) { err = e })
			m.cluster.settle()
			return err
		}},
		{name: "a resignation", right: func(g *call.Gate, m *fakeMember, who call.Caller) (err error) {
			call.Resign(g, m, who, &v3electionpb.ResignRequest{Leader: &v3electionpb.LeaderKey{Key: []byte("e/1"), Rev: 1}},
				func(_ *v3electionpb.ResignResponse, e error) { err = e })
			m.cluster.settle()
			return err
		}, wrong: func(g *call.Gate, m *fakeMember, who call.Caller) (err error) {
			call.Resign(g, m, who, &v3electionpb.ResignRequest{}, func(_ *v3electionpb.ResignResponse, e error) { err = e })
			return err
		}, errOfShape: status.Error(codes.Unknown, `"leader" field must be provided`)},
		{name: "an observer", unlimited: true, right: func(g *call.Gate, m *fakeMember, who call.Caller) (err error) {
			cancel := call.Observe(g, m, who, &v3electionpb.LeaderRequest{Name: []byte("e")}, func(*v3electionpb.LeaderResponse) {}, func(e error) { err = e })
			m.cluster.settle()
			if err == nil {
				cancel()
				err = nil
			}
			return err
		}},
		{name: "a stream of watches", unlimited: true, right: func(g *call.Gate, m *fakeMember, who call.Caller) error {
			_, err := g.Open(who, m, &call.WatchStream)
			return err
		}},
	}
}

// Where several things are wrong with a call, the first step that it fails is the one that counts: the client's condition, the shape, who it is, what the member can do,
// what the caller may do. And where nothing is, it goes through.
func TestGate_StepsComeInOrder(t *testing.T) {
	faults := []struct {
		name string
		err  error
		put  func(*call.Gate, *fakeMember, *call.Caller)
	}{
		{"no leader", rpctypes.ErrGRPCNoLeader, func(_ *call.Gate, m *fakeMember, who *call.Caller) { m.leaderless, who.RequiresLeader = true, true }},
		{"shape", nil, nil},
		{"stranger", errStranger, func(g *call.Gate, _ *fakeMember, _ *call.Caller) {
			g.Authenticate = func(call.Caller, call.Local) (call.Caller, error) { return call.Caller{}, errStranger }
		}},
		{"learner", rpctypes.ErrGRPCNotSupportedForLearner, func(_ *call.Gate, m *fakeMember, _ *call.Caller) { m.learner = true }},
		{"forbidden", errForbidden, func(g *call.Gate, _ *fakeMember, _ *call.Caller) {
			g.Authorize = func(call.Caller, call.Local, string, any) error { return errForbidden }
		}},
	}
	for _, e := range entrances() {
		// All faults at once, then one less from the front, until there is none.
		for first := 0; first <= len(faults); first++ {
			g, m, who := newGate(), newCluster(t, 1).members[0], call.Caller{}
			ask := e.right
			var want error
			for i := len(faults) - 1; i >= first; i-- {
				switch f := faults[i]; {
				case f.name == "shape" && e.unlimited, f.name == "learner" && e.anyMemberIs:
				case f.name == "shape":
					ask, want = e.wrong, e.errOfShape
				default:
					f.put(g, m, &who)
					want = f.err
				}
			}
			if got := ask(g, m, who); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s, with all faults from number %d on: %v, want %v", e.name, first, got, want)
			}
		}
	}
}

// Whoever the caller proves to be goes with the call to where it is judged, and with the requests that it makes on its way. The client's condition is not
// looked at again there: a lock that waits outlives a time without a leader.
func TestGate_TheCallerGoesAlong(t *testing.T) {
	g, c := newGate(), newCluster(t, 1)
	alice := call.Caller{User: "alice", AuthRevision: 7, RequiresLeader: true}
	asked := 0
	g.Authenticate = func(who call.Caller, _ call.Local) (call.Caller, error) {
		asked++
		who.User, who.AuthRevision = alice.User, alice.AuthRevision
		return who, nil
	}
	var judged, entered []string
	g.Authorize = func(who call.Caller, at call.Local, method string, request any) error {
		if who.User != alice.User || who.AuthRevision != alice.AuthRevision || at == nil || request == nil {
			t.Errorf("%s is judged for %+v, with the request %v", method, who, request)
		}
		judged = append(judged, method)
		return nil
	}
	g.Entered = func(who call.Caller, method string) {
		if inside := method != v3lockpb.Lock_Lock_FullMethodName; inside == who.RequiresLeader {
			t.Errorf("%s enters with %+v", method, who)
		}
		entered = append(entered, method)
	}
	var err error
	call.Lock(g, c.members[0], call.Caller{RequiresLeader: true}, &v3lockpb.LockRequest{Name: []byte("l")}, func(_ *v3lockpb.LockResponse, e error) { err = e })
	c.settle()
	want := []string{v3lockpb.Lock_Lock_FullMethodName, pb.Lease_LeaseGrant_FullMethodName, pb.KV_Txn_FullMethodName}
	if err != nil || !slices.Equal(entered, want) || !slices.Equal(judged, want) || asked != 1 {
		t.Errorf("entered %v and judged %v, asked %d times who it is, error %v", entered, judged, asked, err)
	}
}

// A caller that may not do a thing raises no alarm by trying to.
func TestGate_TheForbiddenRaisesNoAlarm(t *testing.T) {
	g, c := newGate(), newCluster(t, 1)
	g.Limits.QuotaBytes = 1
	g.Authorize = func(call.Caller, call.Local, string, any) error { return errForbidden }
	if err := unaryAt(&call.Put, &pb.PutRequest{Key: []byte("k")})(g, c.members[0], call.Caller{}); !errors.Is(err, errForbidden) {
		t.Errorf("error %v", err)
	}
	if len(c.log) != 0 {
		t.Errorf("%v was proposed", c.log)
	}
}

// What a client is told whose patience ends depends on what was waited for.
func TestGate_ImpatientClients(t *testing.T) {
	other := errors.New("other")
	for _, c := range []struct {
		err  error
		way  call.Way
		want error
	}{
		{call.ErrClientGone, call.Proposed, rpctypes.ErrGRPCCanceled},
		{call.ErrClientLate, call.Proposed, rpctypes.ErrGRPCTimeout},
		{call.ErrClientGone, call.Linearized, status.Error(codes.Canceled, "context canceled")},
		{call.ErrClientLate, call.Timed, status.Error(codes.DeadlineExceeded, "context deadline exceeded")},
		{call.ErrClientLate, call.Locally, status.Error(codes.DeadlineExceeded, "context deadline exceeded")},
		{other, call.Proposed, other},
	} {
		if got := call.Impatient(c.err, c.way); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%v, way %d: %v, want %v", c.err, c.way, got, c.want)
		}
	}
}
