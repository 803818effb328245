package call_test

import (
	"fmt"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
)

// locking is one call of Lock.
type locking struct {
	resp    *v3lockpb.LockResponse
	err     error
	answers int
	cancel  func()
}

func lock(m call.Replica, name string, lease int64) *locking {
	l := &locking{}
	l.cancel = call.Lock(newGate(), m, call.Caller{}, &v3lockpb.LockRequest{Name: []byte(name), Lease: lease}, func(resp *v3lockpb.LockResponse, err error) {
		l.resp, l.err = resp, err
		l.answers++
	})
	return l
}

// state is where a call stands, for comparison.
func (l *locking) state() string {
	switch {
	case l.answers == 0:
		return "waits"
	case l.answers > 1:
		return fmt.Sprintf("answered %d times", l.answers)
	case l.err != nil:
		return status.Convert(l.err).Message()
	}
	return fmt.Sprintf("%s at %d", l.resp.GetKey(), l.resp.GetHeader().GetRevision())
}

func wantState(t *testing.T, l *locking, want string) {
	t.Helper()
	if got := l.state(); got != want {
		t.Errorf("the call is at %q, want %q", got, want)
	}
}

func wantKeys(t *testing.T, c *fakeCluster, want ...string) {
	t.Helper()
	if got := c.keys("n/"); !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
}

func TestLock_AFreeOneIsTakenInOneStep(t *testing.T) {
	c := newCluster(t, 1)
	c.grant(0xabc, 60)
	l := lock(c.members[0], "n", 0xabc)
	c.settle()
	wantState(t, l, "n/abc at 2")
	if h := l.resp.GetHeader(); h.GetClusterId() != 7 || h.GetMemberId() != 1 || h.GetRaftTerm() != 2 {
		t.Errorf("header %v", h)
	}
	if len(c.log) != 2 {
		t.Errorf("%d entries in the log, want the lease's and one more", len(c.log))
	}
}

func TestLock_WaitersGoInTheOrderOfTheirCreation(t *testing.T) {
	c := newCluster(t, 3)
	var calls []*locking
	for i := range int64(6) {
		c.grant(i+1, 60)
		calls = append(calls, lock(c.members[i%3], "n", i+1))
		c.settle()
	}
	calls[3].cancel() // in the middle of the queue
	c.settle()
	for i, l := range calls {
		if i == 3 {
			wantState(t, l, "etcdserver: request canceled")
			continue
		}
		if l.answers != 1 || l.err != nil {
			t.Fatalf("call %d is at %q", i, l.state())
		}
		for _, behind := range calls[i+1:] {
			if behind.answers != 0 && behind != calls[3] {
				t.Fatalf("a later call is at %q while call %d holds", behind.state(), i)
			}
		}
		call.Unlock(newGate(), c.members[0], call.Caller{}, &v3lockpb.UnlockRequest{Key: l.resp.GetKey()}, func(r *v3lockpb.UnlockResponse, err error) {
			if err != nil || r.GetHeader().GetRevision() == 0 || r.GetHeader().GetMemberId() != 1 {
				t.Errorf("unlock: %v, %v", r, err)
			}
		})
		c.settle()
	}
	wantKeys(t, c)
}

func TestLock_OfAnEndedLeaseIsRefused(t *testing.T) {
	c := newCluster(t, 1)
	l := lock(c.members[0], "n", 5)
	c.settle()
	wantUnknown(t, l.err, rpctypes.ErrGRPCLeaseNotFound)
	if len(c.log) != 1 {
		t.Errorf("%d entries in the log, want the refused one alone", len(c.log))
	}
}

func TestLock_RequestsThatAreRefusedAtOnce(t *testing.T) {
	c := newCluster(t, 1)
	l := lock(c.members[0], string(make([]byte, 2<<20)), 5)
	wantUnknown(t, l.err, rpctypes.ErrGRPCRequestTooLarge)
	c.members[0].learner = true
	if l = lock(c.members[0], "n", 5); l.err != rpctypes.ErrGRPCNotSupportedForLearner {
		t.Errorf("at a learner: %v", l.err)
	}
	c.settle()
	l.cancel()
	if len(c.log) != 0 || l.answers != 1 {
		t.Errorf("%d entries in the log, %d answers", len(c.log), l.answers)
	}
}

func TestLock_WithoutALeaseGetsOneOfSixtySeconds(t *testing.T) {
	c := newCluster(t, 1)
	first := lock(c.members[0], "n", 0)
	c.settle()
	second := lock(c.members[0], "n", 0)
	c.settle()
	lease := c.log[0].GetLeaseGrant()
	if want := fmt.Sprintf("n/%x at 2", lease.GetID()); lease.GetTTL() != 60 || first.state() != want {
		t.Errorf("granted %v; the call is at %q, want %q", lease, first.state(), want)
	}
	second.cancel()
	c.settle()
	wantState(t, second, "etcdserver: request canceled")
	if n := c.view().LeaseCount(); n != 1 {
		t.Errorf("%d leases are left, want the holder's", n)
	}
}

// etcd's issue 11456: the lease ends while the lock is waited for. The member that answers has not seen it end.
func TestLock_IsNotGivenToAnEndedLeaseByAMemberThatLagsBehind(t *testing.T) {
	c := newCluster(t, 2)
	c.grant(1, 60)
	c.grant(2, 60)
	first := lock(c.members[0], "n", 1)
	c.settle()
	second := lock(c.members[1], "n", 2)
	c.settle()
	c.delete("n/1")
	freed := len(c.log)
	c.expire(2)
	wantState(t, first, "n/1 at 2")
	for range 5 {
		c.members[1].turn(freed) // sees the lock free, and its own key there
	}
	wantState(t, second, "waits")
	c.settle()
	wantState(t, second, "mutex: session is expired")
	if status.Code(second.err) != codes.Unknown {
		t.Errorf("code %v", status.Code(second.err))
	}
}

// The same, where the lock is free by the time that the answer to the entry comes.
func TestLock_IsNotGivenToAnEndedLeaseRightAfterItsEntry(t *testing.T) {
	c := newCluster(t, 2)
	c.grant(1, 60)
	c.grant(2, 60)
	lock(c.members[0], "n", 1)
	c.settle()
	second := lock(c.members[1], "n", 2)
	c.members[1].turn(0)
	c.delete("n/1")
	freed := len(c.log)
	c.expire(2)
	for range 5 {
		c.members[1].turn(freed)
	}
	wantState(t, second, "waits")
	c.settle()
	wantState(t, second, "mutex: session is expired")
}

func TestLock_AWaitEndsWithItsLease(t *testing.T) {
	c := newCluster(t, 1)
	c.grant(1, 60)
	c.grant(2, 60)
	lock(c.members[0], "n", 1)
	second := lock(c.members[0], "n", 2)
	c.settle()
	c.expire(2)
	c.settle()
	wantState(t, second, "mutex: session is expired")
	wantKeys(t, c, "n/1")
}

func TestLock_OutcomesThatWereNotSeen(t *testing.T) {
	for name, fates := range map[string][]fate{
		"lost":                 {lost, lost, applied},
		"answer lost":          {answerLost, applied},
		"answer lost, then so": {answerLost, lost, answerLost, applied},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1)
			c.grant(1, 60)
			m := c.members[0]
			m.fate = func(*pb.InternalRaftRequest) fate {
				f := fates[0]
				fates = fates[1:]
				return f
			}
			l := lock(m, "n", 1)
			c.settle()
			if l.answers != 1 || l.err != nil || len(fates) != 0 {
				t.Fatalf("the call is at %q with %d fates left", l.state(), len(fates))
			}
			wantKeys(t, c, "n/1")
		})
	}
}

func TestLock_ErrorsThatEndIt(t *testing.T) {
	for name, s := range map[string]struct {
		fate fate
		want error
	}{"too many requests": {refused, rpctypes.ErrGRPCRequestTooManyRequests}, "stopped": {memberStops, node.ErrStopped}} {
		t.Run(name+" as it enters", func(t *testing.T) {
			c := newCluster(t, 1)
			c.members[0].fate = func(*pb.InternalRaftRequest) fate { return s.fate }
			l := lock(c.members[0], "n", 1)
			c.settle()
			if l.err != s.want || l.answers != 1 {
				t.Errorf("%v, %d answers", l.err, l.answers)
			}
		})
		t.Run(name+" as it waits", func(t *testing.T) {
			c := newCluster(t, 1)
			c.grant(1, 60)
			c.grant(2, 60)
			lock(c.members[0], "n", 1)
			l := lock(c.members[0], "n", 2)
			c.settle()
			c.members[0].readFate = func(*pb.InternalRaftRequest) fate { return s.fate }
			c.delete("n/1")
			c.settle()
			if l.err != s.want || l.answers != 1 {
				t.Errorf("%v, %d answers", l.err, l.answers)
			}
			wantKeys(t, c)
		})
	}
}

func TestLock_AReadThatRanOutOfTimeIsMadeAgain(t *testing.T) {
	c := newCluster(t, 1)
	c.grant(1, 60)
	c.grant(2, 60)
	lock(c.members[0], "n", 1)
	l := lock(c.members[0], "n", 2)
	c.settle()
	failures := 3
	c.members[0].readFate = func(*pb.InternalRaftRequest) fate {
		if failures--; failures >= 0 {
			return lost
		}
		return applied
	}
	c.delete("n/1")
	c.settle()
	wantState(t, l, "n/2 at 4")
}

func TestLock_CancelledWhileItsEntryIsUnderWay(t *testing.T) {
	for name, fates := range map[string][]fate{
		"applied":                       {applied, applied},
		"lost":                          {lost, applied, applied},
		"so is that of the withdrawal":  {applied, answerLost, applied},
		"and the withdrawal meets loss": {applied, lost, applied},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1)
			c.grant(1, 60)
			m := c.members[0]
			held := false
			m.fate = func(*pb.InternalRaftRequest) fate {
				if !held {
					held = true
					return stuck
				}
				f := fates[0]
				fates = fates[1:]
				return f
			}
			l := lock(m, "n", 1)
			c.settle()
			l.cancel()
			l.cancel()
			wantState(t, l, "waits")
			m.free()
			c.settle()
			wantState(t, l, "etcdserver: request canceled")
			wantKeys(t, c)
		})
	}
}

// The key that a repeated entry finds may be what the first one made, or what a later call of the same client made and was answered: it is
// given back only where it is not the first.
func TestLock_CancelledWhileNobodyKnowsWhetherItEntered(t *testing.T) {
	for _, waits := range []bool{false, true} {
		c := newCluster(t, 1)
		c.grant(1, 60)
		c.grant(2, 60)
		var want []string
		if waits {
			lock(c.members[0], "n", 2)
			c.settle()
			want = append(want, "n/2")
		} else {
			want = append(want, "n/1")
		}
		fates := []fate{stuck, answerLost, applied, applied}
		c.members[0].fate = func(*pb.InternalRaftRequest) fate {
			f := fates[0]
			fates = fates[1:]
			return f
		}
		l := lock(c.members[0], "n", 1)
		c.settle()
		l.cancel()
		c.members[0].free()
		c.settle()
		wantState(t, l, "etcdserver: request canceled")
		wantKeys(t, c, want...)
	}
}

func TestLock_CancelGivesUpOnAClusterThatDoesNotAnswer(t *testing.T) {
	c := newCluster(t, 1)
	c.grant(1, 60)
	m := c.members[0]
	held, proposals := false, 0
	m.fate = func(*pb.InternalRaftRequest) fate {
		proposals++
		if !held {
			held = true
			return stuck
		}
		return lost
	}
	l := lock(m, "n", 1)
	c.settle()
	l.cancel()
	m.free()
	c.settle()
	wantState(t, l, "etcdserver: request canceled")
	if proposals > 6 {
		t.Errorf("%d proposals", proposals)
	}
}

// The client has come back with the same lease, through another member, before the end of its first call is noticed.
func TestLock_TheEndOfAFormerCallLeavesItsSuccessorAlone(t *testing.T) {
	t.Run("that waits", func(t *testing.T) {
		c := newCluster(t, 2)
		c.grant(1, 60)
		c.grant(2, 60)
		lock(c.members[0], "n", 1)
		c.settle()
		former := lock(c.members[0], "n", 2)
		c.settle()
		successor := lock(c.members[1], "n", 2)
		c.settle()
		former.cancel()
		c.settle()
		c.delete("n/1")
		c.settle()
		wantState(t, former, "etcdserver: request canceled")
		wantState(t, successor, "n/2 at 5")
		wantKeys(t, c, "n/2")
	})
	t.Run("that holds", func(t *testing.T) {
		c := newCluster(t, 2)
		c.grant(1, 60)
		slow := c.members[0]
		slow.fate = func(*pb.InternalRaftRequest) fate { return stuck }
		former := lock(slow, "n", 1)
		c.settle()
		successor := lock(c.members[1], "n", 1)
		c.settle()
		wantState(t, successor, "n/1 at 2")
		former.cancel()
		slow.fate = nil
		slow.free() // the former call's entry comes after its successor's
		c.settle()
		wantState(t, former, "etcdserver: request canceled")
		wantKeys(t, c, "n/1")
	})
}

func TestLock_AHolderThatLocksAgainHolds(t *testing.T) {
	c := newCluster(t, 1)
	c.grant(1, 60)
	c.grant(2, 60)
	lock(c.members[0], "n", 1)
	second := lock(c.members[0], "n", 2)
	again := lock(c.members[0], "n", 1)
	c.settle()
	wantState(t, again, "n/1 at 4")
	wantState(t, second, "waits")
}

func TestLock_AnInstalledSnapshotEndsAWaitToo(t *testing.T) {
	c := newCluster(t, 2)
	c.grant(1, 60)
	c.grant(2, 60)
	lock(c.members[0], "n", 1)
	c.settle()
	l := lock(c.members[1], "n", 2)
	c.settle()
	c.delete("n/1")
	c.append(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: 4}})
	c.members[1].jump()
	c.settle()
	wantState(t, l, "n/2 at 4")
}

func TestLock_OverTheQuotaRaisesTheAlarm(t *testing.T) {
	c := newCluster(t, 1)
	c.grant(1, 60)
	limits := call.DefaultLimits()
	limits.QuotaBytes = 300
	c.settle()
	var err error
	call.Lock(&call.Gate{Limits: limits}, c.members[0], call.Caller{}, &v3lockpb.LockRequest{Name: []byte("n"), Lease: 1}, func(_ *v3lockpb.LockResponse, e error) { err = e })
	c.settle()
	wantUnknown(t, err, rpctypes.ErrGRPCNoSpace)
	if a := c.log[len(c.log)-1].GetAlarm(); a.GetAction() != pb.AlarmRequest_ACTIVATE || a.GetAlarm() != pb.AlarmType_NOSPACE || a.GetMemberID() != 1 {
		t.Errorf("the last entry is %v", c.log[len(c.log)-1])
	}
	wantKeys(t, c)
}

func TestUnlock_NeedsAKey(t *testing.T) {
	c := newCluster(t, 1)
	var err error
	call.Unlock(newGate(), c.members[0], call.Caller{}, &v3lockpb.UnlockRequest{}, func(_ *v3lockpb.UnlockResponse, e error) { err = e })
	wantUnknown(t, err, rpctypes.ErrGRPCEmptyKey)
}

// wantUnknown checks for an error's text under the code Unknown.
func wantUnknown(t *testing.T, err, want error) {
	t.Helper()
	if s := status.Convert(err); s.Code() != codes.Unknown || s.Message() != rpctypes.ErrorDesc(want) {
		t.Errorf("%v, want the text of %v with code Unknown", err, want)
	}
}
