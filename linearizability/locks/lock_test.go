package locks_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	. "github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/linearizability/leases"
	. "github.com/detcd/detcd/linearizability/locks"
	. "github.com/detcd/detcd/linearizability/logtest"
)

// act lasts from one tenth of a second to another.
func act(o Outcome, asked, until int64) leases.Act {
	return leases.Act{Asked: asked * Tenth, Until: until * Tenth, Outcome: o}
}

// answers are renewals, with a TTL where there is one.
func answers(ttl int64, acts ...leases.Act) (as []leases.Answer) {
	for _, a := range acts {
		as = append(as, leases.Answer{Act: a})
		if a.Outcome == Answered {
			as[len(as)-1].TTL = ttl
		}
	}
	return as
}

// lostAct has no answer.
func lostAct(asked int64) leases.Act { return leases.Act{Asked: asked * Tenth, Until: leases.Forever} }

// lockStory is two clients that take a lock in turn: leases a and b are granted at 1 s and 2 s; lock/a is made at 4 s, in revision 2,
// lock/b waits from 5 s on, in revision 3; each writes to data, fenced; a unlocks at 8 s, b is told at 8.5 s and unlocks at 12 s.
type lockStory struct {
	entries []Entry
	a, b    *Record
	bounds  leases.Bounds
}

func newLockStory() *lockStory {
	return &lockStory{
		entries: []Entry{
			At(10, &pb.LeaseGrantRequest{ID: 0xa, TTL: 5}),
			At(20, &pb.LeaseGrantRequest{ID: 0xb, TTL: 60}),
			At(40, Leased("lock/a", 0xa)),
			At(50, Leased("lock/b", 0xb)),
			At(60, FencedPut("lock/a", 2, "a's")),
			At(80, Delete("lock/a")),
			At(90, FencedPut("lock/b", 3, "b's")),
			At(120, Delete("lock/b")),
		},
		a: &Record{Client: 1, Name: []byte("lock"), Call: 350, Return: 450, Outcome: Answered, Key: []byte("lock/a"), Revision: 2,
			From: 45 * Tenth, Until: 75 * Tenth,
			Lease: &leases.Record{ID: 0xa, TTL: 5, Grant: act(Answered, 5, 15), Renewals: answers(5, act(Answered, 42, 44))}},
		b: &Record{Client: 2, Name: []byte("lock"), Call: 450, Return: 850, Outcome: Answered, Key: []byte("lock/b"), Revision: 3,
			From: 85 * Tenth, Until: 115 * Tenth,
			Lease: &leases.Record{ID: 0xb, TTL: 60, Grant: act(Answered, 15, 25)}},
		bounds: leases.Bounds{Drift: 30_000},
	}
}

func (s *lockStory) check() *Violation {
	log, when := Timed(s.entries...)
	return Check(NewTruth(log, when), []*Record{s.a, s.b}, s.bounds)
}

func TestLockPromises(t *testing.T) {
	const once, turn, fencing = "one holder", "in turn", "fencing"
	early := func(s *lockStory) { s.b.From, s.b.Return = 70*Tenth, 700 }
	for _, c := range []struct {
		name   string
		change func(s *lockStory)
		want   string
	}{
		{"one after the other", func(*lockStory) {}, ""},
		{"nobody learned of the revisions", func(s *lockStory) { s.a.Revision, s.b.Revision = 0, 0 }, ""},
		{"never answered", func(s *lockStory) { s.b.Outcome, s.b.Return, s.b.Key = Unknown, Never, nil }, ""},
		{"asked for by a lease that nobody knows yet", func(s *lockStory) {
			s.b.Outcome, s.b.Return, s.b.Key, s.b.Lease = Unknown, Never, nil, &leases.Record{}
		}, ""},

		{"granted to the second while the first holds it", early, turn},
		{"granted with another revision", func(s *lockStory) { s.b.Revision = 2 }, turn},
		{"granted with another's key", func(s *lockStory) { s.b.Key = []byte("lock/a") }, turn},
		{"granted before the key came", func(s *lockStory) { s.a.Return = 390 }, turn},
		{"granted after the key went", func(s *lockStory) { s.a.Call = 810 }, turn},
		{"granted though the lease ended in the queue", func(s *lockStory) {
			s.entries[5], s.entries[6] = At(55, &pb.LeaseRevokeRequest{ID: 0xb}), At(80, Delete("lock/a"))
		}, turn},
		{"a key that nobody asked for", func(s *lockStory) { s.entries[2].Request = Leased("lock/c", 0xa) }, turn},
		{"a key with another's lease", func(s *lockStory) { s.entries[3].Request = Leased("lock/b", 0xa) }, turn},
		{"a key before anybody asked", func(s *lockStory) { s.b.Call = 510 }, turn},

		{"two at once", func(s *lockStory) {
			// The first's key is gone, though it has reason to believe in its lease.
			s.entries[5].Tenths, s.b.From, s.b.Return = 65, 70*Tenth, 700
		}, once},
		{"the first has given up", func(s *lockStory) {
			s.entries[5].Tenths, s.b.From, s.b.Return, s.a.Until = 65, 70*Tenth, 700, 64*Tenth
		}, ""},
		{"the first can't believe in its lease any more", func(s *lockStory) {
			s.entries[5].Tenths, s.b.From, s.b.Return, s.a.Lease.Renewals = 65, 70*Tenth, 700, nil
		}, ""},
		{"the first was renewed too late", func(s *lockStory) {
			s.entries[5].Tenths, s.b.From, s.b.Return, s.a.Lease.Renewals = 65, 70*Tenth, 700, answers(5, act(Answered, 52, 54))
		}, ""},
		{"the first's renewals go on", func(s *lockStory) {
			s.entries[5].Tenths, s.b.From, s.b.Return, s.a.Lease.Renewals = 65, 70*Tenth, 700, answers(5, act(Answered, 20, 21), act(Answered, 52, 54))
		}, once},
		{"the first's renewal has no answer", func(s *lockStory) {
			s.entries[5].Tenths, s.b.From, s.b.Return, s.a.Lease.Renewals = 65, 70*Tenth, 700, answers(5, lostAct(42))
		}, ""},
		{"the first hears that its lease is gone", func(s *lockStory) {
			s.entries[5].Tenths, s.b.From, s.b.Return = 65, 70*Tenth, 700
			s.a.Lease.Renewals = append(s.a.Lease.Renewals, answers(0, act(Refused, 66, 67))...)
		}, ""},
		{"the first revokes its lease", func(s *lockStory) {
			s.entries[5].Tenths, s.b.From, s.b.Return, s.a.Lease.Revokes = 65, 70*Tenth, 700, []leases.Act{act(Answered, 63, 66)}
		}, ""},

		{"the first still writes", func(s *lockStory) {
			// The second writes while it waits: its key is there.
			s.entries[4], s.entries[6] = At(55, FencedPut("lock/b", 3, "b's")), At(90, Put("x", ""))
			s.entries[5] = At(60, FencedPut("lock/a", 2, "a's"))
			s.entries = append(s.entries[:6:6], At(80, Delete("lock/a")), At(120, Delete("lock/b")))
		}, fencing},
		{"the first tries to write", func(s *lockStory) {
			s.entries[7] = At(100, FencedPut("lock/a", 2, "a's"))
		}, ""},
		{"the first tries in time for itself, and only looks", func(s *lockStory) {
			s.entries[4] = At(55, FencedPut("lock/b", 3, "b's"))
			look := FencedPut("lock/a", 2, "")
			look.Success = nil
			s.entries[5], s.entries[6] = At(60, look), At(80, Delete("lock/a"))
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newLockStory()
			c.change(s)
			Verdict(t, s.check(), c.want)
		})
	}
}

// Fences may also ask for nothing but that the key is there.
func TestFencesByPresence(t *testing.T) {
	there := func(key string, result pb.Compare_CompareResult) *pb.TxnRequest {
		r := FencedPut(key, 0, "")
		r.Compare[0].Result = result
		return r
	}
	for _, result := range []pb.Compare_CompareResult{pb.Compare_GREATER, pb.Compare_NOT_EQUAL} {
		s := newLockStory()
		s.entries[4], s.entries[5], s.entries[6] = At(55, there("lock/b", result)), At(60, there("lock/a", result)), At(80, Delete("lock/a"))
		Verdict(t, s.check(), "fencing")
	}
	s := newLockStory()
	s.entries[4], s.entries[5], s.entries[6] = At(55, there("lock/b", pb.Compare_EQUAL)), At(60, there("lock/a", pb.Compare_EQUAL)), At(80, Delete("lock/a"))
	Verdict(t, s.check(), "")
}

// A lock's name may begin another's: its queue is what has its name and a slash in front, as in etcd.
func TestLocksWithNamesInCommon(t *testing.T) {
	var entries []Entry
	for _, e := range []struct {
		at int64
		r  proto.Message
	}{{10, &pb.LeaseGrantRequest{ID: 1, TTL: 60}}, {20, Leased("lock/1", 1)}, {30, Leased("lock2/1", 1)}, {40, Leased("lock", 1)}} {
		entries = append(entries, At(e.at, e.r))
	}
	log, when := Timed(entries...)
	lease := &leases.Record{ID: 1, TTL: 60, Grant: act(Answered, 5, 15)}
	one := &Record{Name: []byte("lock"), Lease: lease, Call: 150, Return: 250, Outcome: Answered, Key: []byte("lock/1"), Revision: 2, From: 25 * Tenth, Until: leases.Forever}
	two := &Record{Name: []byte("lock2"), Lease: lease, Call: 250, Return: 350, Outcome: Answered, Key: []byte("lock2/1"), Revision: 3, From: 35 * Tenth, Until: leases.Forever}
	Verdict(t, Check(NewTruth(log, when), []*Record{one, two}, leases.Bounds{}), "")
}
