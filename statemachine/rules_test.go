package statemachine_test

import (
	"slices"
	"testing"

	"github.com/detcd/detcd/statemachine"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"
)

// member applies requests to a machine one by one, each as a batch of its own.
type member struct {
	*statemachine.Machine
	index uint64
}

func newMember() *member { return &member{Machine: statemachine.New()} }

func (m *member) next() uint64 { m.index++; return m.index }

// do applies r and returns its result.
func (m *member) do(tb testing.TB, r *pb.InternalRaftRequest) statemachine.Result {
	tb.Helper()
	results, fresh := m.batch(1, 1, m.index+1, r)
	if !fresh {
		tb.Fatalf("%v was not applied", r)
	}
	return results[0]
}

func (m *member) batch(proposer, incarnation, sequence uint64, rs ...*pb.InternalRaftRequest) ([]statemachine.Result, bool) {
	b := &statemachine.Envelope{Origin: statemachine.Origin{Proposer: proposer, Incarnation: incarnation, Sequence: sequence}, Requests: rs}
	return m.Apply(m.next(), 1, b, true)
}

// change makes one as those that found a cluster.
func (m *member) change(c statemachine.MemberChange) (statemachine.Result, bool) {
	return m.propose(statemachine.Envelope{Change: &c})
}

// propose applies an envelope with one result.
func (m *member) propose(e statemachine.Envelope) (statemachine.Result, bool) {
	results, fresh := m.Apply(m.next(), 1, &e, true)
	if !fresh {
		return statemachine.Result{}, false
	}
	return results[0], true
}

func put(key, value string) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}
}

func addVoter(id uint64, urls ...string) statemachine.MemberChange {
	return statemachine.MemberChange{Kind: statemachine.AddVoter, Member: statemachine.MemberInfo{ID: id, PeerURLs: urls}}
}

func TestApply_BatchAtMostOnce(t *testing.T) {
	m := newMember()
	for _, s := range []struct {
		what                  string
		incarnation, sequence uint64
		fresh                 bool
	}{
		{"the first", 5, 1, true},
		{"the same again", 5, 1, false},
		{"one that overtakes", 5, 3, true},
		{"the overtaken one", 5, 2, true},
		{"the overtaker again", 5, 3, false},
		{"sequence 0, which there is not", 5, 0, false},
		{"far ahead", 5, 2000, true},
		{"the same again, far ahead", 5, 2000, false},
		{"at the window's old end", 5, 2000 - 1023, true},
		{"the same again, there", 5, 2000 - 1023, false},
		{"older than the window", 5, 2000 - 1024, false},
		{"another within the window", 5, 1999, true},
		{"an older incarnation", 4, 2001, false},
		{"a newer incarnation starts over", 6, 1, true},
		{"the incarnation before it", 5, 2002, false},
		{"its own first again", 6, 1, false},
	} {
		before := m.Revision()
		if _, fresh := m.batch(9, s.incarnation, s.sequence, put("k", s.what)); fresh != s.fresh {
			t.Errorf("%s: fresh %v", s.what, fresh)
		}
		if changed := m.Revision() != before; changed != s.fresh {
			t.Errorf("%s: revision %d after %d", s.what, m.Revision(), before)
		}
	}
}

// Sequences start at 1. No member proposes number 0, and who is sent it all the same must not take it for another number.
func TestApply_NothingHasSequence0(t *testing.T) {
	m := newMember()
	for incarnation := range uint64(3) {
		if _, fresh := m.batch(9, incarnation, 0, put("k", "")); fresh {
			t.Errorf("incarnation %d: applied", incarnation)
		}
	}
	if _, fresh := m.batch(9, 2, 1024, put("k", "")); !fresh {
		t.Error("number 1024 is taken for number 0")
	}
	if v := m.Publish(); v.StateHash() != v.ScanStateHash() {
		t.Error("the state hash is not that of the state")
	}
}

func TestSeen_TellsWhatABatchWouldBe(t *testing.T) {
	m := newMember()
	for _, sequence := range []uint64{1, 2, 4, 900, 1500, 1499, 3000, 3001} {
		if m.Seen(9, 1, sequence) {
			t.Errorf("%d seen before it came", sequence)
		}
		m.batch(9, 1, sequence)
		for other := uint64(1); other < 3100; other += 29 {
			seen := m.Seen(9, 1, other)
			copied := restoreOf(t, m.Machine)
			_, fresh := copied.Apply(m.index+1, 1, &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 9, Incarnation: 1, Sequence: other}}, false)
			if fresh == seen {
				t.Fatalf("after %d: %d seen %v, fresh %v", sequence, other, seen, fresh)
			}
		}
	}
}

func TestApply_BatchOnlyFromMembers(t *testing.T) {
	m := newMember()
	if _, fresh := m.batch(1, 1, 1, put("k", "")); !fresh {
		t.Error("refused though there is no member yet")
	}
	m.change(addVoter(1, "http://1"))
	m.change(addVoter(2, "http://2"))
	if _, fresh := m.batch(3, 1, 1, put("k", "")); fresh {
		t.Error("applied from a stranger")
	}
	if _, fresh := m.batch(2, 1, 1, put("k", "")); !fresh {
		t.Error("refused from a member")
	}
	m.change(statemachine.MemberChange{Kind: statemachine.Remove, Member: statemachine.MemberInfo{ID: 2}})
	if _, fresh := m.batch(2, 1, 2, put("k", "")); fresh {
		t.Error("applied from a removed member")
	}
}

func TestApply_ChangeRefusesWhatEtcdRefuses(t *testing.T) {
	m := newMember()
	m.change(addVoter(1, "http://1"))
	m.change(addVoter(2, "http://2"))
	m.change(addVoter(3, "http://3"))
	m.change(statemachine.MemberChange{Kind: statemachine.Remove, Member: statemachine.MemberInfo{ID: 3}})
	learner := func(id uint64, url string) statemachine.MemberChange {
		c := addVoter(id, url)
		c.Kind, c.LearnersMax = statemachine.AddLearner, 1
		return c
	}
	of := func(kind statemachine.MemberChangeKind, id uint64, urls ...string) statemachine.MemberChange {
		return statemachine.MemberChange{Kind: kind, Member: statemachine.MemberInfo{ID: id, PeerURLs: urls}}
	}
	for _, s := range []struct {
		what string
		c    statemachine.MemberChange
		want error
	}{
		{"an id again", addVoter(1, "http://x"), rpctypes.ErrGRPCMemberExist},
		{"a peer URL again", addVoter(4, "http://x", "http://2"), rpctypes.ErrGRPCPeerURLExist},
		{"a removed id", addVoter(3, "http://3"), rpctypes.ErrGRPCMemberNotFound},
		{"a learner", learner(4, "http://4"), nil},
		{"one learner too many", learner(5, "http://5"), rpctypes.ErrGRPCTooManyLearners},
		{"promotion of a voter", of(statemachine.Promote, 1), rpctypes.ErrGRPCMemberNotLearner},
		{"promotion of a stranger", of(statemachine.Promote, 9), rpctypes.ErrGRPCMemberNotFound},
		{"promotion", of(statemachine.Promote, 4), nil},
		{"another's URL", of(statemachine.UpdatePeerURLs, 4, "http://1"), rpctypes.ErrGRPCPeerURLExist},
		{"its own URL", of(statemachine.UpdatePeerURLs, 4, "http://4", "http://44"), nil},
		{"URLs of a stranger", of(statemachine.UpdatePeerURLs, 9, "http://9"), rpctypes.ErrGRPCMemberNotFound},
		{"removal of a stranger", of(statemachine.Remove, 9), rpctypes.ErrGRPCMemberNotFound},
		{"removal", of(statemachine.Remove, 2), nil},
		{"removal again", of(statemachine.Remove, 2), rpctypes.ErrGRPCMemberNotFound},
	} {
		before := m.StateHash()
		result, fresh := m.change(s.c)
		if !fresh || result.Err != s.want || (result.Response == nil) != (s.want != nil) {
			t.Errorf("%s: %v, %v, fresh %v; want %v", s.what, result.Response, result.Err, fresh, s.want)
		}
		if s.want != nil && m.StateHash() != before {
			t.Errorf("%s: refused, and yet the state changed", s.what)
		}
	}
	ids := []uint64{}
	for _, one := range m.Publish().Members() {
		ids = append(ids, one.ID)
	}
	if !slices.Equal(ids, []uint64{1, 4}) {
		t.Errorf("members %v", ids)
	}
}

func TestApply_ChangeAtMostOnce(t *testing.T) {
	m := newMember()
	m.change(addVoter(1, "http://1"))
	change := addVoter(2, "http://2")
	c := statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: 1}, Change: &change}
	if _, fresh := m.propose(c); !fresh {
		t.Error("refused at first")
	}
	m.change(statemachine.MemberChange{Kind: statemachine.Remove, Member: statemachine.MemberInfo{ID: 2}})
	if result, fresh := m.propose(c); fresh || result.Err != nil {
		t.Errorf("again: fresh %v, %v", fresh, result.Err)
	}
}

func TestAlarm_RaisedEndedListed(t *testing.T) {
	m := newMember()
	alarm := func(action pb.AlarmRequest_AlarmAction, member uint64, kind pb.AlarmType) int {
		r := m.do(t, &pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{Action: action, MemberID: member, Alarm: kind}})
		return len(r.Response.(*pb.AlarmResponse).Alarms)
	}
	const get, raise, end = pb.AlarmRequest_GET, pb.AlarmRequest_ACTIVATE, pb.AlarmRequest_DEACTIVATE
	const none, space, corrupt = pb.AlarmType_NONE, pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT
	empty := m.StateHash()
	for i, s := range []struct {
		action pb.AlarmRequest_AlarmAction
		member uint64
		kind   pb.AlarmType
		alarms int
	}{
		{get, 0, none, 0}, {raise, 1, none, 0}, {raise, 1, space, 1}, {raise, 1, space, 1}, {raise, 2, space, 1}, {raise, 2, corrupt, 1},
		{get, 0, none, 3}, {get, 0, space, 2}, {get, 0, corrupt, 1},
		{end, 3, space, 0}, {end, 1, space, 1}, {end, 1, space, 0}, {end, 2, space, 1}, {end, 2, corrupt, 1}, {get, 0, none, 0},
	} {
		if got := alarm(s.action, s.member, s.kind); got != s.alarms {
			t.Errorf("step %d: %d alarms, want %d", i, got, s.alarms)
		}
	}
	if len(m.Publish().Alarms()) != 0 || m.StateHash() == empty {
		t.Error("alarms remain, or the session is not part of the hash")
	}
}

func TestAlarm_RefusesRequests(t *testing.T) {
	txn := func(o ops) *pb.InternalRaftRequest { return &pb.InternalRaftRequest{Txn: &pb.TxnRequest{Failure: o}} }
	requests := map[string]*pb.InternalRaftRequest{
		"range":        {Range: &pb.RangeRequest{Key: []byte("k")}},
		"put":          put("k", "v"),
		"delete":       {DeleteRange: &pb.DeleteRangeRequest{Key: []byte("k")}},
		"txn, reading": txn(ops{rangeOp("k")}),
		"txn, putting": txn(ops{txnOp(ops{putOp("k")}, nil)}),
		"txn, purging": txn(ops{deleteOp("k", "")}),
		"compaction":   {Compaction: &pb.CompactionRequest{Revision: 0}},
		"grant":        {LeaseGrant: &pb.LeaseGrantRequest{ID: 5, TTL: 5}},
		"revoke":       {LeaseRevoke: &pb.LeaseRevokeRequest{ID: 1}},
	}
	for _, s := range []struct {
		kind    pb.AlarmType
		refused []string
		want    error
	}{
		{pb.AlarmType_NOSPACE, []string{"put", "txn, putting", "grant"}, rpctypes.ErrGRPCNoSpace},
		{pb.AlarmType_CORRUPT, []string{
			"range", "put", "delete", "txn, reading", "txn, putting", "txn, purging", "compaction", "grant", "revoke",
		}, rpctypes.ErrGRPCCorrupt},
	} {
		for name, r := range requests {
			m := newMember()
			m.do(t, &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: 1, TTL: 5}})
			m.do(t, &pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 1, Alarm: s.kind}})
			var want error
			if slices.Contains(s.refused, name) {
				want = s.want
			}
			if got := m.do(t, r); got.Err != want {
				t.Errorf("%v, %s: %v, want %v", s.kind, name, got.Err, want)
			}
			m.do(t, &pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: 1, Alarm: s.kind}})
			if got := m.do(t, put("k", "v")); got.Err != nil {
				t.Errorf("%v ended: %v", s.kind, got.Err)
			}
		}
	}
}

func TestLease_GrantedCheckpointedRevoked(t *testing.T) {
	m := newMember()
	grant := func(id, ttl int64) error {
		return m.do(t, &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: id, TTL: ttl}}).Err
	}
	for _, s := range []struct {
		id, ttl int64
		want    error
	}{
		{0, 5, rpctypes.ErrGRPCLeaseNotFound}, {7, 9_000_000_001, rpctypes.ErrGRPCLeaseTTLTooLarge}, {7, 9_000_000_000, nil}, {7, 5, rpctypes.ErrGRPCLeaseExist},
	} {
		if got := grant(s.id, s.ttl); got != s.want {
			t.Errorf("grant %d for %d s: %v, want %v", s.id, s.ttl, got, s.want)
		}
	}
	for _, key := range []string{"c", "a", "b", "d"} {
		m.do(t, &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Lease: 7}})
	}
	m.do(t, put("d", "no longer leased"))
	m.do(t, &pb.InternalRaftRequest{LeaseCheckpoint: &pb.LeaseCheckpointRequest{Checkpoints: []*pb.LeaseCheckpoint{{ID: 9, Remaining_TTL: 1}, {ID: 7, Remaining_TTL: 3}}}})
	if l, _ := m.Publish().Lease(7); l.Remaining != 3 {
		t.Errorf("checkpointed to 3 s: %+v", l)
	}
	before := m.Revision()
	if r := m.do(t, &pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: 7}}); r.Err != nil || r.Response.(*pb.LeaseRevokeResponse).Header.Revision != before+1 {
		t.Errorf("revoke: %v, %v", r.Response, r.Err)
	}
	events, err := m.Publish().Events(before + 1)
	if err != nil {
		t.Fatal(err)
	}
	for sub, key := range []string{"a", "b", "c"} {
		e, ok := events.Next()
		if want := (statemachine.Revision{Main: before + 1, Sub: int64(sub)}); !ok || e.Revision() != want || string(e.Key()) != key || !e.Deleted() {
			t.Errorf("event %d: %v %q", sub, e.Revision(), e.Key())
		}
	}
	if n := events.Remaining(); n != 0 {
		t.Errorf("%d more events", n)
	}
	if r := m.do(t, &pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: 7}}); r.Err != rpctypes.ErrGRPCLeaseNotFound {
		t.Errorf("revoked again: %v", r.Err)
	}
}

func TestApply_RequestsWithoutMeaningHere(t *testing.T) {
	m := newMember()
	for name, r := range map[string]*pb.InternalRaftRequest{"none": {}, "nil": nil} {
		if got := m.do(t, r); status.Convert(got.Err).Message() != "etcdserver: unknown request" {
			t.Errorf("%s: %v", name, got.Err)
		}
	}
	for name, r := range map[string]*pb.InternalRaftRequest{
		"enable": {AuthEnable: &pb.AuthEnableRequest{}}, "status": {AuthStatus: &pb.AuthStatusRequest{}},
		"user": {AuthUserAdd: &pb.AuthUserAddRequest{}}, "role": {AuthRoleGrantPermission: &pb.AuthRoleGrantPermissionRequest{}},
	} {
		if got := m.do(t, r); got.Err != rpctypes.ErrGRPCAuthNotEnabled {
			t.Errorf("%s: %v", name, got.Err)
		}
	}
}

func TestPublishedAttributes_OfMembersOnly(t *testing.T) {
	m := newMember()
	m.change(addVoter(1, "http://1"))
	for _, id := range []uint64{1, 2} {
		m.do(t, &pb.InternalRaftRequest{ClusterMemberAttrSet: &membershippb.ClusterMemberAttrSetRequest{
			Member_ID: id, MemberAttributes: &membershippb.Attributes{Name: "n", ClientUrls: []string{"http://c"}},
		}})
	}
	list := m.Publish().PBMembers()
	if len(list) != 1 || list[0].Name != "n" || list[0].ClientURLs[0] != "http://c" || list[0].PeerURLs[0] != "http://1" {
		t.Errorf("members %v", list)
	}
}

func TestApply_OutOfOrderIsABug(t *testing.T) {
	for name, entry := range map[string][2]uint64{"repeated": {1, 1}, "skipped": {3, 1}, "of an older term": {2, 0}} {
		t.Run(name, func(t *testing.T) {
			m := newMember()
			m.ApplyNothing(1, 1)
			defer func() {
				if recover() == nil {
					t.Error("it was applied")
				}
			}()
			m.ApplyNothing(entry[0], entry[1])
		})
	}
}

// TestStateHash_TellsStatesApart applies another request to each of several equal machines: all their hashes must differ.
func TestStateHash_TellsStatesApart(t *testing.T) {
	granted := func(id, ttl int64) *pb.InternalRaftRequest {
		return &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: id, TTL: ttl}}
	}
	seen := map[uint64]string{}
	for name, r := range map[string]*pb.InternalRaftRequest{
		"nothing":    {DowngradeVersionTest: &pb.DowngradeVersionTestRequest{}},
		"put":        put("a", "1"),
		"other":      put("a", "2"),
		"same":       put("b", "1"), // as it was: only its revision and version change
		"leased":     {Put: &pb.PutRequest{Key: []byte("a"), Value: []byte("1"), Lease: 1}},
		"delete":     {DeleteRange: &pb.DeleteRangeRequest{Key: []byte("b")}},
		"compaction": {Compaction: &pb.CompactionRequest{Revision: 2}},
		"lease":      granted(2, 5),
		"longer":     granted(2, 6),
		"checkpoint": {LeaseCheckpoint: &pb.LeaseCheckpointRequest{Checkpoints: []*pb.LeaseCheckpoint{{ID: 1, Remaining_TTL: 2}}}},
		"revoke":     {LeaseRevoke: &pb.LeaseRevokeRequest{ID: 1}},
		"alarm":      {Alarm: &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 1, Alarm: pb.AlarmType_NOSPACE}},
		"version":    {ClusterVersionSet: &membershippb.ClusterVersionSetRequest{Ver: "3.7.0"}},
		"downgrade":  {DowngradeInfoSet: &membershippb.DowngradeInfoSetRequest{Enabled: true, Ver: "3.7.0"}},
		"attributes": {ClusterMemberAttrSet: &membershippb.ClusterMemberAttrSetRequest{Member_ID: 1, MemberAttributes: &membershippb.Attributes{Name: "x"}}},
	} {
		m := newMember()
		m.change(addVoter(1, "http://1"))
		m.do(t, granted(1, 5))
		m.do(t, put("b", "1"))
		if got := m.do(t, r); got.Err != nil {
			t.Fatalf("%s: %v", name, got.Err)
		}
		if other, taken := seen[m.StateHash()]; taken {
			t.Errorf("%s and %s have one state hash", name, other)
		}
		seen[m.StateHash()] = name
	}
}

func restoreOf(tb testing.TB, m *statemachine.Machine) *statemachine.Machine {
	tb.Helper()
	r := m.Publish().Snapshot()
	defer func() { _ = r.Close() }()
	restored, err := statemachine.Restore(r)
	if err != nil {
		tb.Fatal(err)
	}
	return restored
}
