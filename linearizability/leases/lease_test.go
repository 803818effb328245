package leases_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	. "github.com/detcd/detcd/linearizability"
	. "github.com/detcd/detcd/linearizability/leases"
	. "github.com/detcd/detcd/linearizability/logtest"
)

// act lasts from one tenth of a second to another.
func act(o Outcome, asked, until int64) Act {
	return Act{Asked: asked * Tenth, Until: until * Tenth, Outcome: o}
}

// answers name a TTL where there is one.
func answers(ttl int64, acts ...Act) (as []Answer) {
	for _, a := range acts {
		as = append(as, Answer{Act: a})
		if a.Outcome == Answered {
			as[len(as)-1].TTL, as[len(as)-1].Remaining = ttl, ttl
		}
	}
	return as
}

func lost(asked int64) Act { return Act{Asked: asked * Tenth, Until: Forever} }

// leaseCase is a lease of 10 s, id 7, which is asked for at 3.5 s, granted at 4 s and known at 4.5 s; a clock may be off by 3 %.
type leaseCase struct {
	record *Record
	bounds Bounds
	ended  int64 // tenths; 0: it was not
	ttl    int64
}

func (c *leaseCase) check() *Violation {
	entries := []Entry{At(40, &pb.LeaseGrantRequest{ID: 7, TTL: c.ttl}), At(41, Leased("k", 7))}
	if c.ended > 0 {
		entries = append(entries, At(c.ended, &pb.LeaseRevokeRequest{ID: 7}))
	}
	log, first := Timed(entries...)
	return Check(NewTruth(log, first), []*Record{c.record}, c.bounds)
}

func TestLeasePromises(t *testing.T) {
	const early, late = "no lease ends early", "every lease ends"
	renewed := func(acts ...Act) func(*leaseCase) {
		return func(c *leaseCase) { c.record.Renewals = answers(10, acts...) }
	}
	tenures := func(tenths ...int64) func(*leaseCase) {
		return func(c *leaseCase) {
			c.bounds.Tenures = nil
			for i := 0; i < len(tenths); i += 2 {
				c.bounds.Tenures = append(c.bounds.Tenures, Tenure{tenths[i] * Tenth, tenths[i+1] * Tenth})
			}
		}
	}
	for _, c := range []struct {
		name   string
		change []func(*leaseCase)
		ended  int64
		want   string
	}{
		{"its time is over", nil, 140, ""},
		{"early by a fast clock", nil, 133, ""},
		{"earlier than any clock may be", nil, 131, early},
		{"early by a fast clock, but all are right", []func(*leaseCase){func(c *leaseCase) { c.bounds.Drift = 0 }}, 133, early},
		{"early, of a grant that nobody confirmed", []func(*leaseCase){func(c *leaseCase) { c.record.Grant = lost(35); c.record.Index = 0 }}, 131, early},

		{"renewed", []func(*leaseCase){renewed(act(Answered, 80, 85))}, 180, ""},
		{"renewed, but ended as if not", []func(*leaseCase){renewed(act(Answered, 80, 85))}, 140, early},
		{"renewed, ended just too early", []func(*leaseCase){renewed(act(Answered, 80, 85))}, 176, early},
		{"it may be renewed", []func(*leaseCase){renewed(lost(80))}, 140, ""},
		{"renewed when it had ended", []func(*leaseCase){renewed(act(Answered, 150, 151))}, 140, early},
		{"renewed before it was there", []func(*leaseCase){renewed(act(Answered, 20, 21))}, 140, early},
		{"renewed while it ended", []func(*leaseCase){renewed(act(Answered, 139, 141))}, 140, early},

		{"renewed for longer than granted", []func(*leaseCase){renewed(act(Answered, 80, 85)), func(c *leaseCase) { c.record.Renewals[0].TTL = 11 }}, 180, early},

		{"looked at", []func(*leaseCase){looked(4, act(Answered, 95, 100))}, 140, ""},
		{"looked at as it ends", []func(*leaseCase){looked(0, act(Answered, 135, 145))}, 140, ""},
		{"rounded up", []func(*leaseCase){looked(5, act(Answered, 95, 100))}, 140, ""},
		{"less left than was said", []func(*leaseCase){looked(6, act(Answered, 95, 100))}, 140, early},
		{"less left than was said, as it was revoked", []func(*leaseCase){looked(6, act(Answered, 95, 100)), revoked(lost(99))}, 140, ""},
		{"more left than was granted", []func(*leaseCase){looked(11, act(Answered, 95, 100))}, 300, early},
		{"less than nothing left", []func(*leaseCase){looked(-2, act(Answered, 95, 100))}, 140, early},
		{"looked at when it had ended", []func(*leaseCase){looked(0, act(Answered, 141, 142))}, 140, early},
		{"seen to be gone", []func(*leaseCase){looked(0, act(Refused, 141, 142))}, 140, ""},
		{"seen to be gone, too early", []func(*leaseCase){looked(0, act(Refused, 100, 105))}, 140, early},

		{"gone before it ended", []func(*leaseCase){renewed(act(Refused, 136, 137))}, 140, ""},
		{"gone before its time", []func(*leaseCase){renewed(act(Refused, 100, 105))}, 140, early},
		{"gone though it was renewed", []func(*leaseCase){renewed(act(Answered, 80, 85), act(Refused, 136, 137))}, 180, early},
		{"gone while it was being renewed", []func(*leaseCase){renewed(act(Refused, 136, 137), act(Answered, 135, 138))}, 240, ""},
		{"gone as somebody revokes it", []func(*leaseCase){renewed(act(Refused, 100, 105)), revoked(lost(99))}, 140, ""},

		{"revoked", []func(*leaseCase){revoked(act(Answered, 55, 65))}, 60, ""},
		{"revoked, where it ended", []func(*leaseCase){revoked(placed(60, act(Answered, 55, 65)))}, 60, ""},
		{"revoked, but what was ended then is another", []func(*leaseCase){revoked(placed(58, act(Answered, 55, 65)))}, 60, early},
		{"revoked, maybe", []func(*leaseCase){revoked(lost(55))}, 60, ""},
		{"revoked only later", []func(*leaseCase){revoked(lost(61))}, 60, early},
		{"revoked only before", []func(*leaseCase){revoked(act(Answered, 55, 58))}, 60, early},
		{"revoked in vain", []func(*leaseCase){revoked(act(Refused, 55, 65))}, 60, early},

		{"late", nil, 160, late},
		{"never", nil, 0, late},
		{"not yet", []func(*leaseCase){func(c *leaseCase) { c.bounds.Now = 150 * Tenth }}, 0, ""},
		{"late by a slow clock", nil, 153, ""},
		{"later than any clock may be", nil, 154, late},
		{"renewed, then late", []func(*leaseCase){renewed(act(Answered, 80, 85))}, 200, late},
		{"perhaps renewed", []func(*leaseCase){renewed(act(Unknown, 80, 120))}, 230, ""},
		{"perhaps renewed, then late", []func(*leaseCase){renewed(act(Unknown, 80, 120))}, 240, late},
		{"perhaps renewed at any time", []func(*leaseCase){renewed(lost(80))}, 0, ""},
		{"renewal refused does not prolong", []func(*leaseCase){renewed(act(Refused, 150, 155))}, 160, late},

		{"nobody leads", []func(*leaseCase){tenures(0, 100)}, 0, ""},
		{"nobody leads for long", []func(*leaseCase){tenures(0, 100, 200, 250, 300, 350)}, 0, ""},
		{"a new leader begins again", []func(*leaseCase){tenures(0, 100, 400, 1000)}, 530, ""},
		{"a new leader never ends it", []func(*leaseCase){tenures(0, 100, 400, 1000)}, 540, late},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &leaseCase{ended: c.ended, ttl: 10,
				record: &Record{ID: 7, TTL: 10, Grant: act(Answered, 35, 45), Index: 40},
				bounds: Bounds{Drift: 30_000, Tenures: []Tenure{{0, 1000 * Tenth}}, Promotion: 2 * Second, Slack: Second, Now: 1000 * Tenth}}
			for _, change := range c.change {
				change(l)
			}
			Verdict(t, l.check(), c.want)
		})
	}
}

func revoked(acts ...Act) func(*leaseCase) {
	return func(c *leaseCase) { c.record.Revokes = acts }
}

func placed(index uint64, a Act) Act {
	a.Index = index
	return a
}

func looked(remaining int64, acts ...Act) func(*leaseCase) {
	return func(c *leaseCase) {
		c.record.Looks = answers(10, acts...)
		c.record.Looks[0].Remaining = remaining
	}
}

// A minute's lease under a leader that goes after 36 s: three checkpoints of ten seconds each were made.
func TestCheckpointsBoundALease(t *testing.T) {
	for _, c := range []struct {
		name       string
		gone       int64 // tenths, as the rest: the first leader
		checkpoint int64 // seconds
		ended      int64
		want       string
	}{
		{"what is left", 400, 10, 860, ""},
		{"more than what is left", 400, 10, 880, "every lease ends"},
		{"all of it, without checkpoints", 400, 0, 1140, ""},
		{"more than all of it", 400, 0, 1160, "every lease ends"},
		{"all of it, as none was due", 400, 40, 1140, ""},
		{"all of it, as one came too late", 150, 10, 1140, ""},
		{"less, as one came in time", 155, 10, 1140, "every lease ends"},
	} {
		l := &leaseCase{ttl: 60, ended: c.ended, record: &Record{ID: 7, TTL: 60, Grant: act(Answered, 35, 45), Index: 40},
			bounds: Bounds{Drift: 30_000, Tenures: []Tenure{{0, c.gone * Tenth}, {500 * Tenth, 3000 * Tenth}}, Checkpoint: c.checkpoint * Second,
				Promotion: 2 * Second, Slack: Second, Now: 3000 * Tenth}}
		t.Run(c.name, func(t *testing.T) { Verdict(t, l.check(), c.want) })
	}
}

// An id that is given can be given again; each life has its own promises.
func TestALeaseCanLiveAgain(t *testing.T) {
	first := &Record{ID: 7, TTL: 10, Grant: act(Answered, 35, 45), Index: 40, Revokes: []Act{act(Answered, 95, 105)}}
	again := &Record{ID: 7, TTL: 5, Grant: act(Answered, 115, 125), Index: 120, Renewals: answers(5, act(Answered, 130, 131))}
	bounds := Bounds{Tenures: []Tenure{{0, 1000 * Tenth}}, Slack: Second, Now: 1000 * Tenth}
	for ended, want := range map[int64]string{185: "", 175: "no lease ends early", 200: "every lease ends"} {
		log, when := Timed(At(40, &pb.LeaseGrantRequest{ID: 7, TTL: 10}), At(100, &pb.LeaseRevokeRequest{ID: 7}),
			At(120, &pb.LeaseGrantRequest{ID: 7, TTL: 5}), At(ended, &pb.LeaseRevokeRequest{ID: 7}))
		Verdict(t, Check(NewTruth(log, when), []*Record{first, again}, bounds), want)
	}
}

// The log alone tells that a lease of which nobody knows must end.
func TestALeaseWithoutAHolderEnds(t *testing.T) {
	log, when := Timed(At(40, &pb.LeaseGrantRequest{ID: 7, TTL: 10}))
	bounds := Bounds{Tenures: []Tenure{{0, 1000 * Tenth}}, Slack: Second, Now: 1000 * Tenth}
	Verdict(t, Check(NewTruth(log, when), nil, bounds), "every lease ends")
	bounds.Now = 150 * Tenth
	Verdict(t, Check(NewTruth(log, when), nil, bounds), "")
}

// The longest TTL overflows nothing.
func TestTheLongestLease(t *testing.T) {
	log, when := Timed(At(40, &pb.LeaseGrantRequest{ID: 7, TTL: 9_000_000_000}))
	record := &Record{ID: 7, TTL: 9_000_000_000, Grant: act(Answered, 35, 45), Index: 40, Renewals: answers(9_000_000_000, act(Answered, 80, 85))}
	bounds := Bounds{Drift: 30_000, Tenures: []Tenure{{0, Forever}}, Checkpoint: 300 * Second, Promotion: Second, Slack: Second, Now: 1000 * Tenth}
	Verdict(t, Check(NewTruth(log, when), []*Record{record}, bounds), "")
	log = append(log, Logged(&pb.LeaseRevokeRequest{ID: 7})[0])
	log[1].Index = 900
	Verdict(t, Check(NewTruth(log, when), []*Record{record}, bounds), "no lease ends early")
}
