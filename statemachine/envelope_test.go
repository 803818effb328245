package statemachine_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
)

func genOrigin(t *rapid.T) statemachine.Origin {
	return statemachine.Origin{Proposer: rapid.Uint64().Draw(t, "proposer"), Incarnation: rapid.Uint64().Draw(t, "incarnation"), Sequence: rapid.Uint64().Draw(t, "sequence")}
}

func genStrings(t *rapid.T, name string) []string {
	if list := rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, name); len(list) > 0 {
		return list
	}
	return nil
}

func genChange(t *rapid.T) *statemachine.MemberChange {
	return &statemachine.MemberChange{
		Kind: statemachine.MemberChangeKind(rapid.IntRange(int(statemachine.AddVoter), int(statemachine.UpdatePeerURLs)).Draw(t, "kind")),
		Member: statemachine.MemberInfo{ID: rapid.Uint64().Draw(t, "id"), Name: rapid.String().Draw(t, "name"), PeerURLs: genStrings(t, "peer urls"),
			ClientURLs: genStrings(t, "client urls"), Learner: rapid.Bool().Draw(t, "learner")},
		LearnersMax: rapid.Uint64().Draw(t, "learners"),
	}
}

// genBatch makes a batch with callers and a trace, now and then.
func genBatch(t *rapid.T, e *statemachine.Envelope) {
	e.Requests = []*pb.InternalRaftRequest{}
	for range rapid.IntRange(0, 4).Draw(t, "requests") {
		e.Requests = append(e.Requests, world{rev: 5, compacted: -1}.genRequest(t))
	}
	for left := len(e.Requests); left > 0 && rapid.Bool().Draw(t, "one more caller"); {
		run := statemachine.CallerRun{Requests: uint64(rapid.IntRange(1, left).Draw(t, "run")), User: rapid.String().Draw(t, "user"), AuthRevision: rapid.Uint64().Draw(t, "auth revision")}
		e.Callers, left = append(e.Callers, run), left-int(run.Requests)
	}
}

func sameEnvelope(t rapid.TB, got, want *statemachine.Envelope) {
	t.Helper()
	if len(got.Requests) != len(want.Requests) {
		t.Fatalf("%d requests, want %d", len(got.Requests), len(want.Requests))
	}
	for i := range want.Requests {
		if !proto.Equal(got.Requests[i], want.Requests[i]) {
			t.Fatalf("request %d\n got %v\nwant %v", i, got.Requests[i], want.Requests[i])
		}
	}
	if got.Origin != want.Origin || got.Trace != want.Trace || got.Raise != want.Raise || !reflect.DeepEqual(got.Callers, want.Callers) ||
		!reflect.DeepEqual(got.Change, want.Change) {
		t.Fatalf("\n got %+v\nwant %+v", got, want)
	}
}

func TestEnvelope_DecodeReadsWhatEncodeWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := &statemachine.Envelope{Origin: genOrigin(t)}
		if rapid.Bool().Draw(t, "traced") {
			copy(e.Trace[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "trace"))
		}
		switch rapid.IntRange(0, 2).Draw(t, "body") {
		case 0:
			genBatch(t, e)
		case 1:
			e.Change = genChange(t)
		case 2:
			e.Raise = format.Envelopes
		}
		data := e.Encode(format.Envelopes)
		got, err := statemachine.Decode(data, format.Newest)
		if err != nil {
			t.Fatal(err)
		}
		sameEnvelope(t, got, e)
		if again := got.Encode(format.Envelopes); string(again) != string(data) {
			t.Fatalf("encoded again: %x and %x", again, data)
		}
		if cut := rapid.IntRange(0, len(data)-1).Draw(t, "cut"); cut > 0 {
			if _, err := statemachine.Decode(data[:cut], format.Newest); err == nil {
				t.Fatalf("the first %d of %d bytes were taken for an envelope", cut, len(data))
			}
		}
	})
}

// Format version 1 is what detcd 0.1.0 has written: these bytes are its.
func TestEnvelope_FormatVersion1IsThatOf0_1_0(t *testing.T) {
	origin := statemachine.Origin{Proposer: 300, Incarnation: 2, Sequence: 5}
	batch := &statemachine.Envelope{Origin: origin, Requests: []*pb.InternalRaftRequest{
		{ID: 9, Put: &pb.PutRequest{Key: []byte("k"), Value: []byte("v"), Lease: 7}}, {Compaction: &pb.CompactionRequest{Revision: 4}},
	}}
	const batchHex = "01ac020205020c080922080a016b1201761807043a020804"
	if got := hex.EncodeToString(batch.Encode(format.Batches)); got != batchHex {
		t.Errorf("a batch is\n%s, it was\n%s", got, batchHex)
	}
	data, err := hex.DecodeString(batchHex)
	if err != nil {
		t.Fatal(err)
	}
	got, err := statemachine.Decode(data, format.Batches)
	if err != nil {
		t.Fatal(err)
	}
	sameEnvelope(t, got, batch)

	founder := &statemachine.Envelope{Change: &statemachine.MemberChange{Kind: statemachine.AddVoter, Member: statemachine.MemberInfo{ID: 300, Name: "a", PeerURLs: []string{"http://a:2380"}}}}
	const founderJSON = `{"id":300,"name":"a","peerURLs":["http://a:2380"]}`
	if got := string(founder.Encode(format.Batches)); got != founderJSON {
		t.Errorf("a founder is %s, it was %s", got, founderJSON)
	}
	got, err = statemachine.DecodeChange(statemachine.AddVoter, 300, []byte(founderJSON), format.Batches)
	if err != nil {
		t.Fatal(err)
	}
	sameEnvelope(t, got, founder)
}

func TestDecode_WhatIsNewerIsSaidToBe(t *testing.T) {
	e := &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: 1}, Raise: format.Envelopes}
	data := e.Encode(format.Batches) // a raise has its own version
	var newer *format.NewerError
	if _, err := statemachine.Decode(data, format.Batches); !errors.As(err, &newer) || newer.Version != format.Envelopes || newer.Known != format.Batches {
		t.Errorf("an entry: %v", err)
	}
	change := &statemachine.Envelope{Origin: e.Origin, Change: &statemachine.MemberChange{Kind: statemachine.Remove, Member: statemachine.MemberInfo{ID: 1}}}
	if _, err := statemachine.DecodeChange(statemachine.Remove, 1, change.Encode(format.Envelopes), format.Batches); !errors.As(err, &newer) {
		t.Errorf("a change: %v", err)
	}
	m := newMember()
	m.change(addVoter(1))
	if _, fresh := m.propose(*e); !fresh {
		t.Fatal("the raise had no effect")
	}
	r := m.Publish().Snapshot()
	defer r.Close()
	if _, err := statemachine.RestoreBeside(r, nil, format.Batches); !errors.As(err, &newer) || errors.Is(err, statemachine.ErrSnapshot) {
		t.Errorf("a snapshot: %v", err)
	}
}

func TestDecodeChange_BothHalvesMustAgree(t *testing.T) {
	origin := statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: 1}
	change := func(kind statemachine.MemberChangeKind, id uint64) *statemachine.Envelope {
		return &statemachine.Envelope{Origin: origin, Change: &statemachine.MemberChange{Kind: kind, Member: statemachine.MemberInfo{ID: id}}}
	}
	for _, c := range []struct {
		kind   statemachine.MemberChangeKind
		id     uint64
		e      *statemachine.Envelope
		agrees bool
	}{
		{statemachine.AddVoter, 2, change(statemachine.AddVoter, 2), true},
		{statemachine.AddVoter, 2, change(statemachine.Promote, 2), true},
		{statemachine.AddLearner, 2, change(statemachine.Promote, 2), false},
		{statemachine.AddVoter, 2, change(statemachine.AddVoter, 3), false},
		{statemachine.Remove, 2, change(statemachine.AddVoter, 2), false},
		{statemachine.Remove, 2, &statemachine.Envelope{Origin: origin, Raise: format.Envelopes}, false},
		{statemachine.Remove, 2, &statemachine.Envelope{Origin: origin}, false},
	} {
		_, err := statemachine.DecodeChange(c.kind, c.id, c.e.Encode(format.Envelopes), format.Newest)
		if c.agrees != (err == nil) || err != nil && !errors.Is(err, statemachine.ErrChangeDisagrees) {
			t.Errorf("kind %d of %d with %+v: %v", c.kind, c.id, c.e.Change, err)
		}
	}
}

func TestApply_TheFormatVersionOnlyGrows(t *testing.T) {
	m := newMember()
	m.change(addVoter(1, "http://1"))
	if m.Format() != format.Oldest {
		t.Fatalf("a cluster begins at version %d", m.Format())
	}
	sequence := uint64(0)
	decoded := func(e *statemachine.Envelope, in format.Version) statemachine.Envelope {
		sequence++
		e.Origin = statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: sequence}
		d, err := statemachine.Decode(e.Encode(in), format.Newest)
		if err != nil {
			t.Fatal(err)
		}
		return *d
	}
	early := decoded(&statemachine.Envelope{Requests: []*pb.InternalRaftRequest{put("a", "early")}}, format.Envelopes)
	before := m.StateHash()
	if _, fresh := m.propose(early); fresh || m.StateHash() != before {
		t.Error("an envelope of version 2 had an effect before the raise")
	}
	raise := decoded(&statemachine.Envelope{Raise: format.Envelopes}, format.Batches)
	if _, fresh := m.propose(raise); !fresh || m.Format() != format.Envelopes || m.StateHash() == before {
		t.Errorf("the raise: version %d, fresh %v", m.Format(), fresh)
	}
	if _, fresh := m.propose(decoded(&statemachine.Envelope{Raise: format.Envelopes}, format.Batches)); fresh {
		t.Error("a raise to the version that is there had an effect")
	}
	if _, fresh := m.propose(early); !fresh {
		t.Error("after the raise, an envelope of version 2 has no effect")
	}
	if _, fresh := m.propose(decoded(&statemachine.Envelope{Requests: []*pb.InternalRaftRequest{put("a", "late")}}, format.Batches)); !fresh {
		t.Error("a batch of version 1 that was under way has no effect after the raise")
	}
	// The version is in views, in hashes and in snapshots.
	v := m.Publish()
	r := v.Snapshot()
	defer r.Close()
	restored, err := statemachine.Restore(r)
	if err != nil || restored.Format() != format.Envelopes || v.Format() != format.Envelopes || v.ScanStateHash() != restored.StateHash() {
		t.Errorf("restored: %v", err)
	}
}

// From format version 2 on, only what founds a cluster has no origin.
func TestApply_WithoutOriginNothingButFounding(t *testing.T) {
	m := newMember()
	m.change(addVoter(1, "http://1"))
	if _, fresh := m.propose(statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: 1}, Raise: format.Envelopes}); !fresh {
		t.Fatal("the raise had no effect")
	}
	later := statemachine.Envelope{Change: &statemachine.MemberChange{Kind: statemachine.UpdatePeerURLs, Member: statemachine.MemberInfo{ID: 1, PeerURLs: []string{"http://2"}}}}
	before := m.StateHash()
	for what, e := range map[string]*statemachine.Envelope{"a change": &later, "a batch": {Requests: []*pb.InternalRaftRequest{put("a", "1")}}} {
		if _, fresh := m.Apply(m.next(), 2, e, true); fresh || m.StateHash() != before {
			t.Errorf("%s without an origin had an effect", what)
		}
	}
}

func TestFormat_EachVersionHasItsRow(t *testing.T) {
	for v := format.Oldest; v <= format.Newest; v++ {
		if p := v.Parts(); p.Envelope == 0 || p.Envelope > v || p.State == 0 || p.State > v {
			t.Errorf("version %d: %+v", v, p)
		}
	}
	if r := (format.Range{}).Known(); r != (format.Range{Oldest: format.Batches, Newest: format.Batches}) || !strings.Contains(fmt.Sprint(r), "1") {
		t.Errorf("who says nothing reads %v", r)
	}
}

func benchEnvelope(requests int) *statemachine.Envelope {
	e := &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1 << 60, Incarnation: 3, Sequence: 70_000}}
	for i := range requests {
		e.Requests = append(e.Requests, put(fmt.Sprintf("/bench/%08d", i), strings.Repeat("v", 256)))
	}
	return e
}

// BenchmarkEnvelope writes and reads batches of plain puts, in each format version.
func BenchmarkEnvelope(b *testing.B) {
	for _, requests := range []int{1, 100} {
		for v := format.Oldest; v <= format.Newest; v++ {
			e := benchEnvelope(requests)
			data := e.Encode(v)
			b.Run(fmt.Sprintf("encode/requests=%d/format=%d", requests, v), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					e.Encode(v)
				}
			})
			b.Run(fmt.Sprintf("decode/requests=%d/format=%d", requests, v), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := statemachine.Decode(data, v); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
