package statemachine_test

import (
	"fmt"
	"testing"

	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// benchBatch is how many puts a batch of the benchmarks holds; a view is published after each.
const benchBatch = 100

func benchPuts(b *testing.B, first, n, space int) [][]byte {
	b.Helper()
	value := make([]byte, 256)
	var batches [][]byte
	for i := 0; i < n; i += benchBatch {
		batch := &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: uint64(first + len(batches) + 1)}}
		for j := i; j < min(n, i+benchBatch); j++ {
			key := fmt.Appendf(nil, "/bench/%08d", j*7919%space)
			batch.Requests = append(batch.Requests, &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: key, Value: value}})
		}
		batches = append(batches, batch.Encode(format.Newest))
	}
	return batches
}

func applyAll(b *testing.B, m *statemachine.Machine, batches [][]byte) {
	b.Helper()
	for _, data := range batches {
		batch, err := statemachine.Decode(data, format.Newest)
		if err != nil {
			b.Fatal(err)
		}
		index, _ := m.Applied()
		if _, fresh := m.Apply(index+1, 1, batch, false); !fresh {
			b.Fatal("a batch was taken for a repetition")
		}
		m.Publish()
	}
}

// BenchmarkPut_NewKey includes decoding; its unit is one put of 256 bytes.
func BenchmarkPut_NewKey(b *testing.B) {
	batches := benchPuts(b, 0, b.N, 1<<30)
	b.ReportAllocs()
	b.ResetTimer()
	applyAll(b, statemachine.New(), batches)
}

func BenchmarkPut_ExistingKey(b *testing.B) {
	const keys = 100_000
	m := statemachine.New()
	filling := benchPuts(b, 0, keys, keys)
	applyAll(b, m, filling)
	batches := benchPuts(b, len(filling), b.N, keys)
	b.ReportAllocs()
	b.ResetTimer()
	applyAll(b, m, batches)
}

func benchView(b *testing.B) *statemachine.View {
	b.Helper()
	m := statemachine.New()
	applyAll(b, m, benchPuts(b, 0, 100_000, 100_000))
	return m.Published()
}

func BenchmarkRange_One(b *testing.B) {
	v := benchView(b)
	r := &pb.RangeRequest{Key: []byte("/bench/00050000")}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		res, err := v.Range(r)
		if err != nil || res.Count != 1 {
			b.Fatal(err)
		}
		dst = res.AppendKVs(dst[:0])
	}
}

func benchRange(b *testing.B, r *pb.RangeRequest) {
	v := benchView(b)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		res, err := v.Range(r)
		if err != nil || res.Count == 0 {
			b.Fatal(err)
		}
		dst = res.AppendKVs(dst[:0])
	}
}

func BenchmarkRange_1000(b *testing.B) {
	benchRange(b, &pb.RangeRequest{Key: []byte("/bench/00050000"), RangeEnd: []byte("/bench/00051000")})
}

// BenchmarkRange_Limit1 has to count the whole range.
func BenchmarkRange_Limit1(b *testing.B) {
	benchRange(b, &pb.RangeRequest{Key: []byte("/bench/"), RangeEnd: []byte("/bench0"), Limit: 1})
}

// BenchmarkSnapshot writes and reads back 100,000 keys.
func BenchmarkSnapshot(b *testing.B) {
	v := benchView(b)
	for b.Loop() {
		r := v.Snapshot()
		if _, err := statemachine.Restore(r); err != nil {
			b.Fatal(err)
		}
		_ = r.Close()
	}
}

// BenchmarkPut_Leased moves keys from one lease to another; its unit is one put.
func BenchmarkPut_Leased(b *testing.B) {
	const keys = 10_000
	m := statemachine.New()
	index := uint64(0)
	apply := func(requests ...*pb.InternalRaftRequest) {
		index++
		m.Apply(index, 1, &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1, Incarnation: 1, Sequence: index}, Requests: requests}, false)
		m.Publish()
	}
	apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: 1, TTL: 60}}, &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: 2, TTL: 60}})
	batch := func(first int) (puts []*pb.InternalRaftRequest) {
		for i := first; i < first+benchBatch; i++ {
			key := fmt.Appendf(nil, "/bench/%08d", i%keys)
			puts = append(puts, &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: key, Lease: 1 + int64(i/keys%2)}})
		}
		return puts
	}
	for i := 0; i < keys; i += benchBatch {
		apply(batch(i)...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += benchBatch {
		apply(batch(keys + i)...)
	}
}

// BenchmarkTurn_OnePut applies a batch of one put and publishes a view, as a member does for a lone client. Five proposers take turns.
func BenchmarkTurn_OnePut(b *testing.B) {
	m := statemachine.New()
	request := []*pb.InternalRaftRequest{{Put: &pb.PutRequest{Key: []byte("key"), Value: make([]byte, 256)}}}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range uint64(b.N) {
		m.Apply(i+1, 1, &statemachine.Envelope{Origin: statemachine.Origin{Proposer: 1 + i%5, Incarnation: 1, Sequence: 1 + i/5}, Requests: request}, false)
		m.Publish()
	}
}
