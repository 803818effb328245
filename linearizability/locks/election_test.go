package locks_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	. "github.com/detcd/detcd/linearizability"
	. "github.com/detcd/detcd/linearizability/locks"
	. "github.com/detcd/detcd/linearizability/logtest"
)

// electionLog has one leader from 1 s on, who proclaims at 3 s and resigns at 5 s; the second, waiting from 2 s on, leads then, until 7 s;
// and a third from 9 s on. Revisions 2 to 7 are in that order: 2 one, 3 two, 4 one again, 5 one gone, 6 two gone, 7 three.
func electionLog() ([]Applied, func(uint64) Moment) {
	return Timed(
		At(10, Put("e/1", "one")),
		At(20, Put("e/2", "two")),
		At(30, Put("e/1", "one again")),
		At(50, Delete("e/1")),
		At(70, Delete("e/2")),
		At(90, Put("e/3", "three")),
	)
}

var leaders = map[string]*mvccpb.KeyValue{
	"one": KV("e/1", "one", 2, 2, 1), "one again": KV("e/1", "one again", 2, 4, 2), "two": KV("e/2", "two", 3, 3, 1), "three": KV("e/3", "three", 7, 7, 1),
}

func TestElectionAnswers(t *testing.T) {
	log, when := electionLog()
	truth := NewTruth(log, when)
	campaign := func(call, ret uint64, key string, revision int64) *ElectionRecord {
		return &ElectionRecord{Kind: Campaign, Call: call, Return: ret, Outcome: Answered, Key: []byte(key), Revision: revision}
	}
	proclaim := func(call, ret uint64, o Outcome, key string, revision int64, value string) *ElectionRecord {
		return &ElectionRecord{Kind: Proclaim, Call: call, Return: ret, Outcome: o, Key: []byte(key), Revision: revision, Value: []byte(value)}
	}
	resign := func(call, ret uint64, key string, revision int64) *ElectionRecord {
		return &ElectionRecord{Kind: Resign, Call: call, Return: ret, Outcome: Answered, Key: []byte(key), Revision: revision}
	}
	leader := func(call, ret uint64, kv *mvccpb.KeyValue) *ElectionRecord {
		o := &ElectionRecord{Kind: Leader, Call: call, Return: ret, Outcome: Refused, KV: kv}
		if kv != nil {
			o.Outcome = Answered
		}
		return o
	}
	wrongValue := proto.Clone(leaders["one"]).(*mvccpb.KeyValue)
	wrongValue.Value = []byte("another")
	for _, c := range []struct {
		name string
		call *ElectionRecord
		fine bool
	}{
		{"the first is elected", campaign(50, 150, "e/1", 2), true},
		{"the second is elected when the first resigns", campaign(150, 550, "e/2", 3), true},
		{"the second is elected while the first leads", campaign(150, 450, "e/2", 3), false},
		{"elected with another revision", campaign(50, 150, "e/1", 3), false},
		{"elected before the key came", campaign(50, 90, "e/1", 2), false},
		{"elected after the key went", campaign(550, 600, "e/1", 2), false},
		{"no answer, no promise", &ElectionRecord{Kind: Campaign, Call: 1, Return: Never, Key: []byte("e/9")}, true},

		{"a leader proclaims", proclaim(250, 350, Answered, "e/1", 2, "one again"), true},
		{"a proclamation that came before", proclaim(350, 450, Answered, "e/1", 2, "one again"), false},
		{"a proclamation that never came", proclaim(250, 350, Answered, "e/1", 2, "one more time"), false},
		{"somebody who waits proclaims", proclaim(150, 350, Answered, "e/2", 3, "two"), false},
		{"refused after the end", proclaim(650, 680, Refused, "e/1", 2, "x"), true},
		{"refused as it ends", proclaim(450, 550, Refused, "e/1", 2, "x"), true},
		{"refused while it leads", proclaim(250, 350, Refused, "e/1", 2, "x"), false},
		{"refused for what never was", proclaim(250, 350, Refused, "e/1", 3, "x"), true},

		{"a leader resigns", resign(450, 550, "e/1", 2), true},
		{"a leader resigns again", resign(650, 750, "e/1", 2), true},
		{"resigned, and still there", resign(250, 450, "e/1", 2), false},

		{"the leader is known", leader(110, 150, leaders["one"]), true},
		{"the leader is known by its last value", leader(310, 450, leaders["one again"]), true},
		{"the leader is known by a former value", leader(310, 450, leaders["one"]), false},
		{"the leader is known by either, in between", leader(250, 350, leaders["one"]), true},
		{"the leader with a value of nobody's", leader(110, 150, wrongValue), false},
		{"one that waits is taken for the leader", leader(250, 350, leaders["two"]), false},
		{"a leader of the future", leader(110, 150, leaders["two"]), false},
		{"nobody leads yet", leader(10, 20, nil), true},
		{"nobody leads any more", leader(710, 720, nil), true},
		{"nobody leads for a while", leader(650, 950, nil), true},
		{"nobody is said to lead", leader(110, 350, nil), false},
		{"nobody is said to lead, across two reigns", leader(450, 650, nil), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.call.Name = []byte("e")
			want := "election"
			if c.fine {
				want = ""
			}
			Verdict(t, CheckElections(truth, []*ElectionRecord{c.call}, nil), want)
		})
	}
}

func TestObservers(t *testing.T) {
	log, when := electionLog()
	truth := NewTruth(log, when)
	seen := func(stamp uint64, name string) LeaderTold { return LeaderTold{stamp, leaders[name]} }
	changed := proto.Clone(leaders["two"]).(*mvccpb.KeyValue)
	changed.ModRevision++
	for _, c := range []struct {
		name       string
		call       uint64
		told       []LeaderTold
		fine, upTo bool // caught up, too
	}{
		{"all of them", 110, []LeaderTold{seen(120, "one"), seen(310, "one again"), seen(510, "two"), seen(910, "three")}, true, true},
		{"some of them", 110, []LeaderTold{seen(120, "one"), seen(910, "three")}, false, true},
		{"another value is left out", 110, []LeaderTold{seen(120, "one"), seen(510, "two"), seen(910, "three")}, false, true},
		{"the first is told of late", 110, []LeaderTold{seen(510, "two"), seen(910, "three")}, true, true},
		{"from later on", 610, []LeaderTold{seen(620, "two"), seen(910, "three")}, true, true},
		{"none yet", 110, nil, true, false},
		{"not the last", 110, []LeaderTold{seen(120, "one"), seen(310, "one again"), seen(510, "two")}, true, false},
		{"one twice", 110, []LeaderTold{seen(120, "one"), seen(310, "one"), seen(910, "three")}, false, true},
		{"one twice, with another between", 110, []LeaderTold{seen(120, "one"), seen(310, "one again"), seen(311, "one"), seen(910, "three")}, false, true},
		{"out of order", 110, []LeaderTold{seen(511, "two"), seen(512, "one again"), seen(910, "three")}, false, true},
		{"one of the past", 350, []LeaderTold{seen(360, "one"), seen(910, "three")}, false, true},
		{"one that does not lead yet", 110, []LeaderTold{seen(410, "two"), seen(910, "three")}, false, true},
		{"one that never was", 110, []LeaderTold{{510, changed}, seen(910, "three")}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &ObserveRecord{Name: []byte("e"), Call: c.call, Told: c.told, Live: true}
			want := "observe"
			if c.fine {
				want = ""
			}
			Verdict(t, CheckElections(truth, nil, []*ObserveRecord{o}), want)
			want = "observe"
			if c.upTo {
				want = ""
			}
			Verdict(t, CheckObserversCaughtUp(truth, []*ObserveRecord{o}), want)
			o.Live = false
			Verdict(t, CheckObserversCaughtUp(truth, []*ObserveRecord{o}), "")
		})
	}
	// Where nobody leads at the end there is nothing to be told of.
	first, _ := Timed(At(10, Put("e/1", "one")), At(20, Delete("e/1")))
	o := &ObserveRecord{Name: []byte("e"), Call: 1, Live: true}
	Verdict(t, CheckObserversCaughtUp(NewTruth(first, when), []*ObserveRecord{o}), "")
}

// What was compacted before an observer was told of it may be left out, and nothing else.
func TestObserversAfterACompaction(t *testing.T) {
	log, when := Timed(
		At(10, Put("e/1", "one")),
		At(30, Put("e/1", "one again")),
		At(50, Put("e/1", "once more")),
		At(60, &pb.CompactionRequest{Revision: 4}),
		At(70, Put("e/1", "and again")),
		At(80, Put("e/1", "at last")),
	)
	truth := NewTruth(log, when)
	kv := func(rev, version int64, value string) *mvccpb.KeyValue { return KV("e/1", value, 2, rev, version) }
	one, more, last := kv(2, 1, "one"), kv(4, 3, "once more"), kv(6, 5, "at last")
	for _, c := range []struct {
		told []LeaderTold
		want string
	}{
		{[]LeaderTold{{110, one}, {610, more}}, ""},
		{[]LeaderTold{{110, one}, {510, more}}, "observe"},
		{[]LeaderTold{{510, more}, {810, last}}, "observe"},
	} {
		Verdict(t, CheckElections(truth, nil, []*ObserveRecord{{Name: []byte("e"), Call: 110, Told: c.told}}), c.want)
	}
}

// Within one entry states come and go that no view shows, but transactions see them.
func TestReignsWithinAnEntry(t *testing.T) {
	log, when := Timed(At(10, Put("e/1", "one")), At(10, Put("e/2", "two")), At(10, Delete("e/1")), At(10, Delete("e/2")))
	for i := range log {
		log[i].Position = uint32(i)
	}
	truth := NewTruth(log, when)
	for _, key := range []string{"e/1", "e/2"} {
		c := &ElectionRecord{Kind: Campaign, Name: []byte("e"), Call: 50, Return: 150, Outcome: Answered, Key: []byte(key)}
		Verdict(t, CheckElections(truth, []*ElectionRecord{c}, nil), "")
		c.Call = 120
		Verdict(t, CheckElections(truth, []*ElectionRecord{c}, nil), "election")
	}
}
