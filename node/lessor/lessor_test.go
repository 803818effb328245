package lessor

import (
	"cmp"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
)

const (
	second = port.Instant(time.Second)
	start  = 1000 * second
)

func idle(int64) bool { return false }

func loaded(extend time.Duration, leases ...statemachine.Lease) *Lessor {
	l := New(Options{CheckpointInterval: 300 * time.Second, Retry: time.Second})
	l.Load(start, extend, len(leases), each(leases))
	return l
}

func each(leases []statemachine.Lease) func(func(statemachine.Lease) bool) {
	return func(f func(statemachine.Lease) bool) {
		for _, s := range leases {
			if !f(s) {
				return
			}
		}
	}
}

func TestLessor_ReportsTheExpiredInTheOrderOfTheirDeadlines(t *testing.T) {
	l := New(Options{CheckpointInterval: time.Hour, Retry: time.Second})
	l.Add(start, 5, 10)
	l.Add(start, 4, 10)
	l.Add(start, 9, 3)
	l.Add(start, 1, 20)
	if got := l.Expired(start+3*second-1, 10, idle); got != nil {
		t.Errorf("too early: %v", got)
	}
	if got := l.Expired(start+15*second, 10, idle); !slices.Equal(got, []int64{9, 4, 5}) {
		t.Errorf("reported %v", got)
	}
}

func TestLessor_ReportsAgainWhatIsNotDropped(t *testing.T) {
	l := New(Options{CheckpointInterval: time.Hour, Retry: time.Second})
	for id := range int64(5) {
		l.Add(start, id+1, 1)
	}
	at := start + second
	if got := l.Expired(at, 3, idle); !slices.Equal(got, []int64{1, 2, 3}) {
		t.Fatalf("the first: %v", got)
	}
	if got := l.Expired(at, 3, func(id int64) bool { return id == 4 }); !slices.Equal(got, []int64{5}) {
		t.Fatalf("the rest but a busy one: %v", got)
	}
	if got := l.Expired(at+second-1, 10, idle); got != nil {
		t.Fatalf("again, and too early: %v", got)
	}
	l.Drop(2)
	if got := l.Expired(at+second, 10, idle); !slices.Equal(got, []int64{1, 3, 4, 5}) {
		t.Errorf("again: %v", got)
	}
}

func TestLessor_RenewsWhatIsNotEnding(t *testing.T) {
	l := New(Options{CheckpointInterval: time.Hour, Retry: time.Second})
	l.Add(start, 1, 10)
	// Its deadline has passed, but nobody was told: it lives on.
	if ttl, r := l.Renew(start+11*second, 1); ttl != 10 || r != Renewed {
		t.Errorf("TTL %d, %v", ttl, r)
	}
	if got := l.Expired(start+21*second-1, 1, idle); got != nil {
		t.Errorf("too early: %v", got)
	}
	l.Expired(start+21*second, 1, idle)
	for _, id := range []int64{1, 2} {
		if ttl, r := l.Renew(start+21*second, id); ttl != 0 || r != Unknown {
			t.Errorf("lease %d: TTL %d, %v", id, ttl, r)
		}
	}
	if granted, remaining, found := l.Time(start+23*second, 1); granted != 10 || remaining != 0 || !found {
		t.Errorf("granted %d, remaining %d, found %v", granted, remaining, found)
	}
	l.Add(start+23*second, 1, 10) // ended, and granted anew
	if ttl, r := l.Renew(start+24*second, 1); ttl != 10 || r != Renewed {
		t.Errorf("anew: TTL %d, %v", ttl, r)
	}
}

func TestLessor_GoesOnWithWhatTheLogHas(t *testing.T) {
	l := loaded(2*time.Second, statemachine.Lease{ID: 1, TTL: 100}, statemachine.Lease{ID: 2, TTL: 100, Remaining: 30})
	for id, want := range map[int64]int64{1: 102, 2: 32} {
		if granted, remaining, _ := l.Time(start, id); granted != 100 || remaining != want {
			t.Errorf("lease %d: granted %d, remaining %d, want %d", id, granted, remaining, want)
		}
	}
	// A renewal takes the extension back.
	if _, r := l.Renew(start+second, 1); r != Renewed {
		t.Fatal(r)
	}
	if got := l.Expired(start+101*second, 10, idle); !slices.Equal(got, []int64{2, 1}) {
		t.Errorf("ended: %v", got)
	}
}

func TestLessor_WritesDownWhatIsLeft(t *testing.T) {
	l := loaded(0, statemachine.Lease{ID: 1, TTL: 1000}, statemachine.Lease{ID: 2, TTL: 1000, Remaining: 400}, statemachine.Lease{ID: 3, TTL: 300})
	var got []Checkpoint
	for at := start; at < start+1000*second; at += second {
		got = append(got, l.Checkpoints(at+1, 10)...) // a little late, as ticks are
	}
	// Not for a rest of 300 s and less.
	want := []Checkpoint{{1, 700}, {2, 100}, {1, 400}, {1, 100}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestLessor_ARenewalPutsTheCheckpointOff(t *testing.T) {
	l := New(Options{CheckpointInterval: 300 * time.Second, Retry: time.Second})
	l.Add(start, 1, 1000)
	for i := range port.Instant(10) {
		at := start + i*200*second
		if got := l.Checkpoints(at, 10); got != nil {
			t.Fatalf("after %d s: %v", i*200, got)
		}
		l.Renew(at, 1)
	}
	if got := l.Checkpoints(start+2100*second, 10); !slices.Equal(got, []Checkpoint{{1, 700}}) {
		t.Errorf("%v", got)
	}
}

// An election gives more time, but that is not to pile up.
func TestLessor_ACheckpointNeverGives(t *testing.T) {
	l := loaded(400*time.Second, statemachine.Lease{ID: 1, TTL: 1000, Remaining: 500})
	if got := l.Checkpoints(start+301*second, 10); got != nil {
		t.Errorf("%v, where the log has 500 s", got)
	}
	if got := l.Checkpoints(start+601*second, 10); !slices.Equal(got, []Checkpoint{{1, 299}}) {
		t.Errorf("%v", got)
	}
}

func TestLessor_ACheckpointIsTakenBackBeforeARenewal(t *testing.T) {
	l := New(Options{CheckpointInterval: 300 * time.Second, Retry: time.Second})
	l.Add(start, 1, 1000)
	at := start + 300*second
	if got := l.Checkpoints(at, 10); len(got) != 1 {
		t.Fatal(got)
	}
	if _, r := l.Renew(at, 1); r != Clear {
		t.Fatalf("after a checkpoint: %v", r)
	}
	token := l.Clearing(1)
	if token == 0 || l.Clearing(1) != 0 {
		t.Fatal("one at a time")
	}
	if got := l.Checkpoints(at+400*second, 10); got != nil {
		t.Errorf("while it is taken back: %v", got)
	}
	l.Cleared(at, 1, token+1, true) // of another one
	l.Cleared(at, 1, token, false)
	if _, r := l.Renew(at, 1); r != Clear {
		t.Fatalf("what was to take it back was lost: %v", r)
	}
	l.Cleared(at, 1, l.Clearing(1), true)
	if ttl, r := l.Renew(at, 1); ttl != 1000 || r != Renewed {
		t.Errorf("TTL %d, %v", ttl, r)
	}
	if got := l.Checkpoints(at+300*second, 10); !slices.Equal(got, []Checkpoint{{1, 700}}) {
		t.Errorf("the next: %v", got)
	}
}

func TestLessor_TheLongestTTL(t *testing.T) {
	for _, now := range []port.Instant{0, 1, port.Instant(math.MaxInt64 / 2)} {
		l := New(Options{CheckpointInterval: time.Hour, Retry: time.Second})
		l.Load(now, time.Second, 0, each([]statemachine.Lease{{ID: 1, TTL: statemachine.LeaseTTLMax}}))
		if got := l.Expired(now+1, 10, idle); got != nil {
			t.Errorf("at %d it has ended", now)
		}
		if now < second {
			if _, remaining, _ := l.Time(now, 1); remaining != statemachine.LeaseTTLMax+1 {
				t.Errorf("remaining %d s", remaining)
			}
		}
	}
}

// naive is a lessor that looks at all it has each time.
type naive map[int64]*naiveLease

type naiveLease struct {
	ttl, noted             int64
	deadline, look, due    port.Instant
	ending, clearing, sure bool // sure: due is set
	token                  uint64
}

func (n naive) sorted(at func(*naiveLease) port.Instant) (ids []int64) {
	for id := range n {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b int64) int { return cmp.Or(cmp.Compare(at(n[a]), at(n[b])), cmp.Compare(a, b)) })
	return ids
}

func (e *naiveLease) schedule(now port.Instant, interval time.Duration) {
	e.sure = !e.clearing && !e.ending && e.deadline.Sub(now) > interval
	e.due = now.Add(interval)
}

func TestLessor_IsAsOneThatScans(t *testing.T) {
	const interval, retry = 5 * time.Second, time.Second
	rapid.Check(t, func(t *rapid.T) {
		now := port.Instant(rapid.Int64Range(0, 1<<40).Draw(t, "now"))
		l, n := New(Options{CheckpointInterval: interval, Retry: retry}), naive{}
		id := rapid.Int64Range(1, 8)
		add := func(id, ttl, noted int64, extend time.Duration) {
			left := ttl
			if noted > 0 {
				left = noted
			}
			e := &naiveLease{ttl: ttl, noted: noted, deadline: now.Add(time.Duration(left)*time.Second + extend)}
			e.look = e.deadline
			e.schedule(now, interval)
			n[id] = e
		}
		var leases []statemachine.Lease
		for i := range rapid.Int64Range(0, 8).Draw(t, "leases") {
			s := statemachine.Lease{ID: i + 1, TTL: rapid.Int64Range(1, 40).Draw(t, "TTL")}
			if rapid.Bool().Draw(t, "checkpointed") {
				s.Remaining = rapid.Int64Range(1, s.TTL).Draw(t, "remaining")
			}
			leases = append(leases, s)
			add(s.ID, s.TTL, s.Remaining, time.Second)
		}
		l.Load(now, time.Second, len(leases), each(leases))
		t.Repeat(map[string]func(*rapid.T){
			"pass": func(t *rapid.T) { now += port.Instant(rapid.Int64Range(0, int64(6*time.Second)).Draw(t, "time")) },
			"add": func(t *rapid.T) {
				id, ttl := id.Draw(t, "id"), rapid.Int64Range(1, 40).Draw(t, "TTL")
				l.Add(now, id, ttl)
				add(id, ttl, 0, 0)
			},
			"drop": func(t *rapid.T) {
				id := id.Draw(t, "id")
				l.Drop(id)
				delete(n, id)
			},
			"renew": func(t *rapid.T) {
				id := id.Draw(t, "id")
				ttl, r := l.Renew(now, id)
				e, wantTTL, want := n[id], int64(0), Unknown
				switch {
				case e == nil || e.ending:
				case e.noted > 0:
					want = Clear
				default:
					want, wantTTL = Renewed, e.ttl
					e.deadline = now.Add(time.Duration(e.ttl) * time.Second)
					e.look = e.deadline
					e.schedule(now, interval)
				}
				if ttl != wantTTL || r != want {
					t.Fatalf("lease %d: TTL %d, %v; want %d, %v", id, ttl, r, wantTTL, want)
				}
			},
			"clear": func(t *rapid.T) {
				id := id.Draw(t, "id")
				token, e := l.Clearing(id), n[id]
				if (token != 0) != (e != nil && !e.clearing) {
					t.Fatalf("lease %d: token %d", id, token)
				}
				if token != 0 {
					e.clearing, e.token, e.sure = true, token, false
				}
			},
			"cleared": func(t *rapid.T) {
				id, applied := id.Draw(t, "id"), rapid.Bool().Draw(t, "applied")
				e := n[id]
				if e == nil || !e.clearing {
					return
				}
				l.Cleared(now, id, e.token, applied)
				e.clearing = false
				if applied {
					e.noted = 0
				}
				e.schedule(now, interval)
			},
			"expired": func(t *rapid.T) {
				limit, busy := rapid.IntRange(1, 4).Draw(t, "limit"), id.Draw(t, "busy")
				var want []int64
				for _, id := range n.sorted(func(e *naiveLease) port.Instant { return e.look }) {
					if e := n[id]; e.look <= now && len(want) < limit {
						e.ending, e.sure, e.look = true, false, now.Add(retry)
						if id != busy {
							want = append(want, id)
						}
					}
				}
				if got := l.Expired(now, limit, func(id int64) bool { return id == busy }); !slices.Equal(got, want) {
					t.Fatalf("expired %v, want %v", got, want)
				}
			},
			"checkpoints": func(t *rapid.T) {
				limit := rapid.IntRange(1, 4).Draw(t, "limit")
				var want []Checkpoint
				for _, id := range n.sorted(func(e *naiveLease) port.Instant { return e.due }) {
					e := n[id]
					if !e.sure || e.due > now || len(want) == limit {
						continue
					}
					e.schedule(now, interval)
					remaining := int64(math.Ceil(e.deadline.Sub(now).Seconds()))
					if known := max(e.noted, 0); remaining > 0 && (known == 0 && remaining < e.ttl || remaining < known) {
						e.noted = remaining
						want = append(want, Checkpoint{id, remaining})
					}
				}
				if got := l.Checkpoints(now, limit); !slices.Equal(got, want) {
					t.Fatalf("checkpoints %v, want %v", got, want)
				}
			},
			"": func(t *rapid.T) {
				if l.Len() != len(n) {
					t.Fatalf("%d leases, want %d", l.Len(), len(n))
				}
				for id := range n {
					granted, remaining, found := l.Time(now, id)
					want := max(0, int64(n[id].deadline.Sub(now)/time.Second))
					if got := []any{granted, remaining, found}; !reflect.DeepEqual(got, []any{n[id].ttl, want, true}) {
						t.Fatalf("lease %d: %v, want %d", id, got, want)
					}
				}
			},
		})
	})
}

func BenchmarkLessor_Load(b *testing.B) {
	leases := make([]statemachine.Lease, 100_000)
	for i := range leases {
		leases[i] = statemachine.Lease{ID: int64(i + 1), TTL: int64(600 + i%1000)}
	}
	b.ReportAllocs()
	for b.Loop() {
		l := New(Options{CheckpointInterval: 300 * time.Second, Retry: time.Second})
		l.Load(start, time.Second, len(leases), each(leases))
	}
}

func BenchmarkLessor_Renew(b *testing.B) {
	l := New(Options{CheckpointInterval: 300 * time.Second, Retry: time.Second})
	for i := range int64(100_000) {
		l.Add(start, i+1, 60)
	}
	now := start
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		now += 200 * port.Instant(time.Microsecond) // each lease every 20 s
		l.Renew(now, i%100_000+1)
		if i%500 == 0 {
			l.Expired(now, 512, idle)
			l.Checkpoints(now, 5000)
		}
	}
}

// Where very many leases come up at one time, most of them renewed, it takes several calls to get to those that are due.
func TestLessor_LooksAtSoManyInACall(t *testing.T) {
	l := New(Options{CheckpointInterval: 20 * time.Second, Retry: time.Second})
	const last = maxLooks + 1
	for id := range int64(last) {
		l.Add(start, id+1, 60)
	}
	for id := range int64(last - 1) {
		l.Renew(start+10*second, id+1)
	}
	at := start + 20*second
	if got := l.Checkpoints(at, 10); got != nil {
		t.Fatalf("the first call came to %v", got)
	}
	if got := l.Checkpoints(at, 10); !slices.Equal(got, []Checkpoint{{ID: last, Remaining: 40}}) {
		t.Errorf("the second call came to %v", got)
	}
	at = start + 60*second
	if got := l.Expired(at, 10, idle); got != nil {
		t.Fatalf("the first call came to %v", got)
	}
	if got := l.Expired(at, 10, idle); !slices.Equal(got, []int64{last}) {
		t.Errorf("the second call came to %v", got)
	}
}
