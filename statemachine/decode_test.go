package statemachine_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// batchOf frames bodies as the requests of a batch in format version 2.
func batchOf(bodies ...[]byte) []byte {
	b := []byte{2, 1, 7, 8, 9}
	b = binary.AppendUvarint(b, uint64(len(bodies)))
	for _, body := range bodies {
		b = append(binary.AppendUvarint(b, uint64(len(body))), body...)
	}
	return b
}

// sameAsProto holds Decode's reading of one request against proto.Unmarshal's.
func sameAsProto(t rapid.TB, body []byte) {
	t.Helper()
	var want pb.InternalRaftRequest
	wantErr := proto.Unmarshal(body, &want)
	got, err := statemachine.Decode(batchOf(body), format.Newest)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%x: error %v, proto says %v", body, err, wantErr)
	}
	if err == nil && !proto.Equal(got.Requests[0], &want) {
		t.Fatalf("%x\n got %v\nwant %v", body, got.Requests[0], &want)
	}
}

func TestDecode_ReadsPutsAsProtoDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := world{rev: 5, compacted: -1}.genRequest(t)
		body, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		sameAsProto(t, body)
		// Fields repeated, unknown, of another type, or cut off.
		for range rapid.IntRange(0, 3).Draw(t, "more fields") {
			num := protowire.Number(rapid.SampledFrom([]int{1, 4, 5, 100, 2, 77}).Draw(t, "field"))
			if rapid.Bool().Draw(t, "as bytes") {
				put, err := proto.Marshal(genPut(t))
				if err != nil {
					t.Fatal(err)
				}
				body = protowire.AppendBytes(protowire.AppendTag(body, num, protowire.BytesType), put)
			} else {
				body = protowire.AppendVarint(protowire.AppendTag(body, num, protowire.VarintType), rapid.Uint64().Draw(t, "number"))
			}
		}
		sameAsProto(t, body)
		sameAsProto(t, body[:rapid.IntRange(0, len(body)).Draw(t, "cut")])
	})
}

func FuzzDecode(f *testing.F) {
	put := &pb.InternalRaftRequest{ID: 3, Put: &pb.PutRequest{Key: []byte("k"), Value: []byte("v"), Lease: -1, PrevKv: true, IgnoreLease: true}}
	body, err := proto.Marshal(put)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(batchOf(body, body))
	f.Add(batchOf())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		sameAsProto(t, data)
		b, err := statemachine.Decode(data, format.Newest)
		if err != nil {
			return
		}
		again, err := statemachine.Decode(b.Encode(format.Envelopes), format.Newest)
		if err != nil || again.Sequence != b.Sequence || again.Incarnation != b.Incarnation || again.Proposer != b.Proposer ||
			len(again.Requests) != len(b.Requests) {
			t.Fatalf("%x: decoded, encoded, decoded: %v, %v", data, again, err)
		}
		for i := range b.Requests {
			if !proto.Equal(again.Requests[i], b.Requests[i]) {
				t.Fatalf("%x: request %d: %v and %v", data, i, b.Requests[i], again.Requests[i])
			}
		}
	})
}

func TestDecode_RefusesWhatIsNoBatch(t *testing.T) {
	whole := batchOf([]byte{8, 1}, []byte{8, 2})
	if _, err := statemachine.Decode(whole, format.Newest); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := statemachine.Decode(whole[:n], format.Newest); err == nil {
			t.Errorf("the first %d of %d bytes were taken for a batch", n, len(whole))
		}
	}
	for name, data := range map[string][]byte{
		"more after the end": append(bytes.Clone(whole), 0),
		"unknown format":     append([]byte{3}, whole[1:]...),
		"no format":          append([]byte{0}, whole[1:]...),
		"unknown body":       append([]byte{2, 4}, whole[2:]...),
		"unknown flag":       append([]byte{2, 0x41}, whole[2:]...),
		"absurd count":       binary.AppendUvarint([]byte{2, 1, 7, 8, 9}, 1<<60),
		"absurd length":      binary.AppendUvarint([]byte{2, 1, 7, 8, 9, 1}, 1<<60),
		"too many callers":   append([]byte{2, 0x21, 7, 8, 9, 1, 3, 0, 0}, whole[5:]...),
		"no callers":         append([]byte{2, 0x21, 7, 8, 9, 0}, whole[5:]...),
		"a trace of zeroes":  slices.Concat([]byte{2, 0x11, 7, 8, 9}, make([]byte, 16), whole[5:]),
	} {
		if _, err := statemachine.Decode(data, format.Newest); err == nil {
			t.Errorf("%s: taken for a batch", name)
		}
	}
}

// fullMachine has one of everything that a snapshot holds, and a history that is partly compacted.
func fullMachine() *statemachine.Machine {
	m := statemachine.New()
	index := uint64(0)
	next := func() uint64 { index++; return index }
	for id := uint64(1); id <= 3; id++ {
		m.Apply(next(), 1, &statemachine.Envelope{Change: &statemachine.MemberChange{Kind: statemachine.AddVoter,
			Member: statemachine.MemberInfo{ID: id, PeerURLs: []string{"http://p" + string(rune('0'+id))}}}}, false)
	}
	m.Apply(next(), 1, &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 2, Incarnation: 4, Sequence: 9},
		Change: &statemachine.MemberChange{Kind: statemachine.Remove, Member: statemachine.MemberInfo{ID: 3}}}, false)
	apply := func(r *pb.InternalRaftRequest) {
		i := next()
		m.Apply(i, 2, &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: i}, Requests: []*pb.InternalRaftRequest{r}}, false)
	}
	put := func(key, value string, lease int64) {
		apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Value: []byte(value), Lease: lease}})
	}
	apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: 7, TTL: 60}})
	apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: -8, TTL: 5}})
	apply(&pb.InternalRaftRequest{LeaseCheckpoint: &pb.LeaseCheckpointRequest{Checkpoints: []*pb.LeaseCheckpoint{{ID: 7, Remaining_TTL: 30}}}})
	put("a", "1", 0)
	put("b", "1", 7)
	put("a", "2", 0)
	apply(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte("b")}}) // revision 5
	apply(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: 5}})
	put("b", "2", -8)
	apply(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte("a"), RangeEnd: []byte{0}}})
	put("c", "", 7)
	apply(&pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 2, Alarm: pb.AlarmType_NOSPACE}})
	apply(&pb.InternalRaftRequest{ClusterVersionSet: &membershippb.ClusterVersionSetRequest{Ver: "3.7.0"}})
	apply(&pb.InternalRaftRequest{DowngradeInfoSet: &membershippb.DowngradeInfoSetRequest{Enabled: true, Ver: "3.6.0"}})
	apply(&pb.InternalRaftRequest{ClusterMemberAttrSet: &membershippb.ClusterMemberAttrSetRequest{
		Member_ID: 1, MemberAttributes: &membershippb.Attributes{Name: "one", ClientUrls: []string{"http://c"}},
	}})
	m.SetConfState([]byte("opaque"))
	return m
}

func snapshotBytes(tb testing.TB, m *statemachine.Machine) []byte {
	tb.Helper()
	r := m.Publish().Snapshot()
	var buf bytes.Buffer
	if _, err := r.WriteTo(&buf); err != nil {
		tb.Fatal(err)
	}
	if err := r.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func TestRestore_BringsEverythingBack(t *testing.T) {
	m := fullMachine()
	data := snapshotBytes(t, m)
	got, err := statemachine.Restore(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	a, b := m.Published(), got.Published()
	if !bytes.Equal(snapshotBytes(t, got), data) || a.StateHash() != b.StateHash() {
		t.Error("the restored state is another")
	}
	ai, at := a.Applied()
	if bi, bt := b.Applied(); ai != bi || at != bt {
		t.Errorf("applied %d/%d, want %d/%d", bi, bt, ai, at)
	}
	if b.Revision() != 8 || b.CompactRevision() != 5 || b.Keys() != 1 || b.LeaseCount() != 2 || !b.Removed(3) || len(b.Members()) != 2 ||
		len(b.Alarms()) != 1 || b.ClusterVersion() != "3.7.0" || b.Downgrade().Target != "3.6.0" || string(b.ConfState()) != "opaque" {
		t.Errorf("restored: %+v", b)
	}
	if l, ok := b.Lease(7); !ok || l.TTL != 60 || l.Remaining != 30 || len(b.LeaseKeys(7)) != 1 || len(b.LeaseKeys(-8)) != 0 {
		t.Errorf("lease 7: %+v %v with %q", l, ok, b.LeaseKeys(7))
	}
	if one, ok := b.Member(1); !ok || one.Name != "one" || one.ClientURLs[0] != "http://c" {
		t.Errorf("member 1: %+v", one)
	}
}

// TestRestore_RefusesEveryDamage changes each byte, cuts at each length and appends: no machine may come of it.
func TestRestore_RefusesEveryDamage(t *testing.T) {
	data := snapshotBytes(t, fullMachine())
	refused := func(what string, at int, damaged []byte) {
		if _, err := statemachine.Restore(bytes.NewReader(damaged)); !errors.Is(err, statemachine.ErrSnapshot) {
			t.Errorf("%s %d: error %v", what, at, err)
		}
	}
	for i := range data {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			damaged := bytes.Clone(data)
			damaged[i] ^= flip
			refused("byte", i, damaged)
		}
		refused("cut at", i, data[:i])
	}
	refused("appended", len(data), append(bytes.Clone(data), 0))
	refused("endless length", 8, append(bytes.Clone(data[:8]), bytes.Repeat([]byte{0x80}, 20)...))
	refused("absurd length", 8, append(bytes.Clone(data[:8]), 0xff, 0xff, 0xff, 0xff, 0x0f))
}

func FuzzRestore(f *testing.F) {
	data := snapshotBytes(f, fullMachine())
	f.Add(data)
	f.Add(snapshotBytes(f, statemachine.New()))
	f.Fuzz(func(t *testing.T, data []byte) {
		restoredIsSound(t, data)
		if n := len(data) - 8; n > 0 { // with the hash put right, to get at what lies behind that check
			restoredIsSound(t, binary.LittleEndian.AppendUint64(bytes.Clone(data[:n]), xxhash.Sum64(data[:n])))
		}
	})
}

func restoredIsSound(t *testing.T, data []byte) {
	t.Helper()
	m, err := statemachine.Restore(bytes.NewReader(data))
	if err != nil {
		return
	}
	if v := m.Published(); v.ScanStateHash() != m.StateHash() {
		t.Fatalf("restored with a wrong state hash from %x", data)
	}
	if again, err := statemachine.Restore(bytes.NewReader(snapshotBytes(t, m))); err != nil || again.StateHash() != m.StateHash() {
		t.Fatalf("what was restored does not restore again: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestRestore_HandsOnTheReadersError(t *testing.T) {
	broken := errors.New("the disk")
	if _, err := statemachine.Restore(failing{broken}); !errors.Is(err, broken) || errors.Is(err, statemachine.ErrSnapshot) {
		t.Errorf("error %v", err)
	}
}
