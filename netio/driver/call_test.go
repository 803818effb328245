package driver

import (
	"context"
	"errors"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// A caller that gives up must get its context's error, never another's answer, and leave no pinned view behind.
func TestDriver_CallsThatAreGivenUp(t *testing.T) {
	f := newFake(t)
	f.hold = true
	d := f.start(Options{})
	for range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := d.Propose(ctx, &pb.InternalRaftRequest{}); !errors.Is(err, context.Canceled) {
					t.Errorf("error %v, want the context's", err)
				}
			})
			wg.Go(func() {
				if _, err := linearize(d, ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("error %v, want the context's", err)
				}
			})
			wg.Go(func() {
				if _, err := renew(d, ctx, 7); !errors.Is(err, context.Canceled) {
					t.Errorf("error %v, want the context's", err)
				}
			})
		}
		for held := 0; held < 15; {
			do(t, d, func() { held = len(f.held) })
		}
		cancel()
		wg.Wait()
		do(t, d, func() {
			for _, answer := range f.held {
				answer()
			}
			f.held = nil
		})
	}
	do(t, d, func() {
		f.hold = false
		if f.lent() {
			t.Error("the view of a call that was given up stays pinned")
		}
		f.index = 1000
	})
	a, err := d.Propose(context.Background(), &pb.InternalRaftRequest{})
	if err != nil || a.Index != 1001 {
		t.Errorf("index %d, error %v: an answer of old?", a.Index, err)
	}
}

// Answers and ends of contexts race here, for the race detector.
func TestDriver_GivingUpRacesWithTheAnswer(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 300 {
				ctx, cancel := context.WithCancel(context.Background())
				go cancel()
				if i%2 == 0 {
					if v, err := linearize(d, ctx); err == nil {
						v.Release()
					}
				} else if a, err := d.Propose(ctx, &pb.InternalRaftRequest{}); err == nil && a.Index == 0 {
					t.Error("an answer without a content")
				}
			}
		})
	}
	wg.Wait()
	// All late answers have come when those of later calls have.
	for range 3 {
		if _, err := d.Propose(context.Background(), &pb.InternalRaftRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	do(t, d, func() {
		if f.lent() {
			t.Error("a view is still pinned")
		}
	})
}

func BenchmarkDriver_Propose(b *testing.B) {
	f := newFake(&testing.T{})
	d := New(Options{})
	f.clock, f.lane = d.Clock(), d.Lane()
	d.Start(f)
	r := &pb.InternalRaftRequest{}
	b.ReportAllocs()
	b.SetParallelism(100)
	b.RunParallel(func(p *testing.PB) {
		ctx := b.Context()
		for p.Next() {
			if _, err := d.Propose(ctx, r); err != nil {
				b.Error(err)
				return
			}
		}
	})
	_ = d.Stop(context.Background())
}

func BenchmarkDriver_Linearize(b *testing.B) {
	f := newFake(&testing.T{})
	d := New(Options{})
	f.clock, f.lane = d.Clock(), d.Lane()
	d.Start(f)
	b.ReportAllocs()
	for b.Loop() {
		v, err := linearize(d, b.Context())
		if err != nil {
			b.Fatal(err)
		}
		v.Release()
	}
	_ = d.Stop(context.Background())
}
