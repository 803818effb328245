package wal

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal/crashdisk"
)

const scriptSteps = 30

// failer is what testing.TB and rapid.T share.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// survive runs a script up to a crash at operation crashAt, then further lives, each crashing at a random early operation or
// ending in order, and then one that must work. It returns false once crashAt is beyond the script.
func survive(t failer, seed uint64, crashAt, sample int) bool {
	t.Helper()
	pick := randomly(seed)
	f := &life{acked: newModel()}
	d := crashdisk.New()
	d.CrashAt = crashAt
	err := f.run(d, pick, scriptSteps)
	if err == nil {
		return false
	}
	chance := randomly(seed<<20 + uint64(crashAt)<<8 + uint64(sample))
	for lives := 0; ; lives++ {
		if !errors.Is(err, crashdisk.ErrCrashed) {
			t.Fatalf("seed %d, crash at operation %d, sample %d, life %d: %v", seed, crashAt, sample, lives, err)
		}
		if chance(4) == 0 {
			d = d.Kill()
		} else {
			d = d.Crash(chance)
		}
		if lives == 3 {
			if err := f.run(d, chance, 3); err != nil {
				t.Fatalf("seed %d, crash at operation %d, sample %d, last life: %v", seed, crashAt, sample, err)
			}
			return true
		}
		d.CrashAt = 1 + chance(12) // most of these are in the repair
		if err = f.run(d, chance, 3); err == nil {
			err = crashdisk.ErrCrashed // it ended before that; the machine goes down all the same
		}
	}
}

func TestCrash_AtEveryOperation(t *testing.T) {
	scripts, samples := uint64(4), 4
	if testing.Short() {
		scripts, samples = 1, 2
	}
	for seed := range scripts {
		crashAt := 1
		for survive(t, seed, crashAt, 0) {
			for sample := 1; sample < samples; sample++ {
				survive(t, seed, crashAt, sample)
			}
			crashAt++
		}
		if crashAt < 2*scriptSteps {
			t.Fatalf("seed %d: only %d operations", seed, crashAt)
		}
	}
}

func TestCrash_AtRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64Range(1000, 1<<40).Draw(t, "seed")
		survive(t, seed, rapid.IntRange(1, 3*scriptSteps).Draw(t, "crashAt"), rapid.IntRange(0, 1000).Draw(t, "sample"))
	})
}

// A failed operation ends the Log for good, and what was acknowledged before is there after a restart without a crash.
func TestFailure_IsFinal(t *testing.T) {
	broken := errors.New("input/output error")
	for _, failure := range []error{port.ErrNoSpace, broken} {
		for seed := range uint64(4) {
			failAt := 1
			for ; ; failAt++ {
				pick := randomly(seed)
				f := &life{acked: newModel()}
				d := crashdisk.New()
				d.FailAt, d.FailErr = failAt, failure
				err := f.run(d, pick, scriptSteps)
				if err == nil {
					break
				}
				if !errors.Is(err, failure) {
					t.Fatalf("seed %d, failure of operation %d: %v", seed, failAt, err)
				}
				d = d.Kill()
				if err := f.run(d, randomly(seed+uint64(failAt)), 5); err != nil {
					t.Fatalf("seed %d, after failure of operation %d: %v", seed, failAt, err)
				}
			}
			if failAt < 2*scriptSteps {
				t.Fatalf("seed %d: only %d operations", seed, failAt)
			}
		}
	}
}

func TestFailure_LaterCallsReturnIt(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 4096})
	must(t, l.Write(Batch{Entries: entries(1, 1, 1, "a")}))
	d.FailAt = d.Ops + 2 // the sync
	err := l.Write(Batch{Entries: entries(2, 1, 1, "b")})
	if !errors.Is(err, port.ErrNoSpace) {
		t.Fatalf("write: %v", err)
	}
	ops := d.Ops
	for what, again := range map[string]error{
		"write": l.Write(Batch{Entries: entries(2, 1, 1, "b")}), "settle": l.Settle(), "release": l.Release(1),
	} {
		if again != err {
			t.Errorf("%s: %v", what, again)
		}
	}
	if d.Ops != ops {
		t.Error("the disk was touched after the failure")
	}
}

// What Open returns has been seen, so it must be durable even if it was in memory only when the process died.
func TestOpen_MakesDurableWhatItReturns(t *testing.T) {
	for seed := range uint64(300) {
		d := crashdisk.New()
		l, _ := mustOpen(t, d, Options{SegmentBytes: 64 << 10})
		must(t, l.Write(Batch{Entries: entries(1, 2, 1, "a")}))
		d.CrashAt = d.Ops + 2 // the sync: all written, nothing durable
		if err := l.Write(Batch{Entries: entries(3, 4, 1, fmt.Sprint(make([]byte, 300)))}); !errors.Is(err, crashdisk.ErrCrashed) {
			t.Fatalf("write: %v", err)
		}
		d = d.Kill()
		_, first := mustOpen(t, d, Options{})
		if len(first.Entries) != 6 {
			t.Fatalf("recovered %s", show(first))
		}
		_, second := mustOpen(t, d.Crash(randomly(seed)), Options{})
		if show(second) != show(first) || second.Incarnation <= first.Incarnation {
			t.Fatalf("seed %d: first %s (%d)\nthen %s (%d)", seed, show(first), first.Incarnation, show(second), second.Incarnation)
		}
	}
}
