package statemachine_test

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/detcd/detcd/statemachine"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/statemachine/format"
)

// TestView_ReadWhileTheMachineGoesOn has goroutines check views while keys are created, changed, deleted and compacted away. Each
// transaction sets all keys to its revision, or deletes them all: a view that mixes two revisions is noticed.
// Run it with -race.
func TestView_ReadWhileTheMachineGoesOn(t *testing.T) {
	const keys, rounds, readers = 40, 300, 3
	m := newMember()
	var current atomic.Pointer[statemachine.View]
	current.Store(m.Publish())
	done := make(chan struct{})
	var wait sync.WaitGroup
	for range readers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for {
				select {
				case <-done:
					return
				default:
				}
				v := current.Load()
				if !v.Acquire() {
					continue
				}
				if err := consistent(v, keys); err != nil {
					t.Error(err)
				}
				v.Release()
			}
		}()
	}
	for round := range rounds {
		r := &pb.TxnRequest{}
		for key := range keys {
			if round%5 == 4 {
				r.Success = append(r.Success, deleteOp(fmt.Sprintf("%03d", key), ""))
				continue
			}
			op := putOp(fmt.Sprintf("%03d", key))
			op.GetRequestPut().Value = fmt.Append(nil, m.Revision()+1)
			r.Success = append(r.Success, op)
		}
		m.do(t, &pb.InternalRaftRequest{Txn: r})
		if round%7 == 6 {
			m.do(t, &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: m.Revision() - 3}})
		}
		current.Store(m.Publish())
		m.CompactStep(100)
	}
	close(done)
	wait.Wait()
	for m.CompactStep(100) {
	}
	if m.CompactedTo() != m.CompactRevision() {
		t.Errorf("compacted to %d of %d though no view is held", m.CompactedTo(), m.CompactRevision())
	}
	if others, _ := m.PinnedViews(); others != 0 {
		t.Errorf("%d views are held", others)
	}
}

// consistent checks every readable revision of a view: all keys with the value of one transaction, or none.
func consistent(v *statemachine.View, keys int64) error {
	if v.ScanStateHash() != v.StateHash() {
		return fmt.Errorf("state hash at %d", v.Revision())
	}
	for rev := max(v.CompactRevision(), 1); rev <= v.Revision(); rev++ {
		got, err := v.Range(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Revision: rev})
		if err != nil {
			return fmt.Errorf("range at %d: %w", rev, err)
		}
		if got.Count != 0 && got.Count != keys {
			return fmt.Errorf("%d keys at %d", got.Count, rev)
		}
		for i := range got.Len() {
			if kv := got.KeyValue(i); string(kv.Value) != fmt.Sprint(rev) {
				return fmt.Errorf("%s = %s at %d", kv.Key, kv.Value, rev)
			}
		}
	}
	r := v.Snapshot()
	defer func() { _ = r.Close() }()
	var buf bytes.Buffer
	if _, err := r.WriteTo(&buf); err != nil {
		return err
	}
	restored, err := statemachine.RestoreBeside(&buf, v, format.Newest) // which looks at what the machine writes
	if err != nil {
		return fmt.Errorf("at %d: %w", v.Revision(), err)
	}
	if restored.StateHash() != v.StateHash() {
		return fmt.Errorf("restored at %d to another state", v.Revision())
	}
	return nil
}

func TestView_AHeldOneKeepsWhatItShows(t *testing.T) {
	m := newMember()
	for i := range 10 {
		m.do(t, put("k", fmt.Sprint(i)))
	}
	old := m.Publish()
	if !old.Acquire() {
		t.Fatal("the published view is not in use")
	}
	m.do(t, &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: m.Revision()}})
	m.Publish()
	for m.CompactStep(100) {
	}
	if got, err := old.Range(&pb.RangeRequest{Key: []byte("k"), Revision: 3}); err != nil || got.Count != 1 || string(got.KeyValue(0).Value) != "1" {
		t.Errorf("a held view lost revision 3: %v", err)
	}
	before, _ := m.Publish().Sizes()
	old.Release()
	if old.Acquire() {
		t.Error("a view came back into use")
	}
	for m.CompactStep(1) {
	}
	if after, _ := m.Publish().Sizes(); m.CompactedTo() != m.CompactRevision() || after >= before {
		t.Errorf("after its release: compacted to %d, %d bytes after %d", m.CompactedTo(), after, before)
	}
}
