package linearizability_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	. "github.com/detcd/detcd/linearizability"
)

// fencedPut writes if a key is as it was created in a revision.
func fencedPut(key string, created int64, value string) *pb.TxnRequest {
	return &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte(key), Target: pb.Compare_CREATE, TargetUnion: &pb.Compare_CreateRevision{CreateRevision: created}}},
		Success: []*pb.RequestOp{opPut(putReq("data", value))},
	}
}

// lockStory is two clients that take a lock in turn: leases a and b are granted at 1 s and 2 s; lock/a is made at 4 s, in revision 2,
// lock/b waits from 5 s on, in revision 3; each writes to data, fenced; a unlocks at 8 s, b is told at 8.5 s and unlocks at 12 s.
type lockStory struct {
	entries []timedEntry
	a, b    *LockRecord
	bounds  LeaseBounds
}

func newLockStory() *lockStory {
	return &lockStory{
		entries: []timedEntry{
			{10, &pb.LeaseGrantRequest{ID: 0xa, TTL: 5}},
			{20, &pb.LeaseGrantRequest{ID: 0xb, TTL: 60}},
			{40, leased("lock/a", 0xa)},
			{50, leased("lock/b", 0xb)},
			{60, fencedPut("lock/a", 2, "a's")},
			{80, delReq("lock/a")},
			{90, fencedPut("lock/b", 3, "b's")},
			{120, delReq("lock/b")},
		},
		a: &LockRecord{Client: 1, Name: []byte("lock"), Call: 350, Return: 450, Outcome: Answered, Key: []byte("lock/a"), Revision: 2,
			From: 45 * tenth, Until: 75 * tenth,
			Lease: &LeaseRecord{ID: 0xa, TTL: 5, Grant: act(Answered, 5, 15), Renewals: answers(5, act(Answered, 42, 44))}},
		b: &LockRecord{Client: 2, Name: []byte("lock"), Call: 450, Return: 850, Outcome: Answered, Key: []byte("lock/b"), Revision: 3,
			From: 85 * tenth, Until: 115 * tenth,
			Lease: &LeaseRecord{ID: 0xb, TTL: 60, Grant: act(Answered, 15, 25)}},
		bounds: LeaseBounds{Drift: 30_000},
	}
}

func (s *lockStory) check() *Violation {
	log, when := timed(s.entries...)
	return CheckLocks(NewTruth(log, when), []*LockRecord{s.a, s.b}, s.bounds)
}

func TestLockPromises(t *testing.T) {
	const once, turn, fencing = "one holder", "in turn", "fencing"
	early := func(s *lockStory) { s.b.From, s.b.Return = 70*tenth, 700 }
	for _, c := range []struct {
		name   string
		change func(s *lockStory)
		want   string
	}{
		{"one after the other", func(*lockStory) {}, ""},
		{"nobody learned of the revisions", func(s *lockStory) { s.a.Revision, s.b.Revision = 0, 0 }, ""},
		{"never answered", func(s *lockStory) { s.b.Outcome, s.b.Return, s.b.Key = Unknown, Never, nil }, ""},
		{"asked for by a lease that nobody knows yet", func(s *lockStory) {
			s.b.Outcome, s.b.Return, s.b.Key, s.b.Lease = Unknown, Never, nil, &LeaseRecord{}
		}, ""},

		{"granted to the second while the first holds it", early, turn},
		{"granted with another revision", func(s *lockStory) { s.b.Revision = 2 }, turn},
		{"granted with another's key", func(s *lockStory) { s.b.Key = []byte("lock/a") }, turn},
		{"granted before the key came", func(s *lockStory) { s.a.Return = 390 }, turn},
		{"granted after the key went", func(s *lockStory) { s.a.Call = 810 }, turn},
		{"granted though the lease ended in the queue", func(s *lockStory) {
			s.entries[5], s.entries[6] = timedEntry{55, &pb.LeaseRevokeRequest{ID: 0xb}}, timedEntry{80, delReq("lock/a")}
		}, turn},
		{"a key that nobody asked for", func(s *lockStory) { s.entries[2].request = leased("lock/c", 0xa) }, turn},
		{"a key with another's lease", func(s *lockStory) { s.entries[3].request = leased("lock/b", 0xa) }, turn},
		{"a key before anybody asked", func(s *lockStory) { s.b.Call = 510 }, turn},

		{"two at once", func(s *lockStory) {
			// The first's key is gone, though it has reason to believe in its lease.
			s.entries[5].tenths, s.b.From, s.b.Return = 65, 70*tenth, 700
		}, once},
		{"the first has given up", func(s *lockStory) {
			s.entries[5].tenths, s.b.From, s.b.Return, s.a.Until = 65, 70*tenth, 700, 64*tenth
		}, ""},
		{"the first can't believe in its lease any more", func(s *lockStory) {
			s.entries[5].tenths, s.b.From, s.b.Return, s.a.Lease.Renewals = 65, 70*tenth, 700, nil
		}, ""},
		{"the first was renewed too late", func(s *lockStory) {
			s.entries[5].tenths, s.b.From, s.b.Return, s.a.Lease.Renewals = 65, 70*tenth, 700, answers(5, act(Answered, 52, 54))
		}, ""},
		{"the first's renewals go on", func(s *lockStory) {
			s.entries[5].tenths, s.b.From, s.b.Return, s.a.Lease.Renewals = 65, 70*tenth, 700, answers(5, act(Answered, 20, 21), act(Answered, 52, 54))
		}, once},
		{"the first's renewal has no answer", func(s *lockStory) {
			s.entries[5].tenths, s.b.From, s.b.Return, s.a.Lease.Renewals = 65, 70*tenth, 700, answers(5, lost(42))
		}, ""},
		{"the first hears that its lease is gone", func(s *lockStory) {
			s.entries[5].tenths, s.b.From, s.b.Return = 65, 70*tenth, 700
			s.a.Lease.Renewals = append(s.a.Lease.Renewals, answers(0, act(Refused, 66, 67))...)
		}, ""},
		{"the first revokes its lease", func(s *lockStory) {
			s.entries[5].tenths, s.b.From, s.b.Return, s.a.Lease.Revokes = 65, 70*tenth, 700, []Act{act(Answered, 63, 66)}
		}, ""},

		{"the first still writes", func(s *lockStory) {
			// The second writes while it waits: its key is there.
			s.entries[4], s.entries[6] = timedEntry{55, fencedPut("lock/b", 3, "b's")}, timedEntry{90, putReq("x", "")}
			s.entries[5] = timedEntry{60, fencedPut("lock/a", 2, "a's")}
			s.entries = append(s.entries[:6:6], timedEntry{80, delReq("lock/a")}, timedEntry{120, delReq("lock/b")})
		}, fencing},
		{"the first tries to write", func(s *lockStory) {
			s.entries[7] = timedEntry{100, fencedPut("lock/a", 2, "a's")}
		}, ""},
		{"the first tries in time for itself, and only looks", func(s *lockStory) {
			s.entries[4] = timedEntry{55, fencedPut("lock/b", 3, "b's")}
			look := fencedPut("lock/a", 2, "")
			look.Success = nil
			s.entries[5], s.entries[6] = timedEntry{60, look}, timedEntry{80, delReq("lock/a")}
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newLockStory()
			c.change(s)
			verdict(t, s.check(), c.want)
		})
	}
}

// Fences may also ask for nothing but that the key is there.
func TestFencesByPresence(t *testing.T) {
	there := func(key string, result pb.Compare_CompareResult) *pb.TxnRequest {
		r := fencedPut(key, 0, "")
		r.Compare[0].Result = result
		return r
	}
	for _, result := range []pb.Compare_CompareResult{pb.Compare_GREATER, pb.Compare_NOT_EQUAL} {
		s := newLockStory()
		s.entries[4], s.entries[5], s.entries[6] = timedEntry{55, there("lock/b", result)}, timedEntry{60, there("lock/a", result)}, timedEntry{80, delReq("lock/a")}
		verdict(t, s.check(), "fencing")
	}
	s := newLockStory()
	s.entries[4], s.entries[5], s.entries[6] = timedEntry{55, there("lock/b", pb.Compare_EQUAL)}, timedEntry{60, there("lock/a", pb.Compare_EQUAL)}, timedEntry{80, delReq("lock/a")}
	verdict(t, s.check(), "")
}

// A lock's name may begin another's: its queue is what has its name and a slash in front, as in etcd.
func TestLocksWithNamesInCommon(t *testing.T) {
	var entries []timedEntry
	for _, e := range []struct {
		at int64
		r  proto.Message
	}{{10, &pb.LeaseGrantRequest{ID: 1, TTL: 60}}, {20, leased("lock/1", 1)}, {30, leased("lock2/1", 1)}, {40, leased("lock", 1)}} {
		entries = append(entries, timedEntry{e.at, e.r})
	}
	log, when := timed(entries...)
	lease := &LeaseRecord{ID: 1, TTL: 60, Grant: act(Answered, 5, 15)}
	one := &LockRecord{Name: []byte("lock"), Lease: lease, Call: 150, Return: 250, Outcome: Answered, Key: []byte("lock/1"), Revision: 2, From: 25 * tenth, Until: Forever}
	two := &LockRecord{Name: []byte("lock2"), Lease: lease, Call: 250, Return: 350, Outcome: Answered, Key: []byte("lock2/1"), Revision: 3, From: 35 * tenth, Until: Forever}
	verdict(t, CheckLocks(NewTruth(log, when), []*LockRecord{one, two}, LeaseBounds{}), "")
}
