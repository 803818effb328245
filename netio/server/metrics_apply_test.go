package server

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// An apply counts as slow beyond the bound, and a turn is timed once, however many entries it has.
func TestApplying_CountsWhatIsSlow(t *testing.T) {
	a := newApplying(time.Hour)
	registry := prometheus.NewRegistry()
	registry.MustRegister(a.slow)
	slow := func() float64 {
		all, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		return all[0].GetMetric()[0].GetCounter().GetValue()
	}
	for range 3 {
		a.begin()
		a.end()
	}
	if n := slow(); n != 0 {
		t.Errorf("%v slow ones within an hour", n)
	}
	a.slowFrom = -1
	a.begin()
	a.end()
	if n := slow(); n != 1 {
		t.Errorf("%v slow ones, want 1", n)
	}
	if a.turn.IsZero() {
		t.Error("the turn has not begun")
	}
	a.turnEnded(4, 0)
	if !a.turn.IsZero() {
		t.Error("the turn has not ended")
	}
}
