package statemachine_test

import (
	"bytes"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"pgregory.net/rapid"
)

// Parts of a range, put together, are the whole range at their revision, even if the keys have changed since.
func TestRangePart_PartsMakeTheRange(tb *testing.T) {
	rapid.Check(tb, func(t *rapid.T) {
		m := newMember()
		change := func(n int) {
			for range n {
				key := fmt.Sprintf("k%02d", rapid.IntRange(0, 30).Draw(t, "key"))
				if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
					m.do(tb, &pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}})
				} else {
					m.do(tb, put(key, string(make([]byte, rapid.IntRange(0, 200).Draw(t, "size")))))
				}
			}
		}
		change(rapid.IntRange(0, 60).Draw(t, "before"))
		whole := &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte{0}, Revision: m.Revision(), KeysOnly: rapid.Bool().Draw(t, "keysOnly")}
		if rapid.Bool().Draw(t, "closed") {
			whole.RangeEnd = []byte("k20")
		}
		if rapid.Bool().Draw(t, "filtered") {
			whole.MinModRevision = rapid.Int64Range(0, m.Revision()).Draw(t, "from")
			whole.MaxCreateRevision = rapid.Int64Range(0, m.Revision()).Draw(t, "to")
		}
		want, err := m.Publish().Range(whole)
		if err != nil {
			t.Fatal(err)
		}
		change(rapid.IntRange(0, 60).Draw(t, "after"))

		limit, maxBytes := rapid.Int64Range(0, 8).Draw(t, "limit"), rapid.IntRange(1, 1000).Draw(t, "bytes")
		part := &pb.RangeRequest{Key: whole.Key, RangeEnd: whole.RangeEnd, Revision: whole.Revision, KeysOnly: whole.KeysOnly, Limit: limit,
			MinModRevision: whole.MinModRevision, MaxCreateRevision: whole.MaxCreateRevision}
		var got []byte
		for {
			res, err := m.Publish().RangePart(part, maxBytes)
			if err != nil {
				t.Fatal(err)
			}
			if limit > 0 && int64(res.Len()) > limit || res.Len() > 1 && res.Size() > maxBytes {
				t.Fatalf("a part of %d key-values and %d bytes; wanted at most %d and %d", res.Len(), res.Size(), limit, maxBytes)
			}
			got = res.AppendKVs(got)
			if !res.More {
				break
			}
			part.Key = append(res.KeyValue(res.Len()-1).Key, 0)
		}
		if !bytes.Equal(got, want.AppendKVs(nil)) {
			t.Fatal("the parts differ from the whole")
		}
	})
}

func TestRangePart_RefusesWhatRangeRefuses(t *testing.T) {
	m := newMember()
	for range 4 {
		m.do(t, put("a", "1"))
	}
	m.do(t, &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: 3}})
	for rev, want := range map[int64]error{-1: nil, 0: nil, 2: rpctypes.ErrGRPCCompacted, 3: nil, 5: nil, 6: rpctypes.ErrGRPCFutureRev} {
		r := &pb.RangeRequest{Key: []byte("a"), Revision: rev}
		res, err := m.Publish().RangePart(r, 100)
		if err != want {
			t.Errorf("revision %d: %v, want %v", rev, err, want)
		}
		if err == nil && (res.Len() != 1 || res.More) {
			t.Errorf("revision %d: %d key-values, more %v", rev, res.Len(), res.More)
		}
	}
}
